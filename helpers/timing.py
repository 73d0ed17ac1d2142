"""The timing loop, and what its blocks say: images per second with an interval, latency percentiles."""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from helpers.records import Copies, Latency, Measured


@dataclass(frozen=True)
class Profile:
    """How long a point is measured: at least so many blocks and so many seconds, after a warm-up of at most so many."""

    blocks: int
    seconds: float
    warm_up_seconds: float
    limit_seconds: float  # after so long a point ends as it is, with too few blocks for an interval
    block_seconds: float = 0.05

    def expected_seconds(self, call: float, batch_sizes: list[int]) -> float:
        """Return about how long one backend's points take when one image takes `call` seconds."""
        return sum(min(max(self.seconds, self.blocks * call * batch), self.limit_seconds) for batch in batch_sizes)


PROFILES = {"quick": Profile(30, 1.5, 2.0, 20.0), "standard": Profile(30, 10.0, 30.0, 240.0)}
MINIMUM_BLOCKS = 30  # fewer say too little of their own spread


@dataclass(frozen=True)
class Times:
    """Seconds of one call's parts: copy to the device, synchronous execution, copy back."""

    to_device: float
    compute: float
    to_host: float


@dataclass
class Point:
    """What one backend did at one batch size; times in seconds."""

    batch: int
    calls_per_block: int = 1
    blocks: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    parts: list[Times] = field(default_factory=list)  # of each call, where the backend tells them apart

    def done(self, profile: Profile) -> bool:
        """Return whether the profile asks for no more blocks."""
        return len(self.blocks) >= profile.blocks and sum(self.blocks) >= profile.seconds

    def measured(self) -> Measured:
        """Return what the whole calls came to."""
        return measured(self.batch * self.calls_per_block, self.blocks, self.calls)

    def computed(self) -> Measured:
        """Return what the execution alone came to, without the copies: in the definition of ais_bench."""
        calls = [part.compute for part in self.parts]
        blocks = np.reshape(calls, (len(self.blocks), self.calls_per_block)).sum(axis=1).tolist()
        return measured(self.batch * self.calls_per_block, blocks, calls)

    def copies(self) -> Copies:
        """Return the mean times of the copies."""
        ways = [[1000 * part.to_device for part in self.parts], [1000 * part.to_host for part in self.parts]]
        return Copies(to_device_ms=float(np.mean(ways[0])), to_host_ms=float(np.mean(ways[1])))


def measured(images: int, blocks: list[float], calls: list[float]) -> Measured:
    """Return real images over the time of all blocks of `images` images, its 95 % interval, and percentiles of the calls.

    `blocks` and `calls` are seconds.
    """
    fps = images * len(blocks) / sum(blocks)
    half = half_width(np.array(blocks))
    percentiles = [float(value) for value in np.percentile(np.array(calls) * 1000, (50, 90, 99))]
    return Measured(
        images_per_second=fps,
        interval_fps=(fps / (1 + half), fps / (1 - half)) if half < 1 and len(blocks) >= MINIMUM_BLOCKS else None,
        latency_ms=Latency(
            p50=percentiles[0],
            p90=percentiles[1] if len(calls) >= 64 else None,
            p99=percentiles[2] if len(calls) >= 459 else None,
        ),
        blocks=len(blocks),
        calls=len(calls),
    )


def half_width(blocks: np.ndarray, level: float = 0.95) -> float:
    """Return the relative half-width of the mean block time's interval: Student t, blocks correlated at lag 1.

    A correlation r between neighbours leaves n (1 - r) / (1 + r) independent blocks (Bayley and Hammersley, 1946).
    """
    deviations = blocks - blocks.mean()
    variance = float(deviations @ deviations)
    if len(blocks) < 2 or variance == 0:
        return 0.0 if variance == 0 and len(blocks) > 1 else math.inf
    correlation = min(max(float(deviations[:-1] @ deviations[1:]) / variance, 0.0), 0.99)
    independent = max(len(blocks) * (1 - correlation) / (1 + correlation), 2.0)
    error = math.sqrt(variance / (len(blocks) - 1) / independent)
    return float(stats.t.ppf((1 + level) / 2, independent - 1)) * error / float(blocks.mean())


def warm_up(run: Callable[[], object], profile: Profile, clock: Callable[[], float]) -> float:
    """Run at least 10 calls, or until the profile's limit; return the seconds of the fastest."""
    times = []
    while not times or (len(times) < 10 and sum(times) < profile.warm_up_seconds):
        started = clock()
        run()
        times.append(clock() - started)
    return min(times)


def interleave(
    runs: list[Callable[[], Times | None]], batch: int, profile: Profile, clock: Callable[[], float] = time.perf_counter
) -> list[Point]:
    """Measure one batch size of one backend, or of two in the order A B B A, so that drift meets both alike.

    Each block starts with a call that is not counted: the other backend has just had the caches. A run returns the parts of
    its call where it knows them.
    """
    points = []
    for run in runs:
        fastest = warm_up(run, profile, clock)
        points.append(Point(batch, max(1, math.ceil(profile.block_seconds / max(fastest, 1e-6)))))
    order, started = list(range(len(runs))), clock()
    for turn in itertools.cycle([*order, *reversed(order)]):
        point, run = points[turn], runs[turn]
        if len(runs) > 1:
            run()
        marks = [clock()]
        for _ in range(point.calls_per_block):
            parts = run()
            marks.append(clock())
            if parts:
                point.parts.append(parts)
        point.blocks.append(marks[-1] - marks[0])
        point.calls += np.diff(marks).tolist()
        enough = all(point.done(profile) for point in points) or clock() - started > profile.limit_seconds
        if enough and len({len(point.blocks) for point in points}) == 1:
            return points
