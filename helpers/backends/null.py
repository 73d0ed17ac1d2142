"""A device that sleeps for a known time and answers nonsense: for testing the harness, never for a number without a banner."""

import time
from pathlib import Path

import numpy as np

from helpers import backends
from helpers.errors import ParameterError
from helpers.params import Target
from helpers.records import Model


class Backend(backends.Backend):
    name = "null"
    provider = "sleep"
    device = backends.device_name("null, which sleeps", simulated=True)
    precision = "fp32"
    threads = 1
    simulated = True
    computes = False

    @staticmethod
    def check(target: Target) -> None:
        unknown = set(target.provider_options) - {"call_ms", "image_ms"}
        if unknown:
            raise ParameterError(f"provider_options of backend null are call_ms and image_ms, not {', '.join(sorted(unknown))}.")

    def __init__(self, folder: Path, model: Model, target: Target):
        self._call_s = float(target.provider_options.get("call_ms", 5.0)) / 1000
        self._image_s = float(target.provider_options.get("image_ms", 1.0)) / 1000
        self._classes = model.classes
        self.slept_seconds = 0.0  # what it really took, to hold a harness against

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        started = time.perf_counter()
        time.sleep(self._call_s + self._image_s * len(batch))
        self.slept_seconds += time.perf_counter() - started
        return np.full((len(batch), self._classes), 1 / self._classes, np.float32)

    def version(self) -> str:
        return "0"
