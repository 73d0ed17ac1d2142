"""Backends, records and workers for tests of the sweep: no model, no images worth looking at."""

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from helpers import worker
from helpers.backends import Backend
from helpers.params import Target
from helpers.preprocess import Preprocess
from helpers.worker import Failed, Worker

HOW = Preprocess(resize_short=4, crop=4, interpolation="bilinear", mean=[0.0] * 3, std=[1.0] * 3)


class Picky(Backend):
    """Answers at once; fails at one batch size, as a device that runs out of memory does, or is refused."""

    name, provider, device, precision, threads = "picky", "none", "none", "fp32", 1

    def __init__(self, fails_at=None, refused=None, name="picky"):
        self.fails_at, self.refused, self.name = fails_at, refused, name

    @staticmethod
    def check(target):
        pass

    def refusal(self, model, batches):
        return self.refused

    def describe(self):
        return self.name

    def __call__(self, batch):
        if self.fails_at in (len(batch), "any"):
            raise OSError("out of device memory\nat 0x1")  # not a RuntimeError: runtimes share no base class
        return np.full((len(batch), 10), 0.1, np.float32)


class Here(Worker):
    """A worker without a process, which nothing is slower than: what the sweep makes of it is the same."""

    hired: ClassVar[list] = []

    def __init__(self, folder, data, model, batch_sizes, target):
        self.alive, self.closed, self.killed = True, False, False
        self.hired.append(self)
        self.bench, self.loaded = worker.load(folder, data, model, batch_sizes, target)

    def _ask(self, function, method, *arguments):
        try:
            return getattr(self.bench, method)(*arguments)
        except Exception as error:
            failed = Failed(str(error).splitlines()[0])
            failed.worker = self
            raise failed from None

    def close(self):
        self.alive, self.closed = False, True

    def kill(self):
        self.alive, self.killed = False, True


def records(folder: Path) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Return as much of data.json and model.json as a worker reads, and write the images."""
    np.save(folder / "tensors.npy", np.zeros((12, 4, 4, 3), np.uint8))
    data = SimpleNamespace(tensors="tensors.npy", preprocess=HOW)
    return data, SimpleNamespace(classes=10, checks=[], refusal=no_refusal)


def no_refusal() -> None:
    """Stand for a model whose checks passed; a function of a module can be sent to a process."""


def hire(folder: Path) -> Worker:
    """Return a real worker of the null backend."""
    (folder / "artefacts").mkdir()
    return Worker(folder, *records(folder), [2, 4], Target(backend="null", provider_options={"call_ms": 1.0, "image_ms": 0.1}))


if __name__ == "__main__":
    hired = hire(Path(sys.argv[1]))
    print(hired._process, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
