"""Does an independent referee see what we see? The same loaded session, measured by us and by MLPerf LoadGen in turns."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from scipy import special

from helpers import loadgen
from helpers.bench import Bench
from helpers.errors import UserError
from helpers.records import Interval, Refereed

Scenario = Literal["SingleStream", "Offline"]
WARM_UP_SECONDS = 2.0


def compare(bench: Bench, scenario: Scenario, batch: int, seconds: float, pairs: int) -> Refereed:
    """Measure LoadGen's and ours in turns on one loaded session, each for about `seconds`, and return how they agree.

    SingleStream is one call at a time: a bench with several requests in flight can be compared in Offline only.
    """
    if scenario == "SingleStream" and bench.backend.requests > 1:
        raise UserError("SingleStream has one call at a time, but this backend has several in flight: compare it in Offline.")
    ready = bench.begin(batch, WARM_UP_SECONDS, min(seconds, 0.5))
    call_seconds = bench.block(ready.calls_per_block).seconds / ready.calls_per_block
    calls = bench.backend.requests * max(1, round(seconds / call_seconds / bench.backend.requests))
    p90 = []

    def theirs() -> float:
        if scenario == "Offline":
            heard = loadgen.offline(bench.backend, bench.images, batch, seconds, batch / call_seconds)
        else:
            heard = loadgen.single_stream(bench.backend, bench.images, batch, seconds, call_seconds)
        p90.append(heard.latency_p90_ms)
        return heard.images_per_second

    try:
        measured = take_turns(theirs, lambda: batch * calls / bench.block(calls).seconds, pairs)
    finally:
        bench.end()
    return judge(scenario, batch, measured, None if None in p90 else float(np.median(p90)))


def take_turns(theirs: Callable[[], float], ours: Callable[[], float], pairs: int) -> list[tuple[float, float]]:
    """Return pairs (theirs, ours) of figures taken in the order ours, theirs, theirs, ours, so that drift meets both alike."""
    measured = []
    for pair in range(pairs):
        first = ours() if pair % 2 == 0 else theirs()
        measured.append((theirs(), first) if pair % 2 == 0 else (first, ours()))
    return measured


def judge(scenario: Scenario, batch: int, pairs: Sequence[tuple[float, float]], p90_ms: float | None = None) -> Refereed:
    """Return how LoadGen's images per second and ours agree, from pairs (theirs, ours) measured one beside the other."""
    disagreement_pct, interval_pct = agreement(pairs)
    theirs, ours = np.exp(np.log(pairs).mean(axis=0)).tolist()
    return Refereed(
        scenario=scenario,
        batch=batch,
        images_per_second=theirs,
        ours=ours,
        disagreement_pct=disagreement_pct,
        interval_pct=interval_pct,
        pairs=len(pairs),
        latency_p90_ms=p90_ms,
    )


def agreement(pairs: Sequence[tuple[float, float]]) -> tuple[float, Interval | None]:
    """Return the geometric mean of theirs / ours less one in percent, above zero where theirs is more, and its 95 % interval.

    The interval is Student's t over the pairs' log ratios; one pair has none.
    """
    ratios = np.log([theirs / ours for theirs, ours in pairs])
    middle = float(ratios.mean())
    if len(ratios) < 2:
        return 100 * math.expm1(middle), None
    half = float(special.stdtrit(len(ratios) - 1, 0.975) * ratios.std(ddof=1)) / math.sqrt(len(ratios))
    return 100 * math.expm1(middle), (100 * math.expm1(middle - half), 100 * math.expm1(middle + half))
