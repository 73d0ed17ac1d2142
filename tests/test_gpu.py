"""NVIDIA GPUs: by stand-ins what can be shown without one, and on a GPU where there is one."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch

from helpers import ROOT, backends, environment, export, steps
from helpers.backends import onnxruntime as backend_module
from helpers.errors import ParameterError, UserError
from helpers.params import Target, check
from helpers.records import Model, TensorSpec
from tests import models
from tests.test_backends import IMAGES, model_of, tiny  # noqa: F401 - a fixture

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A stand-in for nvidia-smi with two GPUs."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 580.95.05'\necho 'NVIDIA L4, 580.95.05'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


@pytest.fixture
def gpu_wheel(monkeypatch):
    """An onnxruntime that says it has the GPU providers, as its wheel does on any machine."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, "CPUExecutionProvider"])


def pretend_session(monkeypatch, provider):
    """Have ONNX Runtime's session be a stand-in on the provider; return the shapes of the batches that it ran."""
    ran = []

    def run(outputs, given):
        ran.append(given["input"].shape)
        return [np.full((len(given["input"]), 10), 0.1, np.float32)]

    takes = SimpleNamespace(shape=["batch", 3, 8, 8], type="tensor(float)")
    made = SimpleNamespace(get_providers=lambda: [provider, "CPUExecutionProvider"], get_inputs=lambda: [takes], run=run)
    monkeypatch.setattr(backend_module, "session", lambda file, target: made)
    return ran


def load(**values) -> backends.Backend:
    spec = TensorSpec(name="input", shape=["batch", 3, 8, 8], dtype="float32")
    model = SimpleNamespace(stage=lambda format: SimpleNamespace(file="m.onnx", precision="fp32", input=spec))
    return backends.load(Path("nowhere"), model, check(Target, threads=1, **values))


def test_gpus_are_told_by_their_driver(two_gpus):
    assert environment.gpus() == [("NVIDIA H100 80GB HBM3", "580.95.05"), ("NVIDIA L4", "580.95.05")]


@pytest.mark.parametrize(("provider", "options"), [("cuda", []), ("auto", [SimpleNamespace(provider="tensorrt")])])
def test_the_gpu_and_its_driver_decide_a_result(two_gpus, provider, options):
    settings = SimpleNamespace(backend="onnxruntime", provider=provider, options=options)
    assert steps._accelerator(Model, settings) == {"gpu": "NVIDIA H100 80GB HBM3, NVIDIA L4", "gpu_driver": "580.95.05"}


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_without_its_wheel_the_parameter_is_wrong_and_says_what_to_install(provider):
    if {CUDA, TENSORRT} & set(onnxruntime.get_available_providers()):
        pytest.skip("the GPU wheel is installed")
    with pytest.raises(ParameterError, match=f"provider {provider} is not in the installed onnxruntime: .*, or see requirements-gpu.txt"):
        load(provider=provider)


@pytest.mark.parametrize(
    ("options", "precision"),
    [
        ({}, "tf32"),
        ({"trt_fp16_enable": True}, "fp16"),
        ({"trt_fp16_enable": "True", "trt_engine_cache_enable": True}, "fp16"),
        ({"trt_bf16_enable": 1}, "bf16"),
        ({"trt_fp16_enable": False}, "tf32"),
        ({"trt_fp16_enable": True, "trt_int8_enable": True}, "mixed"),
    ],
)
def test_what_tensorrt_computes_in_is_what_its_options_allow(gpu_wheel, two_gpus, monkeypatch, options, precision):
    pretend_session(monkeypatch, TENSORRT)
    backend = load(provider="tensorrt", provider_options=options)
    assert backend.precision == precision
    assert backend.label == f"onnxruntime {precision} TensorRT"
    assert (backend.device, backend.region) == ("NVIDIA H100 80GB HBM3", "device")


