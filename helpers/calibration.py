"""Are the probabilities what they say: of answers that are 80 % sure, are 80 % right?"""

import numpy as np

from helpers import accuracy_charts, formats, metrics
from helpers.elements import Group, Sentence, Table
from helpers.metrics import BINS, Bins
from helpers.scores import Kept


def in_words(kept: Kept) -> Group | Sentence:
    """Return how sure the candidate is against how right, its reliability chart with its numbers, and every stage's calibration error."""
    if not kept:
        return Sentence("Whether it is as sure as right is unknown: the candidate was not evaluated.")
    of = {formats.called(result): metrics.calibration(scores.probability[:, 0], scores.right) for result, scores in kept}
    stage, bins = next(iter(of.items()))
    images = formats.counted(int(bins.images.sum()), "image")
    title, conditions = claim(bins), f"{stage}, {images}; calibration error {metrics.calibration_error_pct(bins):.1f} points"
    chart = accuracy_charts.reliability(bins, title, conditions)
    return Group([Sentence(_sentence(stage, bins)), chart, _bins(stage, bins), _stages(of)])


def claim(bins: Bins) -> str:
    """Return by how much the mean probability is above or below top-1; within top-1's 95 % interval it is called equal."""
    images, right = int(bins.images.sum()), int(bins.right.sum())
    low, high = metrics.interval_pct(right, images)
    sure = _sure(bins)
    if low <= sure <= high:
        return f"On average as sure as right, as far as {formats.counted(images, 'image')} can tell"
    return f"On average {abs(sure - 100 * right / images):.1f} points {'surer' if sure > high else 'less sure'} than right"


def _sure(bins: Bins) -> float:
    return 100 * float(bins.confidence.sum() / bins.images.sum())


def _sentence(stage: str, bins: Bins) -> str:
    right, images = int(bins.right.sum()), int(bins.images.sum())
    interval = formats.span(metrics.interval_pct(right, images), 1)
    return (
        f"{claim(bins)}: the answers of the {stage} have a mean probability of {_sure(bins):.1f} %, and {100 * right / images:.1f} % are "
        f"right (95 % interval {interval})."
    )


def _bins(stage: str, bins: Bins) -> Table:
    """Return the numbers of the chart, a row for each bin that has images."""
    edges = np.linspace(0, 100, len(bins.images) + 1)
    rows = [
        [
            f"{edges[place]:.1f} to {edges[place + 1]:.1f}",
            int(bins.images[place]),
            f"{100 * bins.confidence[place] / bins.images[place]:.1f}",
            f"{100 * bins.right[place] / bins.images[place]:.1f}",
            formats.span(metrics.interval_pct(int(bins.right[place]), int(bins.images[place])), 1),
        ]
        for place in np.flatnonzero(bins.images)
    ]
    caption = f"{stage.capitalize()}: the bins of the chart, {BINS} of equal width; those without images are left out"
    return Table(["probability, %", "images", "mean probability, %", "right, %", "95 % interval"], rows, caption)


def _stages(of: dict[str, Bins]) -> Table:
    rows = [
        [
            stage,
            int(bins.images.sum()),
            f"{_sure(bins):.1f}",
            f"{100 * bins.right.sum() / bins.images.sum():.1f}",
            f"{metrics.calibration_error_pct(bins):.2f}",
            f"{metrics.chance_error_pct(bins):.2f}",
        ]
        for stage, bins in of.items()
    ]
    caption = (
        "Calibration error (ECE): how far mean probability and share right are apart, averaged over the images of "
        f"{BINS} equal-width bins of the top-1 probability (Guo et al. 2017). By chance: about what as many answers would show that are "
        "right exactly as often as they say"
    )
    return Table(["stage", "images", "mean probability, %", "right, %", "ECE, points", "by chance, points"], rows, caption)
