"""The speeds of two runs beside each other, batch size by batch size, and the ratio B over A with its interval."""

import math
from dataclasses import dataclass

import matplotlib

from helpers import changes, charts, comparable, formats, verdict
from helpers.comparable import Unlike
from helpers.elements import Figure, Group, Sentence, Table
from helpers.embedded import Run
from helpers.records import Interval, Ratio, Region, Row, Series, Sweep


@dataclass(frozen=True)
class Speed:
    """B over A: each batch size's ratio, their geometric mean and its 95 % interval, which is None where one of them has none."""

    region: Region
    ratios: dict[int, Ratio]
    mean: float
    interval: Interval | None
    noisy: bool = False  # a figure was NOISY or UNSTABLE

    @property
    def word(self) -> str:
        """Return faster, slower, or unclear where the interval holds 1 or is unknown."""
        low, high = self.interval or (0.0, math.inf)
        return "faster" if low > 1 else "slower" if high < 1 else "unclear"


def ratio(a: Run, b: Run, unlike: Unlike) -> Speed | None:
    """Return the ratio of the candidates' speeds, None where it would mean nothing; the runs are independent of each other."""
    if unlike.in_speed:
        return None
    region = comparable.region(a, b)
    lines = [_alone(b, "candidate", region), _alone(a, "baseline", region)]
    known = {one.batch: one for one in verdict.judge(lines, "none", 0.0).ratios if one.ratio}
    return Speed(region, known, *verdict.mean(list(known.values())), noisy=bool(_loud(a, b)))


def headline(found: Speed) -> str:
    """Return what a ratio amounts to, as a phrase that goes on after "B"."""
    sizes = f"geometric mean of {formats.counted(len(found.ratios), 'batch size')}"
    known = f"95 % interval {_times(found.interval)}" if found.interval else "too noisy for an interval"
    tail = "; these measurements can't tell them apart" if found.interval and found.word == "unclear" else ""
    tail += "; not all of it was quiet" if found.noisy else ""
    return f"runs at {formats.times(found.mean)} times the speed of A ({known}, {sizes}{tail})"


def shown(a: Run, b: Run, found: Speed | None, unlike: Unlike) -> Group:
    """Return the chart of both, what must be known of it, and the numbers behind it."""
    return Group(
        [
            Sentence(f"Not comparable: {'; '.join(unlike.in_speed)}.", "warning") if unlike.in_speed else None,
            Sentence(f"B {headline(found)}.") if found else None,
            Sentence(changes.machines(a, b)),
            *(Sentence(text, "warning") for text in _to_know(a, b, found)),
            chart(a, b, found),
            _table(a, b, found),
        ]
    )


def chart(a: Run, b: Run, found: Speed | None) -> Figure | None:
    """Return both candidates' images per second by batch size, in the region that they are compared in or each in its own."""
    sweeps = [run.records[Sweep] for run in (a, b)]
    lines = [_named(sweep, letter, role) for sweep, letter, role in zip(sweeps, "AB", ("baseline", "candidate"), strict=True)]
    if not any(row.regions for series in lines for row in series.rows):
        return None
    devices = " and ".join(dict.fromkeys(formats.visible(series.device) for series in lines))
    precisions = " and ".join(dict.fromkeys(series.precision for series in lines))
    lines[1] = lines[1].model_copy(update={"device": devices, "precision": precisions})
    region, claim = found.region if found else sweeps[1].region, found.mean if found and found.word != "unclear" else None
    both = sweeps[1].model_copy(update={"series": lines[::-1], "region": region, "geomean_ratio": claim})
    with matplotlib.rc_context({"text.parse_math": False}):  # a name may hold $
        return charts.fps(both)


def _named(sweep: Sweep, letter: str, role: str) -> Series:
    series = sweep.one("candidate")
    said = "" if series.kind == "measured" else f" ({series.kind})"
    return series.model_copy(update={"name": f"{letter}, {formats.visible(series.name)}{said}", "role": role})


def _alone(run: Run, role: str, region: Region) -> Series:
    """Return a run's candidate without the other regions, and without what its own baseline, measured in turns, made narrower."""
    series = run.records[Sweep].one("candidate")
    rows = [
        row.model_copy(update={"regions": {key: one for key, one in row.regions.items() if key == region}, "ratio_interval": None})
        for row in series.rows
    ]
    return series.model_copy(update={"role": role, "rows": rows})


def _table(a: Run, b: Run, found: Speed | None) -> Table:
    rows = [{row.batch: row for row in run.records[Sweep].one("candidate").rows} for run in (a, b)]
    cells = []
    for batch in sorted({*rows[0], *rows[1]}):
        both = [_cells(rows[at].get(batch), found.region if found else run.records[Sweep].region) for at, run in enumerate((a, b))]
        one = found.ratios.get(batch) if found else None
        cells.append([batch, *both[0], *both[1], formats.times(one.ratio) if one else None, _times(one.interval) if one else None])
    headers = ["batch", "A, FPS", "noise of A", "B, FPS", "noise of B", "B over A", "95 % interval"]
    regions = dict.fromkeys([found.region] if found else [run.records[Sweep].region for run in (a, b)])
    said = "95 % intervals in brackets, which tell what varied within a run, not between runs"
    return Table(headers, cells, f"Images per second in {' and '.join(regions)} time; {said}")


def _cells(row: Row | None, region: Region) -> list[str | None]:
    measured = row.regions.get(region) if row else None
    if measured is None:
        return [row.error if row else None, None]
    interval = formats.fps_interval(measured)
    return [formats.fps(measured) + (f" ({interval})" if interval else ""), row.noise.verdict if row.noise else None]


def _to_know(a: Run, b: Run, found: Speed | None) -> list[str]:
    """Return what must be known before the figures: recordings, a region that is not the headline's, noise."""
    sweeps = [(letter, run.records[Sweep]) for letter, run in (("A", a), ("B", b))]
    recorded = [(letter, sweep.one("candidate").recorded) for letter, sweep in sweeps]
    told = [f"{letter} was not measured by its run, but replayed from {source}." for letter, source in recorded if source]
    other = [f"{letter} is in {sweep.region} time" for letter, sweep in sweeps if found and sweep.region != found.region]
    told += [f"Compared in {found.region} time, which both have; the headline of {' and of '.join(other)}."] if other else []
    return told + _loud(a, b)


def _loud(a: Run, b: Run) -> list[str]:
    """Return which points were noisy."""
    loud = [
        f"{letter} was {verdict} at batch {', '.join(batches)}"
        for letter, run in (("A", a), ("B", b))
        for verdict in ("NOISY", "UNSTABLE")
        if (batches := [str(row.batch) for row in run.records[Sweep].one("candidate").rows if row.noise and row.noise.verdict == verdict])
    ]
    return [f"Not all was quiet: {'; '.join(loud)}. What disturbed it may have decided the ratio."] if loud else []


def _times(interval: Interval | None) -> str | None:
    return " to ".join(map(formats.times, interval)) if interval else None
