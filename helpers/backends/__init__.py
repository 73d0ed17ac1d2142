"""One file for each runtime, one contract, so that every other file is ignorant of the runtime."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from helpers import environment
from helpers.params import Target
from helpers.records import Model, Region


class Backend(ABC):
    """A loaded model: call it with a batch, get probabilities."""

    name: str
    provider: str  # what really runs: an execution provider, cpu, cuda, CPU
    device: str  # the hardware, in words that mean something in a report
    precision: str
    threads: int
    options: Mapping[str, object] = MappingProxyType({})
    region: Region = "compute"  # what one call covers; on a CPU there are no copies, so compute and device are the same
    simulated: bool = False

    @staticmethod
    @abstractmethod
    def check(target: Target) -> None:
        """Raise ParameterError when the target's provider, precision or options can't run here; nothing is loaded."""

    @abstractmethod
    def __init__(self, folder: Path, model: Model, target: Target):
        """Load the model of a run; another provider than the one asked for is a UserError."""

    @abstractmethod
    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return probabilities float32 [B, classes] for a batch as `preprocess.to_tensor` makes it."""

    def refusal(self, model: Model, batches: Sequence[int]) -> str | None:
        """Return why this backend gets no figure at these batch sizes: a check failed, or it was never compared."""
        is_original = self.simulated or self.name == "torch"
        return model.refusal() if is_original else model.refusal(self.identity, batches)

    def close(self) -> None:  # noqa: B027 - most runtimes free what they hold by themselves
        """Free what the runtime holds."""

    @property
    def label(self) -> str:
        """Return runtime and precision: the name of its line in a chart."""
        return f"{self.name} {self.precision}"

    @property
    def identity(self) -> str:
        """Return what decides the answers: runtime, precision, provider and its options; checks are known by it."""
        options = ", ".join(f"{key} {value}" for key, value in sorted(self.options.items()))
        return f"{self.label} on {self.provider}{f' ({options})' if options else ''}"

    def describe(self) -> str:
        """Return runtime, provider, precision and threads in one line."""
        return f"{self.name} {self.version()}, {self.provider}, {self.precision}, {self.threads} thread{'s' * (self.threads > 1)}"

    def version(self) -> str:
        """Return the version of the runtime."""
        return environment.versions((self.name,))[self.name]


def check(target: Target) -> None:
    """Raise ParameterError when the target can't run on this machine."""
    _named(target.backend).check(target)


def load(folder: Path, model: Model, target: Target) -> Backend:
    """Return the backend that the target names, with the run's model loaded."""
    check(target)
    return _named(target.backend)(folder, model, target)


def _named(backend: str) -> type[Backend]:
    return importlib.import_module(f"helpers.backends.{backend}").Backend


def cpu_device() -> str:
    """Return the processor's name with its number of cores."""
    return f"{environment.machine()['cpu']} ({environment.cores()} cores)"


def thread_count(target: Target) -> int:
    """Return the number of threads to use; 0 means one for each core."""
    return target.threads or environment.cores()
