"""Is the harness right? Its intervals and verdicts on simulated noise of known size, and its clock against a sleep of known length.

The peer of the interval is arch's stationary bootstrap on the same simulated blocks; that of the clock is the sleep itself, as
the null backend times it. Writes results/harness_<cores>cores.json and exits with 1 when a criterion is not met.
"""

import math
import subprocess
import sys
import time
import warnings

import numpy as np
import outcome
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from scipy import signal

from helpers import environment, noise, timing, verdict
from helpers.backends import null
from helpers.bench import Bench
from helpers.params import Target
from helpers.records import Row, Series
from helpers.timing import Block, Point

SIMULATIONS = 2000
BOOTSTRAPS = 300  # the peer takes a hundred times as long
BLOCK_SECONDS = 0.05
BURN_SECONDS = 3
MET = {True: "met", False: "NOT MET", None: ""}
QUIET = noise.Seen(sentinel_pct=0.0, clock_pct=0.0, throttled=False, others_pct=0.0)


class Clock:
    """Time that moves only when a simulated block says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Simulated:
    """Blocks whose mean is known, with log-normal noise of known size, correlated with its neighbour: first-order autoregressive."""

    def __init__(self, clock: Clock, random: np.random.Generator, variation: float, correlation: float, mean: float = BLOCK_SECONDS):
        steps = random.standard_normal(1500)
        steps[0] /= math.sqrt(1 - correlation**2)  # stationary from the beginning
        states = signal.lfilter([math.sqrt(1 - correlation**2)], [1.0, -correlation], steps)
        deviation = math.sqrt(math.log1p(variation**2))
        self._clock, self._times = clock, iter((mean * np.exp(deviation * states - deviation**2 / 2)).tolist())

    def block(self, calls: int, lead: bool) -> Block:
        """Return the next block."""
        seconds = next(self._times)
        self._clock.now += seconds
        return Block(seconds, [seconds])


def main() -> int:
    """Check every criterion, print it beside what was found, and return the exit code."""
    found = [*coverage(), *verdicts(), *clock_and_loop(), *injected_noise()]
    for one in found:
        print(f"{one['what']:95} {one['found']:>10.4g}   {one['wanted']:24} {MET[one['met']]}")
    print(f"written: {outcome.write('harness', {'criteria': found}, ('numpy', 'scipy', 'arch'))}")
    return 1 if any(one["met"] is False for one in found) else 0


def criterion(what: str, found: float, low: float = -math.inf, high: float = math.inf) -> dict:
    """Return a figure with the bounds that it must keep; without bounds it is there to be compared with."""
    if not math.isfinite(low) and not math.isfinite(high):
        return {"what": what, "found": float(found), "wanted": "", "met": None}
    wanted = (
        f"{low:g} to {high:g}" if math.isfinite(low) and math.isfinite(high) else f"<= {high:g}" if math.isfinite(high) else f">= {low:g}"
    )
    return {"what": what, "found": float(found), "wanted": wanted, "met": bool(low <= found <= high)}


def coverage() -> list[dict]:
    """Return how often the 95 % interval holds the truth, at standard length, beside arch's stationary bootstrap."""
    found = []
    for correlation in (0.0, 0.3, 0.7):
        for variation in (0.01, 0.05):
            said = f"coverage, standard, variation {100 * variation:g} %, correlation {correlation:g}"
            points = [simulate("standard", variation, correlation, seed)[0] for seed in range(SIMULATIONS)]
            covered = np.array([covers(point) for point in points])
            flagged = np.array([noise.judge(point.seconds, QUIET).verdict != "STABLE" for point in points])
            if correlation <= 0.3:
                found.append(criterion(said, covered.mean(), 0.93, 0.97))
            else:
                found.append(criterion(f"{said}, or flagged NOISY", (covered | flagged).mean(), 0.90))
                found.append(criterion(f"{said}, flagged or not", covered.mean()))
            peer = np.mean([bootstrap_covers(point, seed) for seed, point in enumerate(points[:BOOTSTRAPS])])
            found.append(criterion(f"  its peer: stationary bootstrap (arch), {BOOTSTRAPS} of these", peer))
    for correlation in (0.0, 0.3, 0.7):  # the specification bounds standard length alone; these bounds are ours
        for variation in (0.01, 0.02, 0.04):
            points = [simulate("quick", variation, correlation, seed)[0] for seed in range(SIMULATIONS)]
            covered = np.mean([covers(point) for point in points])
            found.append(criterion(f"coverage, quick, variation {100 * variation:g} %, correlation {correlation:g}", covered, 0.88, 0.98))
    points = [official(seed) for seed in range(SIMULATIONS // 10)]
    found.append(criterion("coverage, official, processes that differ by 1 %", np.mean([covers(point) for point in points]), 0.90, 0.99))
    return found


def official(seed: int) -> Point:
    """Return a point of five fresh processes whose means differ at random by one percent, blocks by one percent more."""
    clock, random, point = Clock(), np.random.default_rng([seed, 5]), Point(1, 1)
    profile = timing.PROFILES["official"]
    for process in range(profile.processes):
        if process:
            point.starts.append(len(point.blocks))
        mean = BLOCK_SECONDS * (1 + 0.01 * random.standard_normal())
        timing.interleave([Simulated(clock, random, 0.01, 0.3, mean)], [point], profile, clock)
    return point


def simulate(profile: str, variation: float, correlation: float, seed: int, slower: tuple[float, ...] = (1.0,)) -> list[Point]:
    """Return the points of a simulated measurement, one for each factor in `slower`, that took turns under one profile."""
    clock, random = Clock(), np.random.default_rng([seed, round(1000 * variation), round(10 * correlation), len(slower)])
    timed = [Simulated(clock, random, variation, correlation, BLOCK_SECONDS * factor) for factor in slower]
    points = [Point(1, 1) for _ in slower]
    timing.interleave(timed, points, timing.PROFILES[profile], clock)
    return points


def covers(point: Point) -> bool:
    """Return whether a point's interval holds the true images per second."""
    low, high = point.measured().interval_fps or (0.0, math.inf)
    return low <= 1 / BLOCK_SECONDS <= high


def bootstrap_covers(point: Point, seed: int) -> bool:
    """Return the same of the percentile interval of arch's stationary bootstrap with its optimal block length."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        length = max(1.0, float(optimal_block_length(point.seconds)["stationary"].iloc[0]))
        low, high = StationaryBootstrap(length, point.seconds, seed=seed).conf_int(np.mean, 500, method="percentile")[:, 0]
    return bool(low <= BLOCK_SECONDS <= high)


def verdicts() -> list[dict]:
    """Return how often an A/A comparison and a 3 % slowdown get which verdict."""
    found = []
    for profile in ("quick", "standard"):
        for variation, correlation in ((0.01, 0.0), (0.01, 0.3), (0.05, 0.3), (0.05, 0.7)):
            noisy = f"{profile}, variation {100 * variation:g} %, correlation {correlation:g}"
            same = judged(profile, variation, correlation, 1.0)
            found.append(criterion(f"A/A at tolerance 5 %, {noisy}: FAIL", share(same, 5.0, "FAIL"), high=0.01))
            found.append(criterion(f"A/A at tolerance 0 %, {noisy}: FAIL", share(same, 0.0, "FAIL"), high=0.05))
            if variation == 0.01:
                found.append(criterion(f"A/A at tolerance 5 %, {noisy}: PASS", share(same, 5.0, "PASS"), 0.90))
            slower = judged(profile, variation, correlation, 1.03)
            found.append(criterion(f"3 % slower at tolerance 1 %, {noisy}: PASS", share(slower, 1.0, "PASS"), high=0.05))
            if variation == 0.01:
                found.append(criterion(f"3 % slower at tolerance 1 %, {noisy}: FAIL", share(slower, 1.0, "FAIL"), 0.80))
    return found


def judged(profile: str, variation: float, correlation: float, slower: float) -> list[list[Series]]:
    """Return the series of simulated sweeps of one batch size, candidate and baseline."""
    return [series(*simulate(profile, variation, correlation, seed, (slower, 1.0))) for seed in range(SIMULATIONS)]


def series(candidate: Point, baseline: Point) -> list[Series]:
    """Return two points as the sweep would record them."""
    told = {"kind": "measured", "backend": "", "device": "", "precision": "fp32", "source": ""}
    ours = Row(batch=1, regions={"compute": candidate.measured()}, ratio_interval=timing.ratio_interval(candidate, baseline))
    theirs = Row(batch=1, regions={"compute": baseline.measured()})
    return [Series(name="a", role="candidate", rows=[ours], **told), Series(name="b", role="baseline", rows=[theirs], **told)]


def share(sweeps: list[list[Series]], tolerance_pct: float, wanted: str) -> float:
    """Return the share of the sweeps that get a verdict under the gate of the geometric mean."""
    return float(np.mean([verdict.judge(one, "geomean", tolerance_pct).verdict == wanted for one in sweeps]))


def clock_and_loop() -> list[dict]:
    """Return the error against the null backend's own clock, and what the loop adds to a call."""
    bench = sleeping()
    backend = bench.backend
    ready = bench.begin(8, 2.0, BLOCK_SECONDS)
    slept, point = backend.slept_seconds, Point(8, ready.calls_per_block)
    timing.interleave([bench], [point], timing.PROFILES["quick"])
    truth = 8 * ready.calls_per_block * len(point.blocks) / (backend.slept_seconds - slept)
    error = abs(point.measured().images_per_second / truth - 1)
    calls = 100_000
    loop = timing.block(lambda: None, calls, time.perf_counter).seconds / calls
    return [
        criterion("images per second of the null backend against the sleep it took: relative error", error, high=0.01),
        criterion("the loop alone, us a call", 1e6 * loop, high=20.0),
    ]


class Images:
    """Stands for the prepared images: the null backend does not look at them."""

    how = None

    def prepared(self, how: None) -> "Images":
        return self

    def __len__(self) -> int:
        return 64

    def __getitem__(self, chosen: slice) -> np.ndarray:
        return np.zeros((len(range(*chosen.indices(64))), 3), np.float32)


def injected_noise() -> list[dict]:
    """Return whether other processes that take every core flip the noise verdict, and whether slow blocks alone do."""
    null_backend = sleeping()
    same, slower = (null_ratio(null_backend, sleeping(factor)) for factor in (1.0, 1.03))
    quiet = watched()
    burn = f"import time; ends = time.time() + {BURN_SECONDS}\nwhile time.time() < ends: pass"
    for _ in range(environment.cores()):  # in the background of a shell that ends: a sweep counts its own descendants as itself
        subprocess.run(["sh", "-c", '"$0" -c "$1" &', sys.executable, burn], check=True)
    time.sleep(0.5)
    loud = watched()
    steady = simulate("quick", 0.01, 0.0, 0)[0].seconds
    slowed = np.concatenate([steady[: len(steady) // 2], 1.05 * steady[len(steady) // 2 :]])
    return [
        criterion("null backend against itself: the interval's lower end", same[0], high=1.0),
        criterion("null backend against itself: the interval's upper end", same[1], 1.0),
        criterion("null backend against one that sleeps 3 % longer: the interval's lower end, over one", slower[0] - 1, 0.02),
        criterion("other processes, at peace, % of the cores", quiet.others_pct, 0.0, 5.0),
        criterion("other processes, every core taken, % of the cores", loud.others_pct, 5.0),
        criterion("steady blocks, every core taken: NOISY", noise.judge(steady, loud).verdict != "STABLE", 1.0, 1.0),
        criterion("steady blocks, at peace: NOISY because of others", _blames_others(steady, quiet), 0.0, 0.0),
        criterion("blocks that become 5 % slower: NOISY", noise.judge(slowed, QUIET).verdict != "STABLE", 1.0, 1.0),
    ]


def _blames_others(blocks: np.ndarray, seen: noise.Seen) -> bool:
    return any("other processes" in reason for reason in noise.judge(blocks, seen).reasons)


def sleeping(factor: float = 1.0) -> Bench:
    """Return a bench of a null backend that sleeps 5 ms a call and half a millisecond an image, or `factor` times as long."""
    options = {"call_ms": 5.0 * factor, "image_ms": 0.5 * factor}
    return Bench(null.Backend(None, type("Ten", (), {"classes": 10}), Target(backend="null", provider_options=options)), Images())


def null_ratio(first: Bench, second: Bench) -> tuple[float, float]:
    """Return the interval of the ratio of two real benches in images per second, from blocks that took turns."""
    points = [Point(8, bench.begin(8, 2.0, BLOCK_SECONDS).calls_per_block) for bench in (first, second)]
    timing.interleave([first, second], points, timing.PROFILES["quick"])
    return timing.ratio_interval(*points)


def watched() -> noise.Seen:
    """Return what the watch sees in a second."""
    with noise.Watch() as watch:
        time.sleep(1.0)
    return watch.seen


if __name__ == "__main__":
    sys.exit(main())
