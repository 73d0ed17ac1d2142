"""Charts as SVG with alt text."""

import io
import itertools
import re
import textwrap
from collections.abc import Iterable, Sequence

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from helpers import formats
from helpers.elements import Figure
from helpers.records import Measured, Region, Row, Series, Sweep

# Text stays text, a dollar in a name too, ids do not change from run to run, and the reader's own sans-serif is used.
RC = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "inference-report",
    "font.family": "sans-serif",
    "font.size": 10,
}
FONTS = re.compile(r"font-family: [^;\"]*sans-serif")  # the list of those that matplotlib knows, at every text
UPRIGHT = re.compile(r' transform="rotate\(-?0 [^"]*"')
GEOMETRY = re.compile(r'\b(d|x|y|transform|points|width|height)="[^"]*"')
DECIMALS = re.compile(r"(\d\.\d\d)\d+")  # of a point, a hundredth is not seen
NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML 1.0 forbids
STYLES = {  # colour is never the only cue: Okabe-Ito colours, a line style and a marker each
    "candidate": {"color": "#0072b2", "linestyle": "-", "marker": "o", "linewidth": 2},
    "baseline": {"color": "#d55e00", "linestyle": "--", "marker": "s"},
    "option": {"color": "#666666", "linestyle": ":"},
}
OPTION_MARKERS = "^vDP"
MARKS = (
    "Bars are 95 % intervals; published and recorded points have none, nor those too noisy for one. Hollow points were NOISY or UNSTABLE."
)
End = tuple[int, float, str, str]  # of a line: batch size, images per second, name, colour


def fps(sweep: Sweep) -> Figure:
    """Return images per second against batch size, every series, zero-based, batch sizes on a log2 axis."""
    ratio = sweep.geomean_ratio
    candidate, baseline = sweep.one("candidate"), sweep.one("baseline")
    title = f"{candidate.name}: no throughput"
    if any(sweep.region in row.regions for row in candidate.rows):
        title = f"{candidate.name} runs at {formats.times(ratio)} × {baseline.name}" if ratio else f"{candidate.name}, images per second"
    if candidate.kind == "simulated":
        title = f"Simulated: {title}"
    batches = sorted({row.batch for series in sweep.series for row in series.rows})
    with matplotlib.rc_context(RC):
        canvas = Canvas(figsize=(7.5, 4.2), layout="constrained")
        axes = canvas.subplots()
        markers = itertools.cycle(OPTION_MARKERS)
        styles = [STYLES[one.role] if one.role != "option" else {**STYLES["option"], "marker": next(markers)} for one in sweep.series]
        ends = [line(axes, one, batches, sweep.region, style) for one, style in zip(sweep.series, styles, strict=True)]
        by_batch(axes, batches, ends)
        head(canvas, axes, title, f"{sweep.region} time, {candidate.device}, {candidate.precision}")
        text = svg(canvas)
    alt = (
        f"{title}. "
        + "; ".join(f"{formats.label(series, sweep.region)}: {in_words(series, sweep.region)}" for series in sweep.series)
        + "."
    )
    return Figure(text, alt, f"Images per second by batch size. {MARKS} The same numbers are in the table.")


def line(axes, series: Series, batches: Sequence[int], region: Region, style: dict, name: str = "") -> End | None:
    """Draw one series, called `name` or as it is itself, and return where it ends; a batch size without a number is a gap."""
    by_batch = {row.batch: formats.shown(row, region)[0] for row in series.rows}
    drawn = [batch for batch in batches if batch in by_batch]
    values = [by_batch[batch].images_per_second if by_batch[batch] else float("nan") for batch in drawn]
    bars = [_bar(by_batch[batch]) for batch in drawn]
    axes.errorbar(drawn, values, yerr=list(zip(*bars, strict=True)) if any(map(any, bars)) else None, capsize=3, markersize=5, **style)
    loud = [(row.batch, by_batch[row.batch].images_per_second) for row in series.rows if _noise(row) and by_batch[row.batch]]
    if loud:
        hollow = {"color": style["color"], "marker": style["marker"], "markerfacecolor": "white", "markersize": 5, "zorder": 3}
        axes.plot(*zip(*loud, strict=True), linestyle="", **hollow)
    known = [(batch, value) for batch, value in zip(drawn, values, strict=True) if value == value]
    return (*known[-1], name or formats.label(series, region), style["color"]) if known else None


def by_batch(axes, batches: Sequence[int], ends: Iterable[End | None]) -> None:
    """Give the axes of lines over batch sizes their scales and names: zero-based, batch sizes on a log2 axis."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.minorticks_off()
    axes.set_xlim(batches[0] / 1.25, batches[-1] * 2.4)
    axes.set_ylim(0, max(axes.get_ylim()[1], 1e-3))
    _name_lines(axes, [end for end in ends if end])
    axes.set_xlabel("batch size")
    axes.set_ylabel("images per second")


def head(canvas: Canvas, axes, title: str, conditions: str) -> None:
    """Write the claim above a chart and the conditions below it, and leave of the axes what guides the eye."""
    axes.grid(axis="y", color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
    canvas.suptitle(textwrap.fill(title, 60), x=0.01, ha="left", fontsize=13, fontweight="bold")
    axes.set_title(conditions, loc="left", fontsize=9, color="#555555")


def _name_lines(axes, ends: list[End]) -> None:
    """Write each line's name beside its end; names of lines that end together are moved apart."""
    apart, last = axes.get_ylim()[1] * 0.05, {}
    for batch, value, name, colour in sorted(ends, key=lambda end: end[1]):
        height = max(value, last.get(batch, -apart) + apart)
        last[batch] = height
        style = {"va": "center", "color": colour, "fontsize": 9, "annotation_clip": False}
        axes.annotate(name, (batch, height), xytext=(8, 0), textcoords="offset points", **style)


def _bar(measured: Measured | None) -> tuple[float, float]:
    if not measured or not measured.interval_fps:
        return 0.0, 0.0
    return measured.images_per_second - measured.interval_fps[0], measured.interval_fps[1] - measured.images_per_second


def _noise(row: Row) -> str:
    """Return what a figure is called that is not steady, empty where it is or where nothing is known of it."""
    return f" ({row.noise.verdict})" if row.noise and row.noise.verdict != "STABLE" else ""


def in_words(series: Series, region: Region) -> str:
    """Return the figures of a line, for the text that stands for the chart."""

    def point(row: Row) -> str:
        measured, _ = formats.shown(row, region)
        return f"batch {row.batch} {formats.fps(measured) if measured else 'failed'}{_noise(row) if measured else ''}"

    return ", ".join(map(point, series.rows))


def svg(canvas: Canvas) -> str:
    """Return the SVG text, the same bytes for the same numbers: without the date, the XML head and what matplotlib adds for editors."""
    text = io.StringIO()
    FigureCanvasSVG(canvas).print_svg(text, metadata={"Date": None, "Creator": None})
    drawn = NO_XML.sub("\ufffd", text.getvalue()[text.getvalue().index("<svg") :])
    drawn = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", drawn, flags=re.DOTALL)  # escaped where they are text
    drawn = FONTS.sub("font-family: sans-serif", UPRIGHT.sub("", drawn))
    drawn = GEOMETRY.sub(lambda found: DECIMALS.sub(r"\1", found[0]), drawn)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)  # nothing refers to a group
    return re.sub(r"\s*\n\s*", " ", drawn).replace("> <", "><")
