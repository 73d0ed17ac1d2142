"""One file for each runtime, one contract, so that whoever infers need not know which runtime it is."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self

import numpy as np

from helpers import environment, formats
from helpers.errors import UserError
from helpers.params import Target
from helpers.preprocess import Preprocess
from helpers.records import Model, Region, Row, Telemetry
from helpers.timing import Times


@dataclass(frozen=True)
class Recorded:
    """What a model did on another machine: its answers to the images of this run, and its rows of the sweep."""

    answers: dict[int, tuple[np.ndarray, np.ndarray]]  # batch size -> indices int32 [M] of images and their answers float32 [M, classes]
    batch: int | None  # that of the most answers, None where there are none
    rounded: bool  # the answers were written with few decimals: a low place is arbitrary
    rows: list[Row]
    remarks: list[str]  # what must be known of how it was recorded
    source: str  # what was read
    place: str  # when and on what it was recorded, as far as told


class Sampler(Protocol):
    """Watches the device in the background from the beginning of a `with` block to its end."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def telemetry(self) -> Telemetry | None:
        """Return what was seen, None when nothing was."""


class Backend(ABC):
    """A loaded model: call it with a batch, get probabilities."""

    name: str
    provider: str  # what really runs: an execution provider, cpu, cuda, CPU
    device: str  # the hardware, in words that mean something in a report
    precision: str
    threads: int
    mode: str = ""  # a few words in the label, where options make it another line of the chart
    options: Mapping[str, object] = MappingProxyType({})
    region: Region = "compute"  # what one call covers; on a CPU there are no copies, so compute and device are the same
    simulated: bool = False
    computes: bool = True  # False: its answers mean nothing
    times: Times | None = None  # the parts of the last call, where it has parts
    compile_seconds: float | None = None  # of loading and the first call at a batch size, what a compiler took
    requests: int = 1  # calls in flight at once: from 2 on `flood` is timed instead of single calls
    loads_each_batch: bool = False  # every batch size has a model of its own
    recorded: Recorded | None = None  # instead of calls, where nothing runs here

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
        return model.refusal() if self.is_original or not self.computes else model.refusal(self.identity, batches)

    @property
    def is_original(self) -> bool:
        """Return whether this is what the converted model is compared with: PyTorch eager in fp32."""
        return (self.name, self.precision, self.mode) == ("torch", "fp32", "")

    def expects(self, how: Preprocess) -> Preprocess:
        """Return how the batches of this backend are made: as given, unless normalisation lives in its model."""
        return how

    def sizes(self, wanted: Sequence[int]) -> list[int]:
        """Return those of the batch sizes that it has a model for."""
        return list(wanted)

    def prepare(self, batch: int) -> None:  # noqa: B027 - most runtimes take any batch size
        """Load what a batch size needs."""

    def flood(self, batches: Iterator[np.ndarray], calls: int) -> list[float]:
        """Run so many calls with `requests` of them in flight and return the seconds that each took."""
        raise NotImplementedError

    def device_memory_bytes(self) -> int | None:
        """Return the most of the device's own memory that was in use since the last time it was asked, None where it is not told."""
        return None

    def sampler(self) -> Sampler | None:
        """Return what watches the device while a point is measured, None where nothing does."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - most runtimes free what they hold by themselves
        """Free what the runtime holds."""

    @property
    def label(self) -> str:
        """Return runtime, precision and mode: the name of its line in a chart."""
        return " ".join(filter(None, [self.name, self.precision, self.mode]))

    @property
    def identity(self) -> str:
        """Return what decides the answers: runtime, precision, provider and its options; checks are known by it."""
        options = ", ".join(f"{key} {value}" for key, value in sorted(self.options.items()))
        return f"{self.label} on {device_name(self.provider, self.simulated)}{f' ({options})' if options else ''}"

    def describe(self) -> str:
        """Return runtime, provider, precision, mode, threads and requests in one line."""
        several = f"{self.requests} requests" if self.requests > 1 else ""
        runtime, threads = f"{self.name} {self.version()}", formats.counted(self.threads, "thread")
        return ", ".join(filter(None, [runtime, self.provider, self.precision, self.mode, threads, several]))

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
    try:
        return importlib.import_module(f"helpers.backends.{backend}").Backend
    except ImportError as error:  # the wheel is there but does not fit, as onnxruntime-cann beside numpy 2
        raise UserError(f"backend {backend} can't be imported ({error}): correct its installation.") from error


def device_name(device: str, simulated: bool) -> str:
    """Return a device's name; a simulated one is never named without saying so."""
    return f"{device} (simulated device)" if simulated else device


def provider(target: Target) -> str:
    """Return the provider asked for; the CPU where that is left to the backend."""
    return "cpu" if target.provider == "auto" else target.provider


def cpu_device() -> str:
    """Return the processor's name with its number of cores."""
    return f"{environment.machine()['cpu']} ({environment.cores()} cores)"


def thread_count(target: Target) -> int:
    """Return the number of threads to use; 0 means one for each core."""
    return target.threads or environment.cores()