def test_tensorrt_without_tf32_is_fp32(gpu_wheel, monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    pretend_session(monkeypatch, TENSORRT)
    assert load(provider="tensorrt", precision="fp32").precision == "fp32"


def test_a_precision_that_tensorrt_does_not_compute_in_is_refused(gpu_wheel):
    with pytest.raises(ParameterError, match="precision is fp32, but with these provider_options TensorRT computes in fp16: say auto or"):
        load(provider=TENSORRT, precision="fp32", provider_options={"trt_fp16_enable": True})


def test_tensorrt_builds_its_engine_once_for_each_batch_size_and_tells_how_long_that_took(gpu_wheel, monkeypatch):
    ran = pretend_session(monkeypatch, TENSORRT)
    backend = load(provider="tensorrt")
    backend.prepare(4)
    backend.prepare(4)
    backend.prepare(8)
    assert ran == [(4, 3, 8, 8), (8, 3, 8, 8)]
    assert backend.compile_seconds > 0


def test_cuda_builds_nothing_and_computes_in_fp32(gpu_wheel, two_gpus, monkeypatch):
    ran = pretend_session(monkeypatch, CUDA)
    backend = load(provider="cuda", provider_options={"device_id": 1})
    backend.prepare(4)
    assert (ran, backend.compile_seconds) == ([], None)
    assert (backend.label, backend.device) == ("onnxruntime fp32 CUDA", "NVIDIA L4")
    assert load(provider="cuda", provider_options={"use_tf32": 1}).label == "onnxruntime tf32 CUDA"


def test_tf32_is_off_where_it_is_not_asked_for_and_what_tensorrt_lacks_runs_on_the_same_gpu():
    assert backend_module._providers(CUDA, {"device_id": 1}) == [(CUDA, {"use_tf32": 0, "device_id": 1})]
    assert backend_module._providers(CUDA, {"use_tf32": 1}) == [(CUDA, {"use_tf32": 1})]
    options = {"device_id": 1, "trt_fp16_enable": True}
    assert backend_module._providers(TENSORRT, options) == [(TENSORRT, options), (CUDA, {"use_tf32": 0, "device_id": 1})]


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU nothing falls back")
def test_a_silent_fall_back_is_an_error(gpu_wheel, tmp_path):
    export.adopt(models.write_onnx(tmp_path / "given.onnx"), tmp_path / "m.onnx", IMAGES[:1], "logits")
    with pytest.raises(UserError, match="TensorrtExecutionProvider was asked for but CPUExecutionProvider runs: .*requirements-gpu.txt"):
        backend_module.session(tmp_path / "m.onnx", Target(provider="tensorrt"))


@pytest.fixture
def pretended_cuda(monkeypatch):
    """A CUDA device that is the CPU: what is asked of it is done at once, and it holds 1,234 bytes."""
    real_to, real_empty = torch.Tensor.to, torch.empty

    def to(tensor, *given, non_blocking=False, **named):
        given = [one for one in given if str(one) != "cuda" and not isinstance(one, bool) and one is not None]
        return real_to(tensor, *given, **named) if given or named else tensor

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch, "empty", lambda *shape, pin_memory=False, **named: real_empty(*shape, **named))
    for name, value in {"is_available": True, "get_device_name": "NVIDIA L4", "max_memory_allocated": 1234}.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    for name in ("synchronize", "reset_peak_memory_stats", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the real one is tested")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_pytorch_on_cuda_tells_copies_from_execution(tiny, pretended_cuda, precision):  # noqa: F811
    backend = tiny(provider="cuda", precision=precision, provider_options={"channels_last": True})
    assert (backend.label, backend.device, backend.region) == (f"torch {precision} CUDA channels_last", "NVIDIA L4", "device")
    assert not backend.is_original
    answers = backend(IMAGES)
    assert answers.dtype == np.float32
    assert np.abs(answers - tiny()(IMAGES)).max() < (1e-6 if precision == "fp32" else 0.02)
    parts = backend.times
    assert min(parts.to_device, parts.compute, parts.to_host) >= 0
    assert backend.device_memory_bytes() == 1234
    assert not torch.backends.cudnn.allow_tf32


@on_a_gpu
@pytest.mark.parametrize("options", [{}, {"channels_last": True}, {"cuda_graphs": True}, {"compile": True, "cuda_graphs": True}])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_on_a_gpu_pytorch_answers_the_same_in_every_way_to_run(precision, options):
    images = np.random.default_rng(0).normal(size=(5, 3, 32, 32)).astype(np.float32)
    model = model_of(None)
    model.stage("pytorch").input.shape = ["batch", 3, 32, 32]
    expected = backends.load(None, model, Target(backend="torch"))(images)
    target = Target(backend="torch", provider="cuda", precision=precision, provider_options=options)
    with backends.load(None, model, target) as backend:
        backend.prepare(5)
        backend(images[::-1].copy())  # a graph must not keep the answers of the call before
        assert np.abs(backend(images) - expected).max() < (1e-4 if precision == "fp32" else 0.05)
        assert backend.times.compute > 0
        assert backend.device_memory_bytes() > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU it measures for an hour")
def test_its_benchmark_says_that_there_is_nothing_to_measure():
    done = subprocess.run([sys.executable, "benchmarks/gpu.py"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "no CUDA device: nothing measured\n")


def test_its_requirements_replace_onnxruntime():
    names = [line.split("=")[0].split(">")[0] for line in (ROOT / "requirements-gpu.txt").read_text().splitlines() if line[0] != "#"]
    assert names == ["onnxruntime-gpu[cuda,cudnn]", "nvidia-cublas", "tensorrt-cu13-libs"]
