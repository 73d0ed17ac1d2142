"""The runtimes of a CPU, on tiny models: what they answer, what they are called, and what they refuse."""

import itertools
import shutil
from types import SimpleNamespace

import numpy as np
import openvino
import pytest
import torch

from helpers import backends, environment, export, files, sources
from helpers.errors import ParameterError, UserError
from helpers.params import Target, check
from tests import models

CHECKPOINT = "demo/conformer_fmnist.pth"
TWO_STREAMS = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": 2}
IMAGES = np.random.default_rng(0).random((4, 3, 8, 8), np.float32)

needs_two_cores = pytest.mark.skipif(environment.cores() < 2, reason="a stream needs a core")


def model_of(sha256):
    """As much of model.json as the torch backend reads."""
    parameters = {"model": "demo/conformer_fmnist.py", "checkpoint": CHECKPOINT}
    stage = SimpleNamespace(sha256=sha256, input=SimpleNamespace(shape=["batch", 3, 8, 8]))
    return SimpleNamespace(params=parameters, stage=lambda format: stage)


@pytest.fixture
def tiny(monkeypatch):
    """A linear model with random weights in the place of mmcls's; return a function that loads it with a target's values."""

    def load(name, checkpoint):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10), torch.nn.Softmax(1)).eval()

    monkeypatch.setattr("helpers.classifier.load", load)
    return lambda **values: backends.load(None, model_of(None), Target(backend="torch", threads=1, **values))


@pytest.fixture(scope="module")
def onnx(tmp_path_factory):
    """A linear model of the digits as a run has it: its folder and its stage."""
    folder = tmp_path_factory.mktemp("run")
    given = models.write_onnx(folder / "given.onnx")
    return folder, export.adopt(given, folder / "artefacts" / "digits.onnx", IMAGES[:1], "logits")[1]


@pytest.fixture
def digits(onnx):
    """Return a function that loads the linear model of the digits with a target's values."""
    folder, stage = onnx
    model = SimpleNamespace(stages=[stage], stage=lambda format: stage)
    return lambda **values: backends.load(folder, model, Target(**{"threads": 1, **values}))


def test_pytorch_runs_only_the_checkpoint_that_was_converted(tmp_path):
    target = Target(backend="torch", threads=1)
    backends.load(tmp_path, model_of(files.sha256(sources.existing("checkpoint", CHECKPOINT))), target)
    with pytest.raises(UserError, match="conformer_fmnist.pth is not the file that was converted: run 2_convert again"):
        backends.load(tmp_path, model_of("another"), target)


@pytest.mark.parametrize(
    ("precision", "options", "label", "identity"),
    [
        ("auto", {}, "torch fp32", "torch fp32 on cpu"),
        ("bf16", {}, "torch bf16", "torch bf16 on cpu"),
        ("fp32", {"channels_last": True}, "torch fp32 channels_last", "torch fp32 channels_last on cpu (channels_last True)"),
        ("fp32", {"channels_last": False, "compile": False}, "torch fp32", "torch fp32 on cpu"),
    ],
)
def test_pytorch_has_a_name_for_each_way_to_run(tiny, precision, options, label, identity):
    backend = tiny(precision=precision, provider_options=options)
    assert (backend.label, backend.identity) == (label, identity)
    answers = backend(IMAGES)
    assert answers.dtype == np.float32
    assert np.abs(answers - tiny()(IMAGES)).max() < (0.02 if precision == "bf16" else 1e-6)
    assert backend.is_original == (label == "torch fp32")


def test_only_eager_fp32_needs_no_comparison(tiny):
    model = SimpleNamespace(refusal=lambda candidate="", batches=(): f"{candidate} at {batches}" if candidate else None)
    assert tiny().refusal(model, [4]) is None
    assert tiny(precision="bf16").refusal(model, [4]) == "torch bf16 on cpu at [4]"


