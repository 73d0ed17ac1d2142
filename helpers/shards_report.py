"""Who evaluated what, where workers shared the images: a table by worker, and when each was at it."""

from datetime import datetime

import matplotlib
from matplotlib.figure import Figure as Canvas

from helpers import charts, formats
from helpers.elements import Figure, Group, Table
from helpers.records import Result, UnitDone

FIRST_TRY = {"facecolor": "#0072b2"}  # Okabe-Ito
LATER_TRY = {"facecolor": "#d55e00", "hatch": "////"}  # colour is never the only cue


def shares(result: Result) -> Group | None:
    """Return which worker evaluated how many images, how fast and when; None where one process did it all."""
    if not result.units:
        return None
    workers = _by_worker(result.units)
    rows = [[*worker, len(units), _images(units), f"{_busy(units):.2f}", _rate(units), _later(units)] for worker, units in workers.items()]
    headers = ["device", "process", "host", "units", "images", "seconds at work", "images per second", "units that had failed before"]
    caption = (
        "Who evaluated the images; a worker takes the next unit when it has done one, so that a faster one does more. Images per second: "
        "of its time at work, reading and normalising included, which is no measurement of the device."
    )
    return Group([Table(headers, rows, caption), timeline(result)])


def timeline(result: Result) -> Figure:
    """Return a bar for each unit, a line for each worker, over the seconds since the first began."""
    workers = _by_worker(result.units)
    began = min(map(_start, result.units))
    lasted = max(_start(unit) + unit.seconds for unit in result.units) - began
    title = f"{formats.counted(_images(result.units), 'image')} by {formats.counted(len(workers), 'worker')}"
    share = 100 * _busy(result.units) / (lasted * len(workers))
    with matplotlib.rc_context(charts.RC):
        canvas = Canvas(figsize=(7.5, 1.4 + 0.3 * len(workers)), layout="constrained")
        axes = canvas.subplots()
        for line, units in enumerate(workers.values()):
            for style, chosen in ((FIRST_TRY, _tried(units, later=False)), (LATER_TRY, _tried(units, later=True))):
                spans = [(_start(unit) - began, unit.seconds) for unit in chosen]
                axes.broken_barh(spans, (line - 0.35, 0.7), edgecolor="white", linewidth=0.5, **style)
        axes.set_yticks(range(len(workers)), [f"{place}, {host}" for _, place, host in workers], fontsize=8)
        axes.set(xlabel="seconds since the first unit began", xlim=(0, lasted))
        axes.invert_yaxis()
        axes.set_axisbelow(True)
        charts.head(canvas, axes, title, f"together at work for {share:.0f} % of the time shown")
        svg = charts.svg(canvas)
    said = "; ".join(f"{place}, {host}: {_images(units)} images in {_busy(units):.2f} s" for (_, place, host), units in workers.items())
    caption = (
        "A bar for each unit. Hatched: it had failed before. Gaps are waiting, for the next unit or for the next start of an "
        "interrupted run."
    )
    return Figure(svg, f"{title}. {said}.", caption)


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
    return f"{_images(units) / _busy(units):.0f}"


def _tried(units: list[UnitDone], later: bool) -> list[UnitDone]:
    return [unit for unit in units if (unit.tries > 1) == later]


def _later(units: list[UnitDone]) -> int | None:
    return len(_tried(units, later=True)) or None
