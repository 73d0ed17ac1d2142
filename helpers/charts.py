"""Charts as SVG with alt text, and the tables of the same numbers."""

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from helpers.elements import Figure, Group, Table
from helpers.records import Accuracy, Interval, Measured, Model, Ratio, Region, Row, Series, Sweep
from helpers.verdict import times

# Text stays text, ids do not change from run to run, and the reader's own sans-serif is used.
RC = {"svg.fonttype": "none", "svg.hashsalt": "inference-report", "font.family": "sans-serif", "font.size": 10}
STYLES = {  # colour is never the only cue: Okabe-Ito colours, a line style and a marker each
    "candidate": {"color": "#0072b2", "linestyle": "-", "marker": "o", "linewidth": 2},
    "baseline": {"color": "#d55e00", "linestyle": "--", "marker": "s"},
    "option": {"color": "#666666", "linestyle": ":", "marker": "^"},
}


def fps(sweep: Sweep) -> Figure:
    """Return images per second against batch size, every series, zero-based, batch sizes on a log2 axis."""
    ratio = sweep.geomean_ratio
    candidate, baseline = sweep.one("candidate"), sweep.one("baseline")
    title = f"{candidate.name}: no throughput"
    if any(sweep.region in row.regions for row in candidate.rows):
        title = f"{candidate.name} runs at {times(ratio)} × {baseline.name}" if ratio else f"{candidate.name}, images per second"
    batches = sorted({row.batch for series in sweep.series for row in series.rows})
    with matplotlib.rc_context(RC):
        canvas = Canvas(figsize=(7.5, 4.2), layout="constrained")
        axes = canvas.subplots()
        for series in sweep.series:
            _line(axes, series, batches, sweep.region)
        axes.set_xscale("log", base=2)
        axes.set_xticks(batches, [str(batch) for batch in batches])
        axes.minorticks_off()
        axes.set_xlim(batches[0] / 1.25, batches[-1] * 2.4)
        axes.set_ylim(0, max(axes.get_ylim()[1], 1))
        axes.set_xlabel("batch size")
        axes.set_ylabel("images per second")
        axes.grid(axis="y", color="#dddddd")
        axes.spines[["top", "right"]].set_visible(False)
        canvas.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        axes.set_title(f"{sweep.region} time, {candidate.device}, {candidate.precision}", loc="left", fontsize=9, color="#555555")
        svg = _svg(canvas)
    alt = f"{title}. " + "; ".join(f"{_label(series, sweep.region)}: {_in_words(series, sweep.region)}" for series in sweep.series) + "."
    caption = "Images per second by batch size. Bars are 95 % intervals; a published line has none. The same numbers are in the table."
    return Figure(svg, alt, caption)


def fps_table(sweep: Sweep) -> Group:
    """Return the numbers of the chart: the candidate's rows with their ratios, then every other line."""
    baseline, ratios = sweep.one("baseline"), {ratio.batch: ratio for ratio in sweep.ratios}
    rows = [_fps_row(row, ratios.get(row.batch), baseline, sweep) for row in sweep.one("candidate").rows]
    headers = ["batch", "FPS", "95 % interval", "p50 ms", "p90 ms", "baseline FPS", "ratio", "95 % interval", "verdict", "remark"]
    caption = f"{sweep.one('candidate').name}, {sweep.region} time"
    if baseline:
        caption += f", against {baseline.name} on {baseline.device} ({baseline.kind})"
    if baseline and baseline.kind == "published":
        caption += "; the uncertainty of the baseline is unknown"
    return Group([Table(headers, rows, caption), _published(sweep)])


def _fps_row(row: Row, ratio: Ratio | None, baseline: Series | None, sweep: Sweep) -> list[object]:
    measured = row.regions.get(sweep.region)
    latency = measured.latency_ms if measured else None
    return [
        row.batch,
        *_measured(measured),
        f"{latency.p50:.2f}" if latency else None,
        f"{latency.p90:.2f}" if latency and latency.p90 else None,
        _fps_of(baseline, row.batch, sweep.region) if baseline else None,
        f"{ratio.ratio:.3f}" if ratio and ratio.ratio else None,
        span(ratio.interval, 3) if ratio else None,
        ratio.verdict if ratio and sweep.gate != "none" else "no gate",
        "; ".join(filter(None, [row.error, row.noise, ratio.remark if ratio and not row.error else None])),
    ]


def _published(sweep: Sweep) -> Table | None:
    """Return the published lines, which may have more batch sizes, with their sources."""
    others = [series for series in sweep.series if series.kind == "published"]
    batches = sorted({row.batch for series in others for row in series.rows})
    rows = [
        [_label(series, sweep.region), series.device, *(_fps_of(series, batch, sweep.region) for batch in batches), series.source]
        for series in others
    ]
    return Table(["line", "device", *(f"batch {batch}" for batch in batches), "source"], rows, "Published, FPS") if others else None


