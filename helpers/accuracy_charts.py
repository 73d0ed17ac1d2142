"""Charts of what the answers say: is the classifier as sure as right, and how far off are its further guesses?"""

import itertools
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas

from helpers import charts, formats, metrics
from helpers.elements import Figure
from helpers.metrics import Bins

GREY = "#6b6b6b"
APART = 0.07  # of the axis's height, between the names of lines that end together
ASIDE = 0.05  # of a guess, between the marks of lines that coincide


class Line(NamedTuple):
    """A stage's share of images, in percent, whose label is among the first 1, 2, ... guesses: float [K], its interval float [2, K]."""

    stage: str
    shares: np.ndarray
    interval: np.ndarray


def reliability(bins: Bins, title: str, conditions: str) -> Figure:
    """Return the share right against the mean probability of each bin, with the diagonal, above how many images each bin has."""
    there = np.flatnonzero(bins.images)
    sure, share = (100 * sums[there] / bins.images[there] for sums in (bins.confidence, bins.right))
    with matplotlib.rc_context(charts.RC):
        canvas = Canvas(figsize=(7.5, 5.6), layout="constrained")
        axes, strip = canvas.subplots(2, sharex=True, height_ratios=[4, 1])
        _diagonal(axes)
        style = {**charts.STYLES["candidate"], "linestyle": "none", "elinewidth": 1.2, "clip_on": False}
        spans = np.abs(_intervals(bins.right[there], bins.images[there]) - share)
        axes.errorbar(sure, share, yerr=spans, capsize=3, markersize=6, **style)
        axes.set(xlim=(0, 100), ylim=(0, 100), ylabel="right, %")
        _counts(strip, bins.images.tolist())
        charts.head(canvas, axes, title, conditions)
        text = charts.svg(canvas)
    rows = zip(sure, share, bins.images[there].tolist(), strict=True)
    said = ", ".join(f"{x:.1f} % sure {y:.1f} % right ({count:,})" for x, y, count in rows)
    caption = (
        "Share of right answers against their probability, a mark for each bin with Wilson's 95 % interval; below it the images of the "
        "bin. Under the dashed line answers are surer than right. The same numbers are in the table."
    )
    return Figure(text, f"{title}. {conditions}. Each bin, its images in brackets: {said}.", caption)


def top_k(right: dict[str, list[int]], images: list[int], title: str) -> Figure:
    """Return the share of images whose label is among the first 1, 2, ... guesses, with its interval, a line for each stage.

    `right` says of each stage of how many of its `images` that is so. The first stage is the candidate.
    """
    lines = [_line(stage, np.array(hits), number) for (stage, hits), number in zip(right.items(), images, strict=True)]
    floor = min(90, 10 * int(min(line.interval.min() for line in lines) // 10))
    guesses = range(1, max(len(line.shares) for line in lines) + 1)
    with matplotlib.rc_context(charts.RC):
        canvas = Canvas(figsize=(7.5, 3.4), layout="constrained")
        axes = canvas.subplots()
        axes.set(xlim=(0.8, len(guesses) + 0.2), ylim=(floor, 100), xlabel="guesses", ylabel="label among them, %", xticks=guesses)
        _draw(axes, lines)
        charts.head(canvas, axes, title, f"{formats.counted(images[0], 'image')}; the axis begins at {floor} %")
        text = charts.svg(canvas)
    said = "; ".join(f"{line.stage}: " + ", ".join(f"top-{k} {share:.2f} %" for k, share in enumerate(line.shares, 1)) for line in lines)
    caption = (
        "Share of images whose label is among the first guesses. Bars are Wilson's 95 % intervals; marks stand side by side where they "
        "would hide each other. The same numbers are in the table."
    )
    return Figure(text, f"{title}. {said}.", caption)


def _intervals(right: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return lower and upper ends in percent, float [2, N]."""
    return np.array([metrics.interval_pct(*counts) for counts in zip(right.tolist(), images.tolist(), strict=True)]).T


def _line(stage: str, hits: np.ndarray, images: int) -> Line:
    return Line(stage, 100 * hits / images, _intervals(hits, np.full_like(hits, images)))


def _diagonal(axes) -> None:
    """Draw where answers are right as often as they say, and say what lies on either side."""
    axes.plot([0, 100], [0, 100], color=GREY, linestyle="--", linewidth=1)
    style = {"color": GREY, "fontsize": 9}
    axes.text(4, 6, "as sure as right", rotation=45, transform_rotates_text=True, rotation_mode="anchor", **style)
    axes.text(2, 92, "less sure than right", **style)
    axes.text(98, 4, "surer than right", ha="right", **style)


def _draw(axes, lines: list[Line]) -> None:
    """Draw the lines and write each one's last share beside the axes, further down where they end together: above 100 % is no room."""
    markers, ends = itertools.cycle(charts.OPTION_MARKERS), []
    for place, line in enumerate(lines):
        style = {**charts.STYLES["option"], "marker": next(markers)} if place else charts.STYLES["candidate"]
        guesses, spans = np.arange(len(line.shares)) + 1 + place * ASIDE, np.abs(line.interval - line.shares)
        axes.errorbar(guesses, line.shares, yerr=spans, capsize=2, elinewidth=1, markersize=5, clip_on=False, **style)
        ends.append((line.shares[-1], f"{line.stage}, top-{len(line.shares)} {line.shares[-1]:.2f} %", style["color"]))
    floor, height = axes.get_ylim()[0], np.inf
    for share, name, colour in sorted(ends, key=lambda end: -end[0]):
        height = min(share, height - APART * (100 - floor))
        style = {"va": "center", "color": colour, "fontsize": 9, "annotation_clip": False}
        axes.annotate(name, (axes.get_xlim()[1], height), xytext=(8, 0), textcoords="offset points", **style)


def _counts(axes, images: list[int]) -> None:
    """Draw how many images each bin has, the number above its bar."""
    width = 100 / len(images)
    bars = axes.bar(np.arange(len(images)) * width, images, width, align="edge", color="#56b4e9", edgecolor="white")
    axes.bar_label(bars, [f"{count:,}" if count else "" for count in images], fontsize=7, padding=1)
    axes.set(ylim=(0, 1.25 * max(images)), yticks=[], ylabel="images", xlabel="probability of the answer, %")
    axes.spines[["top", "right", "left"]].set_visible(False)
