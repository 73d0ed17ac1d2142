"""Who prepared or evaluated what, where workers shared the images: a table by worker, and when each was at it."""

import itertools
from datetime import datetime
from typing import Literal

import matplotlib
from matplotlib.figure import Figure as Canvas

from helpers import charts, formats
from helpers.elements import Figure, Group, Table
from helpers.records import Result, UnitDone

FIRST_TRY = {"facecolor": "#0072b2"}  # Okabe-Ito
LATER_TRY = {"facecolor": "#d55e00", "hatch": "////"}  # colour is never the only cue
SHOWN = 32  # workers; records have all
BARS = 400  # more are drawn joined where there is less between them than can be seen
UNSEEN = 1 / 500  # of the time shown
INCLUDED = {  # in the time at work
    "prepared": "reading them and writing the store included",
    "evaluated": "reading and normalising included, which is no measurement of the device",
}


def evaluated(results: list[Result]) -> Group | None:
    """Return who evaluated the images for each configuration; None where one process did it all."""
    shared = [result for result in results if result.units]
    if len(shared) > 1:
        return Group([shares(result.units, "evaluated", f" for {formats.called(result)}") for result in shared])
    return shares(shared[0].units, "evaluated") if shared else None


def shares(units: list[UnitDone], did: Literal["prepared", "evaluated"], what: str = "") -> Group | None:
    """Return which worker prepared or evaluated how many images, how fast and when; None where one process did it all."""
    if not units:
        return None
    workers = _by_worker(units)
    shown = dict(itertools.islice(workers.items(), SHOWN))
    rows = [
        [number, *worker, len(done), _images(done), f"{_busy(done):.2f}", _rate(done), _later(done)]
        for number, (worker, done) in enumerate(shown.items(), 1)
    ]
    headers = ["number", "device", "place", "host name", "units", "images", "seconds", "images per second", "failed before"]
    caption = (
        f"Who {did} the images{what}; a worker takes the next unit when it has done one, so that a faster one does more. Seconds: its "
        f"time at work, {INCLUDED[did]}. Failed before: its units that had failed on a worker."
    )
    more = f" {formats.counted(len(workers) - SHOWN, 'worker')} that began later are in the record alone." if len(workers) > SHOWN else ""
    return Group([Table(headers, rows, caption + more), timeline(units)])


def timeline(units: list[UnitDone]) -> Figure:
    """Return a bar for each unit, a line for each worker, over the seconds since the first began."""
    workers = _by_worker(units)
    shown = dict(itertools.islice(workers.items(), SHOWN))
    began = min(map(_start, units))
    lasted = max(_start(unit) + unit.seconds for unit in units) - began
    title = f"{formats.counted(_images(units), 'image')} by {formats.counted(len(workers), 'worker')}"
    share = 100 * _busy(units) / (lasted * len(workers))
    gap = UNSEEN * lasted if len(units) > BARS else 0.0
    with matplotlib.rc_context(charts.RC):
        canvas = Canvas(figsize=(7.5, 1.4 + 0.3 * len(shown)), layout="constrained")
        axes = canvas.subplots()
        for line, done in enumerate(shown.values()):
            for style, chosen in ((FIRST_TRY, _tried(done, later=False)), (LATER_TRY, _tried(done, later=True))):
                spans = _joined([(_start(unit) - began, unit.seconds) for unit in chosen], gap)
                axes.broken_barh(spans, (line - 0.35, 0.7), edgecolor="white", linewidth=0.5, **style)
        axes.set_yticks(range(len(shown)), [f"{number}: {place}" for number, (_, place, _) in enumerate(shown, 1)], fontsize=8)
        axes.set(xlabel="seconds since the first unit began", xlim=(0, lasted))
        axes.invert_yaxis()
        axes.set_axisbelow(True)
        charts.head(canvas, axes, title, f"together at work for {share:.0f} % of the time shown")
        svg = charts.svg(canvas)
    said = "; ".join(f"{place}, {host}: {_images(done)} images in {_busy(done):.2f} s" for (_, place, host), done in shown.items())
    caption = (
        "A bar for each unit, a line for each worker by its number in the table. Hatched: it had failed before. Gaps are waiting, for the "
        "next unit or for the next start of an interrupted run."
    )
    return Figure(svg, f"{title}. {said}.", caption)


def _joined(spans: list[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """Return (start, length) of spans in order, those joined that have less than `gap` between them."""
    found: list[tuple[float, float]] = []
    for start, length in spans:
        if found and start - sum(found[-1]) < gap:
            start, length = found[-1][0], start + length - found.pop()[0]
        found.append((start, length))
    return found


def _by_worker(units: list[UnitDone]) -> dict[tuple[str, str, str], list[UnitDone]]:
    """Return (device, place, host) of each worker, in the order in which they began -> its units."""
    found: dict[tuple[str, str, str], list[UnitDone]] = {}
    for unit in sorted(units, key=_start):
        found.setdefault((unit.device, unit.place, unit.host), []).append(unit)
    return found


def _start(unit: UnitDone) -> float:
    return datetime.fromisoformat(unit.started_utc).timestamp()


def _images(units: list[UnitDone]) -> int:
    return sum(unit.count for unit in units)


def _busy(units: list[UnitDone]) -> float:
    return sum(unit.seconds for unit in units)


def _rate(units: list[UnitDone]) -> str:
    rate = _images(units) / _busy(units)
    return f"{rate:.0f}" if rate >= 100 else f"{rate:#.3g}"


def _tried(units: list[UnitDone], later: bool) -> list[UnitDone]:
    return [unit for unit in units if (unit.tries > 1) == later]


def _later(units: list[UnitDone]) -> int | None:
    return len(_tried(units, later=True)) or None
