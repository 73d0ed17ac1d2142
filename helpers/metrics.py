"""What answers to labelled images amount to: numbers from arrays, each checked against scikit-learn or torchmetrics in the tests."""

import numpy as np
from scipy import stats

from helpers.records import Interval


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