@pytest.mark.skipif(not shutil.which("g++"), reason="inductor compiles with g++")
def test_compiling_is_done_once_for_each_batch_size_and_its_time_is_told(tiny):
    backend = tiny(provider_options={"compile": True})
    assert backend.label == "torch fp32 compiled"
    assert backend.compile_seconds is None
    backend.prepare(4)
    took = backend.compile_seconds
    assert took > 0
    assert np.abs(backend(IMAGES) - tiny()(IMAGES)).max() < 1e-6
    assert backend.compile_seconds == took
    backend(IMAGES[:2])
    assert backend.compile_seconds != took


def test_without_a_compiler_the_reason_is_one_sentence(tiny, monkeypatch):
    def broken(given):
        raise RuntimeError("Failed to find C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", lambda module, dynamic: broken)
    with pytest.raises(UserError, match=r"^torch.compile failed \(Failed to find C\+\+ compiler\): install a C\+\+ compiler \(g\+\+\), or"):
        tiny(provider_options={"compile": True}).prepare(1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"provider_options": {"compiled": True}}, "channels_last, compile, cuda_graphs, true or false; not compiled: True"),
        ({"provider_options": {"compile": 1}}, "true or false; not compile: 1"),
        ({"provider_options": {"cuda_graphs": True}}, "cuda_graphs need provider: cuda"),
        ({"precision": "fp16"}, "fp16 and cuda_graphs need provider: cuda"),
    ],
)
def test_pytorch_refuses_what_it_does_not_do_here(values, said):
    with pytest.raises(ParameterError, match=said):
        backends.check(Target(backend="torch", **values))


@needs_two_cores
def test_openvino_keeps_as_many_calls_in_flight_as_it_has_streams(digits):
    backend = digits(backend="openvino", threads=2, provider_options=TWO_STREAMS)
    assert backend.label == "openvino fp32 throughput 2 streams"
    assert backend.describe().endswith(", CPU, fp32, throughput 2 streams, 2 threads, 2 requests")
    assert backend.compile_seconds > 0
    batches = (IMAGES[[number % 4]] for number in range(20))  # nobody else holds these arrays
    seconds = backend.flood(batches, 19)
    assert len(seconds) == 19
    assert min(seconds) > 0
    assert len(list(batches)) == 1  # none was taken without being run
    expected = backend(IMAGES)
    assert len(backend._queue) == 2
    for request in backend._queue:
        assert np.abs(expected - request.get_output_tensor().data).max(axis=1).min() < 1e-6


@needs_two_cores
def test_an_error_is_raised_when_what_is_in_flight_is_done(digits):
    backend = digits(backend="openvino", threads=2, provider_options=TWO_STREAMS)
    with pytest.raises(RuntimeError):
        backend.flood(itertools.chain([IMAGES] * 5, [IMAGES[:, :2]]), 6)
    assert all(request.wait_for(0) for request in backend._queue)
    assert len(backend.flood(itertools.repeat(IMAGES), 3)) == 3


@needs_two_cores
def test_fewer_calls_than_requests_have_a_time_each(digits):
    backend = digits(backend="openvino", threads=2, provider_options=TWO_STREAMS)
    backend.flood(itertools.repeat(IMAGES), 5)
    assert len(backend.flood(itertools.repeat(IMAGES), 1)) == 1


def test_openvino_without_a_hint_keeps_its_name_and_has_one_request(digits):
    backend = digits(backend="openvino")
    assert (backend.label, backend.identity, backend.requests) == ("openvino fp32", "openvino fp32 on CPU", 1)


def test_openvino_takes_no_other_hint(digits):
    with pytest.raises(ParameterError, match="PERFORMANCE_HINT is LATENCY or THROUGHPUT, not FAST"):
        digits(backend="openvino", provider_options={"PERFORMANCE_HINT": "FAST"})


def test_int8_needs_the_model_that_was_made_for_it(digits):
    with pytest.raises(UserError, match="this run has no int8 model: run 2_convert with the same precision and options"):
        digits(backend="openvino", precision="int8")


def test_bf16_needs_a_cpu_that_has_it(monkeypatch):
    monkeypatch.setattr(openvino, "Core", lambda: SimpleNamespace(available_devices=["CPU"], get_property=lambda *_: ["FP32"]))
    with pytest.raises(ParameterError, match="this CPU has no bf16: use precision: fp32"):
        backends.check(check(Target, backend="openvino", precision="bf16"))
