"""Two classifiers on the same images: who is right where, and whether the difference matters."""

import math

import numpy as np
from scipy import special, stats

from helpers.records import Comparison, Interval

MARGIN_POINTS = 0.5  # by default, of two one-sided tests on the same images


def compare(a: str, b: str, right_a: np.ndarray, right_b: np.ndarray, margin_points: float = MARGIN_POINTS) -> Comparison:
    """Return how b does against a, from bool [N]: is each right about each image.

    The p-value is McNemar's exact one. EQUIVALENT: two one-sided tests at 5 % say that the difference is less than the margin in
    percentage points; else WORSE or BETTER at a p-value below 0.05; else INCONCLUSIVE.
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p_value = float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    low, high = _difference_pct(only_a, only_b, len(right_a), 0.90)
    verdict = "INCONCLUSIVE"
    if -margin_points < low and high < margin_points:
        verdict = "EQUIVALENT"
    elif p_value < 0.05:
        verdict = "WORSE" if only_a > only_b else "BETTER"
    return Comparison(
        a=a,
        b=b,
        both_right=int((right_a & right_b).sum()),
        only_a=only_a,
        only_b=only_b,
        both_wrong=int((~right_a & ~right_b).sum()),
        p_value=p_value,
        difference_interval_pct=_difference_pct(only_a, only_b, len(right_a), 0.95),
        verdict=verdict,
    )


def _difference_pct(only_a: int, only_b: int, images: int, level: float) -> Interval:
    """Return the interval of b's share of right answers less a's, in points (Agresti and Min, Statistics in Medicine 24, 2005).

    Of a few images it would go beyond 100 points, where it is cut off.
    """
    total, loss, gain = images + 2, only_a + 0.5, only_b + 0.5  # half an image more in each of the four cells
    difference = (gain - loss) / total
    half = float(special.ndtri((1 + level) / 2)) * math.sqrt(gain + loss - (gain - loss) ** 2 / total) / total
    return max(-100.0, 100 * (difference - half)), min(100.0, 100 * (difference + half))
