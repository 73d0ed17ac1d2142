"""What answers to labelled images amount to: numbers from arrays, each checked against scikit-learn or torchmetrics in the tests."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from helpers.records import Interval

BINS = 15  # of the calibration error, as most who publish it have it


class Bins(NamedTuple):
    """Equal-width bins of the most probable class's probability, each [bins]: how many images, and sums over them."""

    images: np.ndarray  # int64
    right: np.ndarray  # int64
    confidence: np.ndarray  # float64, the sum of the probabilities
    variance: np.ndarray  # float64, the sum of p (1 - p)


def top_k(probabilities: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best classes int32 [N, k] and their probabilities; of equal ones the lower class index comes first."""
    k = min(k, probabilities.shape[1])
    classes = np.argsort(-probabilities, axis=1, kind="stable")[:, :k].astype(np.int32)
    return classes, np.take_along_axis(probabilities, classes, axis=1).astype(np.float32)


def hits(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how many images have their label among the first 1, 2, ... k answers, int64 [k]."""
    return (classes == labels[:, None]).cumsum(axis=1).astype(bool).sum(axis=0)


def interval_pct(right: int, images: int) -> Interval:
    """Return the 95 % Wilson score interval of a share, in percent (E. B. Wilson, JASA 22, 1927)."""
    interval = stats.binomtest(right, images).proportion_ci(0.95, method="wilson")
    return 100 * interval.low, 100 * interval.high


def per_class(answers: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how many images each class has and how many of them are answered right, int64 [classes] each."""
    return np.bincount(labels, minlength=classes), np.bincount(labels[answers == labels], minlength=classes)


def confusions(answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the wrong answers as rows (label, answer, images) int64 [P, 3], what is above nought beside the confusion matrix's diagonal.

    The most frequent comes first, of equally frequent ones the lower label, then the lower answer.
    """
    wrong = answers != labels
    pairs, images = np.unique(np.stack([labels[wrong], answers[wrong]], axis=1), axis=0, return_counts=True)
    return np.column_stack([pairs, images])[np.argsort(-images, kind="stable")].astype(np.int64)


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Bins:
    """Return the bins of probabilities float [N] with right bool [N]; a bin holds its upper edge (Guo et al., ICML 2017, section 2)."""
    edges = np.linspace(0, 1, bins + 1, dtype=confidence.dtype)[1:-1]  # as precise as the probabilities: 0.2 is an edge, not above it
    place, exact = np.searchsorted(edges, confidence), np.clip(confidence, 0, 1).astype(np.float64)
    sums = [np.bincount(place, each, bins) for each in (exact, exact * (1 - exact))]
    return Bins(np.bincount(place, minlength=bins), np.bincount(place[right], minlength=bins), *sums)


def calibration_error_pct(bins: Bins) -> float:
    """Return the expected calibration error in points: each bin's |accuracy - mean probability|, weighted by its images (Guo et al.)."""
    return 100 * float(np.abs(bins.right - bins.confidence).sum() / bins.images.sum())


def chance_error_pct(bins: Bins) -> float:
    """Return about what calibration error as many images show by chance, in points, where each answer is right as often as it says.

    A sum of many independent answers deviates by sqrt(2 / pi) standard deviations on average, as a normal variable does (Geary,
    Biometrika 27, 1935); never by more than the sum of each one's own mean deviation, 2 p (1 - p).
    """
    deviation = np.minimum(np.sqrt(2 / np.pi * bins.variance), 2 * bins.variance)
    return 100 * float(deviation.sum() / bins.images.sum())
