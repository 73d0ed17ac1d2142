"""ONNX Runtime with the execution provider that the parameters name, and no other."""

import importlib
import importlib.util
import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from helpers import backends, environment
from helpers.ascend.atc import SET_ENV
from helpers.ascend.atc_options import PRECISIONS
from helpers.errors import ParameterError, UserError, first_line
from helpers.params import Target
from helpers.records import Model

CPU, CANN, CUDA, TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CANN", "CUDA", "Tensorrt"))
PROVIDERS = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}
TENSORRT_PRECISIONS = {"trt_fp16_enable": "fp16", "trt_bf16_enable": "bf16", "trt_int8_enable": "int8"}
CANN_OPTIONS = (
    "device_id",
    "npu_mem_limit",
    "arena_extend_strategy",
    "enable_cann_graph",
    "enable_cann_subgraph",
    "dump_graphs",
    "dump_om_model",
    "precision_mode",
    "op_select_impl_mode",
    "optypelist_for_implmode",  # the documentation writes optypelist_for_impl_mode, which the library does not know
)


class Backend(backends.Backend):
    name = "onnxruntime"

    @staticmethod
    def check(target: Target) -> None:
        available, wanted = onnxruntime.get_available_providers(), _provider(target)
        if wanted not in available:
            gpu = ", or see requirements-gpu.txt" if wanted in (CUDA, TENSORRT) else ""
            raise ParameterError(
                f"provider {target.provider} is not in the installed onnxruntime: choose among {', '.join(available)}{gpu}."
            )
        if wanted == CANN:
            _check_cann(target)
        if wanted == TENSORRT and target.precision not in ("auto", _tensorrt_precision(target)):
            raise ParameterError(
                f"precision is {target.precision}, but with these provider_options TensorRT computes in {_tensorrt_precision(target)}: "
                f"say auto or change {', '.join(TENSORRT_PRECISIONS)}."
            )

    def __init__(self, folder: Path, model: Model, target: Target):
        stage = model.stage("onnx")
        self.precision, self.threads = stage.precision, backends.thread_count(target)
        self.options = _split(target.provider_options)[1]  # settings of the session do not change answers
        self._session = session(folder / stage.file, target)
        self.provider, self._built = self._session.get_providers()[0], set()
        self.device = backends.cpu_device() if self.provider == CPU else self.provider
        self.region = "compute" if self.provider == CPU else "device"  # the copies are part of every call and not told apart
        if self.provider in (CUDA, TENSORRT):
            self.mode = "CUDA" if self.provider == CUDA else "TensorRT"
            self.device = dict(enumerate(name for name, _ in environment.gpus())).get(int(self.options.get("device_id", 0)), self.provider)
            if self.precision == "fp32":
                self.precision = _cuda_precision(target) if self.provider == CUDA else _tensorrt_precision(target)
        if self.provider == CANN:
            self.precision = _cann_precision(target)
            self.simulated = "simulated" in self.version()  # a wheel that calls itself so is believed
            self.device = backends.device_name("Ascend by CANN", self.simulated)

    def version(self) -> str:
        return onnxruntime.__version__  # the distribution has several names

    def prepare(self, batch: int) -> None:
        """Have TensorRT build its engine for a batch size, once: that takes minutes and belongs to no call."""
        if self.provider != TENSORRT or batch in self._built:
            return
        given, started = self._session.get_inputs()[0], time.perf_counter()
        self(np.zeros((batch, *given.shape[1:]), np.uint8 if given.type == "tensor(uint8)" else np.float32))
        self.compile_seconds = time.perf_counter() - started
        self._built.add(batch)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"input": batch})[0]


def session(file: Path, target: Target, content: bytes | None = None) -> onnxruntime.InferenceSession:
    """Return a session whose first provider is the one asked for; a silent fall-back to another is a UserError.

    `content`: the model instead of what the file holds.
    """
    provider = _provider(target)
    _preload(provider)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = backends.thread_count(target)
    options.log_severity_level = 4  # errors are raised; printed as well, they are noise
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads must not slow a live baseline
    settings, provider_options = _split(target.provider_options)
    for name, value in settings.items():
        options.add_session_config_entry(name, str(value))
    try:
        loaded = onnxruntime.InferenceSession(content or file, options, _providers(provider, provider_options))
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = first_line(error).rstrip(".")
        raise UserError(f"ONNX Runtime can't load {file.name} with {provider}: {reason}.") from error
    if loaded.get_providers()[0] != provider:
        lacks = f"{SET_ENV} first" if provider == CANN else "see what its installation lacks (requirements-gpu.txt)"
        raise UserError(f"{provider} was asked for but {loaded.get_providers()[0]} runs: {lacks}.")
    loaded.disable_fallback()  # else a call that fails is silently run on the CPU
    return loaded


def _split(options: Mapping[str, object]) -> tuple[dict, dict]:
    """Return the options that are settings of the session, called session.<...>, and those of the provider."""
    settings = {name: value for name, value in options.items() if name.startswith("session.")}
    return settings, {name: value for name, value in options.items() if name not in settings}


def _provider(target: Target) -> str:
    provider = backends.provider(target)
    return PROVIDERS.get(provider, provider)


def _providers(provider: str, options: Mapping[str, object]) -> list[tuple[str, dict]]:
    """Return the providers in order of preference, in true fp32 where it is not said otherwise; what TensorRT lacks runs on CUDA."""
    if provider not in (CUDA, TENSORRT):
        return [(provider, dict(options))]
    plain = {"use_tf32": 0} | {key: value for key, value in options.items() if key == "device_id"}
    return [(CUDA, plain | options)] if provider == CUDA else [(TENSORRT, dict(options)), (CUDA, plain)]


def _preload(provider: str) -> None:
    """Load NVIDIA's libraries from their wheels, where the system's linker does not look."""
    if provider in (CUDA, TENSORRT):
        onnxruntime.preload_dlls()
    if provider == TENSORRT and importlib.util.find_spec("tensorrt_libs"):
        importlib.import_module("tensorrt_libs")


def _cuda_precision(target: Target) -> str:
    """Return what CUDA computes an fp32 model in: TF32, fewer digits of each factor, only where it is asked for."""
    return "tf32" if str(target.provider_options.get("use_tf32", 0)) in ("1", "True", "true") else "fp32"


def _tensorrt_precision(target: Target) -> str:
    """Return what TensorRT may compute an fp32 model in: TF32 by its own default, which has no provider option."""
    allowed = [name for key, name in TENSORRT_PRECISIONS.items() if str(target.provider_options.get(key)) in ("1", "True", "true")]
    plain = "fp32" if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0" else "tf32"
    return {0: plain, 1: allowed[0] if allowed else plain}.get(len(allowed), "mixed")


def _check_cann(target: Target) -> None:
    unknown = sorted(set(target.provider_options) - set(CANN_OPTIONS))
    if unknown:
        raise ParameterError(f"provider_options of {CANN} are {', '.join(CANN_OPTIONS)}, not {', '.join(unknown)}.")
    if target.precision not in ("auto", _cann_precision(target)):
        raise ParameterError(
            f"precision is {target.precision}, but with these provider_options CANN computes in {_cann_precision(target)}: "
            "say auto or change precision_mode."
        )


def _cann_precision(target: Target) -> str:
    """Return what CANN computes in; as with atc, its own default is fp16."""
    return PRECISIONS.get(str(target.provider_options.get("precision_mode", "")), "mixed")
