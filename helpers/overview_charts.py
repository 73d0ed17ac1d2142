"""Charts of several finished runs: their images per second and their accuracies, with intervals."""

import itertools
from collections.abc import Callable, Sequence

import matplotlib
from matplotlib.figure import Figure as Canvas

from helpers import charts, formats
from helpers.elements import Figure, Group, Sentence
from helpers.overview import Finished, Run, best, finished
from helpers.records import Interval

OVERLAP = "Where intervals overlap, the order may be chance."
STYLES = [  # colour is never the only cue
    {"color": color, "linestyle": linestyle, "marker": marker, "linewidth": 2, "elinewidth": 1.2}
    for color, linestyle, marker in zip(
        ("#0072b2", "#d55e00", "#00785a", "#8e4585", "#1c2024", "#7a5c00", "#b3261e", "#5b6470"),
        itertools.cycle(("-", "--", "-.", ":")),
        "os^vDPX*",
        strict=False,
    )
]


def fps(runs: Sequence[Run]) -> Figure | Sentence:
    """Return images per second against batch size, the candidate of every finished run, with 95 % intervals."""
    shown = [run for run in finished(runs) if best(run)[0]]
    if not shown:
        return Sentence("No run has a throughput: name finished ones in runs.", "warning")
    fastest = _highest(shown, lambda run: best(run)[0].images_per_second)
    measured, batch = best(fastest)
    title = f"Fastest: {fastest.label}, {formats.fps(measured)} images per second at batch size {batch}"
    batches = sorted({row.batch for run in shown for row in run.line.rows})
    names = [f"{run.label}, {run.sweep.region} time" for run in shown]
    with matplotlib.rc_context(charts.RC):
        canvas = Canvas(figsize=(7.5, 4.2), layout="constrained")
        axes = canvas.subplots()
        drawn = zip(shown, names, STYLES, strict=False)
        charts.by_batch(axes, batches, [charts.line(axes, run.line, batches, run.sweep.region, style, name) for run, name, style in drawn])
        charts.head(canvas, axes, title, "; ".join(dict.fromkeys(run.line.device for run in shown)))
        svg = charts.svg(canvas)
    said = "; ".join(f"{name}: {charts.in_words(run.line, run.sweep.region)}" for run, name in zip(shown, names, strict=True))
    caption = f"Images per second by batch size, a line for each run's candidate. {charts.MARKS} {OVERLAP}"
    return Figure(svg, f"{title}. {said}.", caption)


def accuracy(runs: Sequence[Run]) -> Group:
    """Return the top-1 of every finished run with its 95 % interval, and whether they are of the same images."""
    shown = [run for run in finished(runs) if run.result.top1_pct is not None]
    if not shown:
        return Group([Sentence("No run has an accuracy: name finished ones in runs.", "warning")])
    highest = _highest(shown, lambda run: run.result.top1_pct)
    title = f"Highest top-1: {highest.label}, {highest.result.top1_pct:.2f} %"
    with matplotlib.rc_context(charts.RC):
        canvas = Canvas(figsize=(7.5, 1.4 + 0.4 * len(shown)), layout="constrained")
        axes = canvas.subplots()
        for place, (run, style) in enumerate(zip(shown, STYLES, strict=False)):
            low, high = _interval(run)
            axes.errorbar(
                [run.result.top1_pct], [place], xerr=[[run.result.top1_pct - low], [high - run.result.top1_pct]], capsize=4, **style
            )
        axes.set_yticks(range(len(shown)), [run.label for run in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel("top-1, %")
        charts.head(canvas, axes, title, "the candidate of each run, 95 % intervals")
        svg = charts.svg(canvas)
    said = "; ".join(f"{run.label} {run.result.top1_pct:.2f}, {formats.span(_interval(run), 2)}" for run in shown)
    caption = f"Top-1 of each run's candidate with Wilson's 95 % interval. {OVERLAP} The axis does not begin at zero."
    return Group([Figure(svg, f"{title}. Top-1 and 95 % interval: {said}.", caption), _images(shown)])


def _highest(shown: Sequence[Finished], figure: Callable[[Finished], float]) -> Finished:
    """Return the run with the highest figure; a simulated one only where there is no other."""
    return max([run for run in shown if not run.simulated] or shown, key=figure)


def _interval(run: Finished) -> Interval:
    return run.result.top1_interval_pct or (run.result.top1_pct, run.result.top1_pct)


def _images(shown: Sequence[Finished]) -> Sentence:
    """Return whether the accuracies are of the same images."""
    if len({run.data.manifest_sha256 for run in shown}) == 1:
        return Sentence(f"Measured on the same {formats.counted(shown[0].data.images, 'image')}.")
    counts = ", ".join(f"{run.label} {run.data.images:,}" for run in shown)
    return Sentence(f"These runs saw different images, so that their accuracies can't be compared: {counts}.", "warning")
