"""PyTorch eager, on the CPU or a CUDA device: what a user has before any conversion."""

from pathlib import Path

import numpy as np
import torch

from helpers import backends, classifier, files, sources
from helpers.errors import ParameterError, UserError
from helpers.params import Target
from helpers.records import Model


class Backend(backends.Backend):
    name = "torch"
    precision = "fp32"

    @staticmethod
    def check(target: Target) -> None:
        here = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
        if backends.provider(target) not in here:
            raise ParameterError(f"provider {target.provider}: torch runs here on {' or '.join(here)}.")

    def __init__(self, folder: Path, model: Model, target: Target):
        self.provider = backends.provider(target)
        self.threads = backends.thread_count(target)
        self.device = torch.cuda.get_device_name() if self.provider == "cuda" else backends.cpu_device()
        self.region = "device" if self.provider == "cuda" else "compute"
        torch.set_num_threads(self.threads)
        checkpoint, expected = model.params["checkpoint"], model.stage("pytorch").sha256
        if expected and files.sha256(sources.existing("checkpoint", checkpoint)) != expected:
            raise UserError(f"{checkpoint} is not the file that was converted: run 2_convert again.")
        self._module = classifier.load(model.params["model"], checkpoint).to(self.provider)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self._module(torch.from_numpy(batch).to(self.provider)).cpu().numpy()
