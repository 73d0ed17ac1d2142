"""The timing loop, and what its blocks say: images per second with an interval, latency percentiles, ratios of two."""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy import special

from helpers.records import Copies, Interval, Latency, Measured, WarmUp

MINIMUM_BLOCKS = 30  # fewer say too little of their own spread
PRECISE = 0.01  # half-width of an interval that needs no more blocks
WINDOW_SECONDS = 0.05  # of the warm-up
SETTLED = 1.02  # windows that agree


@dataclass(frozen=True)
class Profile:
    """How long a point is measured: at least so many blocks and seconds, then until its interval is narrow or it is long enough."""

    blocks: int
    seconds: float
    longest_seconds: float  # of blocks, while the interval is wide
    warm_up_seconds: float
    limit_seconds: float  # of each that takes turns: after so long a point ends as it is, with too few blocks for an interval
    processes: int = 1  # fresh ones, one after the other; blocks and seconds are of each
    block_seconds: float = 0.05

    def expected_seconds(self, call: float, batch_sizes: list[int]) -> float:
        """Return about how long one backend's points take when one image takes `call` seconds."""
        warm_up = sum(min(max(1.0, 10 * call * batch), self.warm_up_seconds) for batch in batch_sizes)
        blocks = sum(min(max(self.seconds, self.blocks * call * batch), self.limit_seconds) for batch in batch_sizes)
        return self.processes * (warm_up + blocks)


PROFILES = {
    "quick": Profile(30, 1.5, 1.5, 1.0, 20.0),
    "standard": Profile(30, 10.0, 30.0, 30.0, 240.0),
    "official": Profile(30, 12.0, 36.0, 30.0, 600.0, processes=5),
}


@dataclass(frozen=True)
class Times:
    """Seconds of one call's parts: copy to the device, synchronous execution, copy back."""

    to_device: float
    compute: float
    to_host: float


@dataclass(frozen=True)
class Block:
    """Some calls that were timed together; seconds."""

    seconds: float  # wall
    calls: list[float]  # each; with several in flight they add up to more than the wall
    parts: list[Times] = field(default_factory=list)  # of each call, where the backend tells them apart
    cpu_seconds: float = 0.0  # of all threads of the process


def block(run: Callable[[], Times | None], calls: int, clock: Callable[[], float]) -> Block:
    """Time some calls, one after the other."""
    parts, marks = [], [clock()]
    for _ in range(calls):
        parts.append(run())
        marks.append(clock())
    each = [after - before for before, after in itertools.pairwise(marks)]
    return Block(marks[-1] - marks[0], each, [part for part in parts if part])


class Timed(Protocol):
    """What can be measured: a backend here, or in a process of its own."""

    def block(self, calls: int, lead: bool) -> Block:
        """Time so many calls; `lead`: after one that is not counted, since another has just had the caches."""


@dataclass
class Point:
    """What one backend did at one batch size, in one process or several."""

    batch: int
    calls_per_block: int
    blocks: list[Block] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])  # where each process begins among the blocks

    @property
    def seconds(self) -> np.ndarray:
        """Return the wall time of each block."""
        return np.array([block.seconds for block in self.blocks])

    def measured(self) -> Measured:
        """Return what the whole calls came to."""
        calls = [call for block in self.blocks for call in block.calls]
        return measured(self.batch * self.calls_per_block, self.seconds, calls, self.starts)

    def computed(self) -> Measured | None:
        """Return what the execution alone came to, without the copies; None where the backend does not tell it apart."""
        if not self.blocks[0].parts:
            return None
        blocks = np.array([sum(part.compute for part in block.parts) for block in self.blocks])
        calls = [part.compute for block in self.blocks for part in block.parts]
        return measured(self.batch * self.calls_per_block, blocks, calls, self.starts)

    def copies(self) -> Copies | None:
        """Return the mean times of the copies; None where the backend does not tell them apart."""
        parts = [part for block in self.blocks for part in block.parts]
        if not parts:
            return None
        means = np.mean([(part.to_device, part.to_host) for part in parts], axis=0) * 1000
        return Copies(to_device_ms=float(means[0]), to_host_ms=float(means[1]))

    def processes(self) -> list[np.ndarray]:
        """Return the wall time of each block, process by process."""
        return np.split(self.seconds, self.starts[1:])

    def cores_busy(self) -> float:
        """Return how many cores its process kept busy while its blocks ran."""
        return sum(block.cpu_seconds for block in self.blocks) / float(self.seconds.sum())


