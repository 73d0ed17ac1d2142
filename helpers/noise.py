"""Whether a number was measured in peace: how much its blocks vary, and what the machine did meanwhile."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import psutil
from scipy import stats

from helpers.records import Noise

CPUS = Path("/sys/devices/system/cpu")
NOT_BUSY = {"idle", "iowait", "guest", "guest_nice"}  # what guests use is in user and nice as well
LOUDNESS = ("STABLE", "NOISY", "UNSTABLE")
FEWEST = 9  # blocks: three windows of three
FIXED = np.linspace(0.1, 1.0, 8192)  # 64 kB, and as much for the result: any core's own cache holds both


def sentinel(clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds of a fixed piece of work on one core, the fastest of eight times of about 5 ms.

    Square roots keep the core's divider busy and nothing else: no memory, no BLAS and its threads.
    """
    times, scratch = [], np.empty_like(FIXED)
    for _ in range(8):
        started = clock()
        for _ in range(500):
            np.sqrt(FIXED, out=scratch)
        times.append(clock() - started)
    return min(times)


def frequency_khz() -> int | None:
    """Return the frequency of the fastest core, None where the system has no such file, as in most virtual machines."""
    return max(_numbers("cpufreq/scaling_cur_freq"), default=0) or None


def throttle_count() -> int | None:
    """Return how often cores and packages were slowed because of heat since the machine started, None where nothing counts it."""
    counts = _numbers("thermal_throttle/*_throttle_count")
    return sum(counts) if counts else None


def others_seconds() -> float:
    """Return the CPU seconds spent since the machine started by all but this process and its descendants, stolen ones included."""
    return sum(seconds for kind, seconds in psutil.cpu_times()._asdict().items() if kind not in NOT_BUSY) - _own_seconds()


@dataclass(frozen=True)
class Seen:
    """What the machine did while a point was measured: the fields of `records.Noise` that are not of the blocks."""

    sentinel_pct: float | None = None
    clock_pct: float | None = None
    throttled: bool | None = None
    others_pct: float | None = None


class Watch:
    """Looks at the machine when a `with` block begins and when it ends; `seen` has the difference.

    Others' share is of all cores of the machine, not of those that a container's quota leaves us: /proc/stat counts the
    processes of the whole host, and divided by a quota they would exceed 100 %.
    """

    seen: Seen

    def __init__(
        self,
        sentinel: Callable[[], float] = sentinel,
        frequency: Callable[[], float | None] = frequency_khz,
        throttles: Callable[[], int | None] = throttle_count,
        others: Callable[[], float] = others_seconds,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._probes = (sentinel, frequency, throttles, others, clock)  # the frequency after the sentinel: always under the same load

    def __enter__(self) -> Self:
        self._before = [probe() for probe in self._probes]
        return self

    def __exit__(self, *_: object) -> None:
        after = [probe() for probe in self._probes]
        work, frequency, throttles, others, clock = zip(self._before, after, strict=True)
        available = (clock[1] - clock[0]) * (psutil.cpu_count() or 1)
        self.seen = Seen(
            sentinel_pct=_change_pct(*work),
            clock_pct=None if None in frequency else _change_pct(*frequency),
            throttled=None if None in throttles else throttles[1] > throttles[0],
            others_pct=max(0.0, 100 * (others[1] - others[0]) / available),  # counted in ticks: it can come out just below zero
        )


def judge(blocks: np.ndarray, seen: Seen) -> Noise:
    """Return the verdict on a point: `blocks` are the seconds of its counted blocks, in order.

    Windows are tenths of the blocks, so that three of them are the end of the point, but of three blocks or more, so that one
    slow block does not make a window of its own. Outliers: modified z-score above 3.5 (Iglewicz and Hoaglin, 1993).
    """
    median, count = float(np.median(blocks)), len(blocks)
    thirds = [float(part.mean()) for part in np.array_split(blocks, min(3, count))]
    windows = [float(part.mean()) for part in np.array_split(blocks[-3 * max(3, count // 10) :], min(3, count))]
    noise = Noise(
        verdict="STABLE",
        reasons=[],
        variation_pct=100 * float(stats.variation(blocks, ddof=min(1, count - 1))),
        iqr_pct=100 * float(stats.iqr(blocks)) / median,
        windows_pct=_change_pct(min(windows), max(windows)),
        drift_pct=_change_pct(thirds[0], thirds[-1]),
        outliers=int(np.sum(np.abs(blocks - median) > 3.5 * stats.median_abs_deviation(blocks, scale="normal"))),
        **asdict(seen),
    )
    reasons = _reasons(noise, count)
    verdict = "UNSTABLE" if noise.iqr_pct >= 25 else "NOISY" if reasons else "STABLE"
    return noise.model_copy(update={"verdict": verdict, "reasons": reasons})


def worst(found: Sequence[Noise]) -> Noise:
    """Return the loudest of several verdicts, the first of equals."""
    return max(found, key=lambda noise: LOUDNESS.index(noise.verdict))


def _reasons(noise: Noise, count: int) -> list[str]:
    """Return why a point is noisy: causes first, then what they did to the blocks; what is not known is no reason."""
    others, work, clock = noise.others_pct or 0.0, noise.sentinel_pct or 0.0, noise.clock_pct or 0.0
    found = {
        f"other processes took {others:.1f} % of the cores": others > 5,
        "the processor throttled itself because of heat": noise.throttled,
        f"the clock fell by {-clock:.1f} %": clock < -2,
        f"the sentinel {'slowed' if work > 0 else 'sped up'} by {abs(work):.1f} %": abs(work) > 3,
        f"only {count} blocks to judge by": count < FEWEST,
        f"blocks vary by {noise.variation_pct:.1f} %": noise.variation_pct > 2.5,
        f"the middle half of the blocks spans {noise.iqr_pct:.1f} %": noise.iqr_pct >= 10,
        f"the last three windows differ by {noise.windows_pct:.1f} %": noise.windows_pct > 10,
        f"blocks became {'slower' if noise.drift_pct > 0 else 'faster'} by {abs(noise.drift_pct):.1f} %": abs(noise.drift_pct) > 2,
    }
    return [reason for reason, holds in found.items() if holds]


def _change_pct(before: float, after: float) -> float:
    return 100 * (after / before - 1)


def _numbers(pattern: str) -> list[int]:
    """Return what the files of all cores say; a core that is off, or does not know, says nothing."""
    numbers = []
    for file in CPUS.glob(f"cpu*/{pattern}"):
        with contextlib.suppress(OSError, ValueError):
            numbers.append(int(file.read_text()))
    return numbers


def _own_seconds() -> float:
    own, seconds = psutil.Process(), 0.0
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended just now
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system  # children: those that have ended
    return seconds
