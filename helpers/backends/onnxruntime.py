"""ONNX Runtime with the execution provider that the parameters name, and no other."""

from pathlib import Path

import numpy as np
import onnxruntime

from helpers import backends
from helpers.errors import ParameterError, UserError
from helpers.params import Target
from helpers.records import Model

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class Backend(backends.Backend):
    name = "onnxruntime"

    @staticmethod
    def check(target: Target) -> None:
        available = onnxruntime.get_available_providers()
        if PROVIDERS.get(target.provider, target.provider) not in available:
            raise ParameterError(f"provider {target.provider} is not in the installed onnxruntime: choose among {', '.join(available)}.")

    def __init__(self, folder: Path, model: Model, target: Target):
        stage = model.stage("onnx")
        self.precision, self.threads = stage.precision, backends.thread_count(target)
        self.options = target.provider_options
        self._session = session(folder / stage.file, target)
        self.provider = self._session.get_providers()[0]
        self.device = backends.cpu_device() if self.provider == "CPUExecutionProvider" else self.provider
        self.region = "compute" if self.provider == "CPUExecutionProvider" else "device"

    def version(self) -> str:
        return onnxruntime.__version__  # the distribution has several names

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"input": batch})[0]


def session(file: Path, target: Target) -> onnxruntime.InferenceSession:
    """Return a session whose first provider is the one asked for; a silent fall-back to another is a UserError."""
    provider = PROVIDERS.get(target.provider, target.provider)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = backends.thread_count(target)
    options.log_severity_level = 4  # errors are raised; printed as well, they are noise
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads must not slow a live baseline
    loaded = onnxruntime.InferenceSession(file, options, [(provider, dict(target.provider_options))])
    if loaded.get_providers()[0] != provider:
        raise UserError(f"{provider} was asked for but {loaded.get_providers()[0]} runs: see what its installation lacks.")
    return loaded
