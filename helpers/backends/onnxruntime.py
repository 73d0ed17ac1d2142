"""ONNX Runtime with the execution provider that the parameters name, and no other."""

from pathlib import Path

import numpy as np
import onnxruntime

from helpers import backends
from helpers.ascend.atc import SET_ENV
from helpers.ascend.atc_options import PRECISIONS
from helpers.errors import ParameterError, UserError
from helpers.params import Target
from helpers.records import Model

CPU, CANN = "CPUExecutionProvider", "CANNExecutionProvider"
PROVIDERS = {"cpu": CPU, "cuda": "CUDAExecutionProvider"}
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
            raise ParameterError(f"provider {target.provider} is not in the installed onnxruntime: choose among {', '.join(available)}.")
        if wanted == CANN:
            _check_cann(target)

    def __init__(self, folder: Path, model: Model, target: Target):
        stage = model.stage("onnx")
        self.precision, self.threads = stage.precision, backends.thread_count(target)
        self.options = target.provider_options
        self._session = session(folder / stage.file, target)
        self.provider = self._session.get_providers()[0]
        self.device = backends.cpu_device() if self.provider == CPU else self.provider
        self.region = "compute" if self.provider == CPU else "device"
        if self.provider == CANN:
            self.precision = _cann_precision(target)
            self.simulated = "simulated" in self.version()  # a wheel that calls itself so is believed
            self.device = backends.device_name("Ascend by CANN", self.simulated)

    def version(self) -> str:
        return onnxruntime.__version__  # the distribution has several names

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"input": batch})[0]


def session(file: Path, target: Target) -> onnxruntime.InferenceSession:
    """Return a session whose first provider is the one asked for; a silent fall-back to another is a UserError."""
    provider = _provider(target)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = backends.thread_count(target)
    options.log_severity_level = 4  # errors are raised; printed as well, they are noise
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads must not slow a live baseline
    try:
        loaded = onnxruntime.InferenceSession(file, options, [(provider, dict(target.provider_options))])
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = str(error).strip().splitlines()[0].rstrip(".")[:300]
        raise UserError(f"ONNX Runtime can't load {file.name} with {provider}: {reason}.") from error
    if loaded.get_providers()[0] != provider:
        lacks = f"{SET_ENV} first" if provider == CANN else "see what its installation lacks"
        raise UserError(f"{provider} was asked for but {loaded.get_providers()[0]} runs: {lacks}.")
    return loaded


def _provider(target: Target) -> str:
    provider = backends.provider(target)
    return PROVIDERS.get(provider, provider)


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