def accuracy_table(accuracy: Accuracy) -> Table:
    """Return top-1 and top-5 of every evaluated stage, and the reference."""
    rows = [
        [
            result.backend,
            result.precision,
            f"{result.top1_pct:.2f} %" if result.evaluated else f"not evaluated: {result.reason}",
            span(result.top1_interval_pct, 2),
            f"{result.top5_pct:.2f} %" if result.top5_pct is not None else None,
            accuracy.images if result.evaluated else None,
            "this run",
        ]
        for result in accuracy.results
    ]
    if accuracy.reference:
        reference = accuracy.reference
        rows.append([f"reference: {reference.name}", None, f"{reference.top1_pct:.2f} %", None, None, None, reference.source])
    return Table(["backend", "precision", "top-1", "95 % interval", "top-5", "images", "source"], rows)


def checks_table(model: Model) -> Table:
    """Return the comparison of every converted stage with its reference, batch size by batch size."""
    rows = [
        [
            check.candidate,
            check.reference,
            check.batch,
            None if check.max_abs_diff is None else f"{check.max_abs_diff:.1e}",
            None if check.spread is None else f"{check.spread:.2g}",
            None if check.top1_agree_pct is None else f"{check.top1_agree_pct:.1f} %",
            "same" if check.passed else "REFUSED",
            check.reason,
        ]
        for check in model.checks
    ]
    headers = ["candidate", "reference", "batch", "largest difference", "spread of images", "same top-1", "verdict", "reason"]
    return Table(headers, rows, "Differences of centred log-probabilities")


def stages_table(model: Model) -> Table:
    """Return the files that the model went through, with what made each."""
    rows = [
        [
            stage.name,
            stage.file.rpartition("/")[2],
            stage.opset,
            size(stage.bytes),
            stage.command,
            f"{stage.seconds:.1f}",
            (stage.sha256 or "")[:16],
        ]
        for stage in model.stages
    ]
    return Table(["stage", "file", "opset", "size", "made by", "seconds", "sha256"], rows)


def size(number: int | None) -> str | None:
    """Return bytes in decimal units."""
    if number is None:
        return None
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number / 1e3:.1f} kB"


def span(interval: Interval | None, digits: int) -> str | None:
    """Return `low to high`."""
    return f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}" if interval else None


def digits_of(measured: Measured) -> int:
    """Return how many decimals the interval supports: the last one shown is within its half-width."""
    if not measured.interval_fps:
        return 1
    half = (measured.interval_fps[1] - measured.interval_fps[0]) / 2
    return 0 if half >= 1 else 1 if half >= 0.1 else 2


def _line(axes, series: Series, batches: Sequence[int], region: Region) -> None:
    """Draw one series with a direct label; a batch size without a number is a gap."""
    by_batch = {row.batch: _shown(row, region)[0] for row in series.rows}
    shown = [batch for batch in batches if batch in by_batch]
    values = [by_batch[batch].images_per_second if by_batch[batch] else float("nan") for batch in shown]
    bars = [_bar(by_batch[batch]) for batch in shown]
    style = STYLES[series.role]
    axes.errorbar(shown, values, yerr=list(zip(*bars, strict=True)), capsize=3, markersize=5, **style)
    known = [(batch, value) for batch, value in zip(shown, values, strict=True) if value == value]
    if known:
        axes.annotate(
            _label(series, region),
            known[-1],
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=style["color"],
            fontsize=9,
            annotation_clip=False,
        )


def _shown(row: Row, region: Region) -> tuple[Measured | None, Region]:
    """Return a row's figure and its region: that of the headline, or the one that a published series has instead."""
    own = region if region in row.regions else next(iter(row.regions), region)
    return row.regions.get(own), own


def _label(series: Series, region: Region) -> str:
    """Return a line's name, with its region where that is not the headline's."""
    own = next((_shown(row, region)[1] for row in series.rows if row.regions), region)
    return series.name if own == region else f"{series.name} ({own} time)"


def _bar(measured: Measured | None) -> tuple[float, float]:
    if not measured or not measured.interval_fps:
        return 0.0, 0.0
    return measured.images_per_second - measured.interval_fps[0], measured.interval_fps[1] - measured.images_per_second


def _measured(measured: Measured | None) -> tuple[str | None, str | None]:
    if not measured:
        return None, None
    digits = digits_of(measured)
    return f"{measured.images_per_second:.{digits}f}", span(measured.interval_fps, digits)


def _fps_of(series: Series, batch: int, region: Region) -> str | None:
    row = next((row for row in series.rows if row.batch == batch), None)
    return _measured(_shown(row, region)[0])[0] if row else None


def _in_words(series: Series, region: Region) -> str:
    def point(row: Row) -> str:
        measured, _ = _shown(row, region)
        return f"batch {row.batch} {_measured(measured)[0] if measured else 'failed'}"

    return ", ".join(map(point, series.rows))


def _svg(canvas: Canvas) -> str:
    """Return the SVG text without the date and the XML head, the same bytes for the same numbers."""
    text = io.StringIO()
    FigureCanvasSVG(canvas).print_svg(text, metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
