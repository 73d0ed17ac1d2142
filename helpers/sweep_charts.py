"""Charts of a sweep beside that of its throughput: how long a call takes, and what the device did meanwhile."""

import statistics

import matplotlib
from matplotlib.figure import Figure as Canvas

from helpers import charts
from helpers.elements import Figure, Group, Table
from helpers.records import Moment, Sweep

# Okabe-Ito colours, the middle one darker, so that its name can be read.
PERCENTILES = (
    ("p50", "#0072b2", "-", "o"),
    ("p90", "#8a5f00", "--", "s"),
    ("p99", "#d55e00", ":", "^"),
)
PANELS = (("frequency_mhz", "clock, MHz"), ("temperature_c", "temperature, °C"), ("power_w", "power, W"))


def latency(sweep: Sweep) -> Group | None:
    """Return the percentiles of the candidate's calls by batch size, zero-based, and as a table; None where no call was timed alone."""
    candidate = sweep.one("candidate")
    rows = [row for row in candidate.rows if sweep.region in row.regions and row.regions[sweep.region].latency_ms]
    if not rows:
        return None
    batches = [row.batch for row in rows]
    known = {name: [getattr(row.regions[sweep.region].latency_ms, name) for row in rows] for name, *_ in PERCENTILES}
    fastest = min(rows, key=lambda row: row.regions[sweep.region].latency_ms.p50)
    title = f"Half of the calls take at most {fastest.regions[sweep.region].latency_ms.p50:.3g} ms at batch size {fastest.batch}"
    with matplotlib.rc_context(charts.RC):
        canvas = Canvas(figsize=(7.5, 3.2), layout="constrained")
        axes = canvas.subplots()
        ends = []
        for name, colour, line, marker in PERCENTILES:
            points = [(batch, value) for batch, value in zip(batches, known[name], strict=True) if value is not None]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, linestyle=line, marker=marker, markersize=5)
                ends.append((*points[-1], name, colour))
        charts.by_batch(axes, batches, ends)
        axes.set_ylabel("milliseconds a call")
        charts.head(canvas, axes, title, f"{sweep.region} time, {candidate.name}, {candidate.device}")
        svg = charts.svg(canvas)
    said = "; ".join(f"{name}: {', '.join(_at(batch, ms) for batch, ms in zip(batches, known[name], strict=True))}" for name in known)
    caption = "How long a call takes, by batch size: median, 90th and 99th percentile; the latter two only where enough calls were timed."
    rows = [[batch, *(None if ms is None else f"{ms:.3g}" for ms in at)] for batch, *at in zip(batches, *known.values(), strict=True)]
    return Group(
        [Figure(svg, f"{title}. {said}.", caption), Table(["batch", *(f"{name} ms" for name in known)], rows, "Milliseconds a call")]
    )


def timeline(sweep: Sweep) -> Group | None:
    """Return clock, temperature and power of the device during the sweep, as far as sampled, and their ranges; None where nothing was."""
    moments = sorted(
        (moment for row in sweep.one("candidate").rows if row.telemetry for moment in row.telemetry.timeline), key=lambda one: one.seconds
    )
    panels = [(field, words) for field, words in PANELS if any(getattr(moment, field) is not None for moment in moments)]
    if not panels:
        return None
    with matplotlib.rc_context(charts.RC):
        canvas = Canvas(figsize=(7.5, 1.0 + 1.1 * len(panels)), layout="constrained")
        every = canvas.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, (field, words) in zip(every, panels, strict=True):
            axes.plot(*_series(moments, field), color="#0072b2", marker=".", markersize=4, linewidth=1)
            axes.set_ylabel(words, fontsize=8)
            axes.set_ylim(0, 1.15 * max(_known(moments, field)) or 1)
            axes.grid(axis="y", color="#dddddd")
            axes.spines[["top", "right"]].set_visible(False)
        every[-1].set_xlabel("seconds since the first sample")
        charts.head(canvas, every[0], "What the device did meanwhile", f"{sweep.one('candidate').device}, while the candidate was measured")
        svg = charts.svg(canvas)
    known = {words: _known(moments, field) for field, words in panels}
    said = "; ".join(f"{words} {min(values):g} to {max(values):g}" for words, values in known.items())
    alt = f"{len(moments)} samples over {moments[-1].seconds - moments[0].seconds:.0f} s: {said}."
    rows = [[words, len(values), *(f"{of(values):.4g}" for of in (min, statistics.median, max))] for words, values in known.items()]
    headers = ["what", "samples", "lowest", "median", "highest"]
    return Group([Figure(svg, alt, "Zero-based; one point a sample."), Table(headers, rows, "The samples drawn above")])


def _series(moments: list[Moment], field: str) -> tuple[list[float], list[float]]:
    """Return seconds since the first sample and values; one that is not told is a gap."""
    values = [getattr(moment, field) for moment in moments]
    return [moment.seconds - moments[0].seconds for moment in moments], [float("nan") if value is None else value for value in values]


def _known(moments: list[Moment], field: str) -> list[float]:
    return [value for moment in moments if (value := getattr(moment, field)) is not None]


def _at(batch: int, ms: float | None) -> str:
    return f"batch {batch} {'not known' if ms is None else f'{ms:.3g} ms'}"