def measured(images: int, blocks: np.ndarray, calls: list[float], starts: Sequence[int] = (0,)) -> Measured:
    """Return real images over the time of blocks of `images` images, its 95 % interval, and percentiles of the calls.

    `blocks` and `calls` are seconds; `starts` says where each process begins among the blocks.
    """
    mean = float(np.mean([part.mean() for part in np.split(blocks, starts[1:])]))  # of processes, each weighs the same
    fps, half = images / mean, half_width(blocks, mean, starts)
    p50, p90, p99 = (float(value) for value in np.percentile(np.array(calls) * 1000, (50, 90, 99)))
    return Measured(
        images_per_second=fps,
        interval_fps=(fps / (1 + half), fps / (1 - half)) if half < 1 and len(blocks) >= MINIMUM_BLOCKS else None,
        latency_ms=Latency(
            mean=float(np.mean(calls)) * 1000,
            p50=p50,
            p90=p90 if len(calls) >= 64 else None,
            p99=p99 if len(calls) >= 459 else None,
        ),
        blocks=len(blocks),
        calls=len(calls),
    )


def ratio_interval(candidate: Point, baseline: Point) -> Interval | None:
    """Return the 95 % interval of candidate over baseline in images per second, from blocks that took turns.

    What disturbs both alike falls out: the linearised ratio of two means has the residuals a/mean(a) - b/mean(b), taken pair by
    pair (Cochran, Sampling Techniques, 1977, section 6.3). None below 30 pairs.
    """
    mine, theirs = candidate.seconds, baseline.seconds
    if len(mine) != len(theirs) or len(mine) < MINIMUM_BLOCKS:
        return None
    ratio = candidate.measured().images_per_second / baseline.measured().images_per_second
    half = half_width(mine / mine.mean() - theirs / theirs.mean(), 1.0, candidate.starts)
    return (ratio * math.exp(-half), ratio * math.exp(half)) if half < 1 else None


def half_width(values: np.ndarray, mean: float, starts: Sequence[int] = (0,), level: float = 0.95) -> float:
    """Return the half-width of the interval of the values' mean, as a share of `mean`: Student t, neighbours correlated.

    A correlation r of neighbours leaves n (1 - r) / (1 + r) independent values (Bayley and Hammersley, 1946); r is raised by its
    own bias, (1 + 4 r) / n (Kendall, 1954). Of several processes the means are the values, since processes differ by more than blocks do.
    """
    if len(starts) > 1:
        values = np.array([part.mean() for part in np.split(values, starts[1:])])
    count = len(values)
    deviations = values - values.mean()
    variance = float(deviations @ deviations)
    if count < 2 or variance == 0:
        return 0.0 if variance == 0 and count > 1 else math.inf
    independent = float(count)
    if len(starts) == 1:
        found = float(deviations[:-1] @ deviations[1:]) / variance
        correlation = min(max(found + (1 + 4 * found) / count, 0.0), 0.99)
        independent = max(count * (1 - correlation) / (1 + correlation), 2.0)
    error = math.sqrt(variance / (count - 1) / independent)
    return float(special.stdtrit(independent - 1, (1 + level) / 2)) * error / float(mean)


def warm_up(run: Callable[[], object], limit_seconds: float, clock: Callable[[], float]) -> tuple[WarmUp, float]:
    """Run at least 10 calls or a second, then until three windows of 50 ms agree or the limit; return what was used, and the fastest call.

    The fastest is in seconds.
    """
    started = now = clock()
    windows, calls, fastest = [], 0, math.inf
    while True:
        begun, before, counts = now, calls, calls >= 10 or now - started >= 1.0
        while now - begun < WINDOW_SECONDS:
            run()
            earlier, now, calls = now, clock(), calls + 1
            fastest = min(fastest, now - earlier)
        windows += [(now - begun) / (calls - before)] if counts else []
        settled = len(windows) >= 3 and max(windows[-3:]) <= SETTLED * min(windows[-3:])
        if settled or now - started >= limit_seconds:
            return WarmUp(calls=calls, seconds=round(now - started, 3), settled=settled), fastest


def interleave(timed: Sequence[Timed], points: Sequence[Point], profile: Profile, clock: Callable[[], float] = time.perf_counter) -> None:
    """Add the blocks of one process to each point: of one backend, or of several in the order A B B A, so that drift meets all alike."""
    began, started = len(points[0].blocks), clock()
    order = range(len(timed))
    for turn in itertools.cycle([*order, *reversed(order)]):
        points[turn].blocks.append(timed[turn].block(points[turn].calls_per_block, lead=len(timed) > 1))
        if len({len(point.blocks) for point in points}) == 1:
            limit = clock() - started >= profile.limit_seconds * len(timed)
            if limit or all(_enough(point.seconds[began:], profile) for point in points):
                return


def _enough(blocks: np.ndarray, profile: Profile) -> bool:
    """Return whether the profile asks for no more blocks: there are enough, and the interval is narrow or the point long."""
    total = blocks.sum()
    if len(blocks) < profile.blocks or total < profile.seconds:
        return False
    return bool(total >= profile.longest_seconds) or half_width(blocks, blocks.mean()) <= PRECISE
