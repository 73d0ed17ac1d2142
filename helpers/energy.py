"""Energy per image: what a counter says while one backend runs alone, less what the machine takes idle."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scipy import integrate

from helpers.records import Energy, Telemetry

POWERCAP = Path("/sys/class/powercap")
RAPL_SECONDS = 0.001  # how often it is renewed: Intel's manual, volume 3, "Package RAPL domain"
NVML_SECONDS = 0.1  # renewed every 20 to 100 ms, depending on the GPU
RENEWALS = 20  # a window must have so many: both its ends are off by up to one, and within one nothing is counted


class NoEnergy(Exception):
    """Why there is no figure."""


@dataclass(frozen=True)
class Counter:
    name: str  # which, and what it covers
    joules: Callable[[], float]  # since any moment; it only grows
    interval_seconds: float  # how often it is renewed
    running: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext  # while it is asked


def find(provider: str) -> Counter:
    """Return the counter of what a provider runs on, a processor or the only CUDA device; NoEnergy where none can be read."""
    if provider.lower().startswith(("cuda", "tensorrt")):
        return _nvml()
    if provider.lower().startswith("cpu"):
        return _rapl()
    raise NoEnergy(f"no counter is known for {provider}")


def measure(
    counter: Counter,
    run: Callable[[float], tuple[int, float]],
    idle_seconds: float,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Energy:
    """Return the energy per image of `run`, which drives one backend for at least the seconds it is given; NoEnergy when none shows.

    `run` returns images and the seconds they took; for the rest of its time (another process had to be told) the machine
    counts as idle. A window too short for the counter is lengthened.
    """
    shortest = RENEWALS * counter.interval_seconds
    with counter.running():
        started, joules = clock(), _read(counter)
        sleep(max(idle_seconds, shortest))
        began, began_joules = clock(), _read(counter)
        images, taken = run(max(seconds, shortest))
        ended, ended_joules = clock(), _read(counter)
    if taken < shortest:
        raise NoEnergy(f"{counter.name}: {taken:.3g} s under load, which needs {shortest:.3g} s")
    idle_w = (began_joules - joules) / (began - started)
    mean_w = (ended_joules - began_joules - idle_w * (ended - began - taken)) / taken
    return _energy(counter.name, idle_w, mean_w, taken, images, counter.interval_seconds)


def _read(counter: Counter) -> float:
    try:
        return counter.joules()
    except Exception as error:  # files and NVML share no base class
        raise NoEnergy(f"{counter.name}: {error}") from error


def of_telemetry(loaded: Telemetry | None, idle: Telemetry | None, images: int, seconds: float) -> Energy:
    """Return the energy per image of an Ascend device from its power while `images` took `seconds`, and while idle."""
    if loaded is None or idle is None or loaded.power_w is None or idle.power_w is None:
        raise NoEnergy("npu-smi tells no power")
    if loaded.power_of != idle.power_of:
        raise NoEnergy(f"npu-smi told the power of the {loaded.power_of} under load and of the {idle.power_of} idle")
    if min(loaded.samples, idle.samples) < RENEWALS:
        raise NoEnergy(f"{min(loaded.samples, idle.samples)} samples of the power, fewer than {RENEWALS}")
    name = f"npu-smi, power of the {loaded.power_of}"
    return _energy(name, idle.power_w, loaded.power_w, seconds, images, loaded.interval_seconds)


def _energy(counter: str, idle_w: float, mean_w: float, seconds: float, images: int, interval_seconds: float) -> Energy:
    """Return the record; NoEnergy where the counter stood still, or nothing is left for the images."""
    if images < 1 or not 0 < idle_w < mean_w < math.inf:
        raise NoEnergy(f"{counter}: {images} images, {mean_w:.2f} W under load, {idle_w:.2f} W idle")
    return Energy(
        counter=counter,
        joules_per_image=(mean_w - idle_w) * seconds / images,
        idle_w=idle_w,
        mean_w=mean_w,
        seconds=seconds,
        images=images,
        interval_seconds=interval_seconds,
    )


class _Domain:
    """One counter of RAPL, its wraparounds added up; it takes minutes to wrap, and is read more often."""

    def __init__(self, folder: Path):
        self._file = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text())
        self._last, self._total = int(self._file.read_text()), 0

    def joules(self) -> float:
        now = int(self._file.read_text())
        self._total += (now - self._last) % self._range
        self._last = now
        return self._total / 1e6


def _rapl() -> Counter:
    try:
        names = {folder: (folder / "name").read_text().strip() for folder in sorted(POWERCAP.glob("intel-rapl:*"))}
        # neither core and uncore, which are in their package, nor psys, which has the packages in it
        counted = {folder: name for folder, name in names.items() if name.startswith("package-") or name == "dram"}
        domains = [_Domain(folder) for folder in counted]
    except PermissionError as error:
        raise NoEnergy(f"RAPL may not be read ({error}): let root run `chmod a+r {POWERCAP}/intel-rapl:*/energy_uj`") from error
    except OSError as error:  # a container hides what the links point to
        raise NoEnergy(f"RAPL can't be read: {error}") from error
    if not domains:
        raise NoEnergy("no counter: the processor shows no RAPL here, as in most virtual machines")
    return Counter(f"RAPL, whole {', '.join(counted.values())}", lambda: sum(domain.joules() for domain in domains), RAPL_SECONDS)


class Sampled:
    """Joules added up from samples of the power."""

    def __init__(self, watts: Callable[[], float], clock: Callable[[], float] = time.perf_counter):
        self._watts, self._clock = watts, clock
        self._samples: list[tuple[float, float]] = []
        self._failure: Exception | None = None  # of the background: there is a gap

    def joules(self) -> float:
        """Return the energy since the first sample, up to one taken now."""
        if self._failure:
            raise self._failure
        self.sample()
        times, watts = zip(*sorted(self._samples), strict=True)
        return float(integrate.trapezoid(watts, times))

    def sample(self) -> None:
        """Ask once."""
        self._samples.append((self._clock(), self._watts()))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Ask again and again in the background."""
        stop = threading.Event()

        def sample_until_stopped() -> None:
            try:
                while not stop.wait(NVML_SECONDS):
                    self.sample()
            except Exception as error:  # nobody would see it in this thread
                self._failure = error

        thread = threading.Thread(target=sample_until_stopped, name="power", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _nvml() -> Counter:
    try:
        import pynvml
    except ImportError as error:
        raise NoEnergy("no counter: the GPU's is read through nvidia-ml-py, which is not installed") from error
    try:
        pynvml.nvmlInit()
        if pynvml.nvmlDeviceGetCount() > 1:  # which CUDA and NVML number differently
            raise NoEnergy("no counter: there are several GPUs, and it is not told which one runs")
        device = pynvml.nvmlDeviceGetHandleByIndex(0)
        try:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(device)
        except pynvml.NVMLError_NotSupported:  # before Volta
            pynvml.nvmlDeviceGetPowerUsage(device)
            sampled = Sampled(lambda: pynvml.nvmlDeviceGetPowerUsage(device) / 1000)
            return Counter("NVML, samples of the whole GPU's power", sampled.joules, NVML_SECONDS, sampled.running)
    except pynvml.NVMLError as error:
        raise NoEnergy(f"NVML: {error}") from error
    return Counter("NVML, whole GPU", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(device) / 1000, NVML_SECONDS)
