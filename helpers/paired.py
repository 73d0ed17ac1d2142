"""Two classifiers on the same images: who is right where, and whether the difference matters."""

import math

import numpy as np
from scipy import special, stats

from helpers.records import Comparison, Interval

MARGIN_POINTS = 0.5  # where the parameters do not say another


def compare(a: str, b: str, right_a: np.ndarray, right_b: np.ndarray, margin_points: float = MARGIN_POINTS) -> Comparison:
    """Return how b does against a, from bool [N]: is each right about each image.

    The p-value is McNemar's exact one. EQUIVALENT: two one-sided tests at 5 % say that the difference is less than the margin in
    percentage points; else WORSE or BETTER at a p-value below 0.05; else INCONCLUSIVE, with how many images would decide it if the
    others are like these.
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
        margin_points=margin_points,
        images_to_decide=_images_to_decide(only_a, only_b, len(right_a), margin_points) if verdict == "INCONCLUSIVE" else None,
    )


def _images_to_decide(only_a: int, only_b: int, images: int, margin_points: float) -> int | None:
    """Return how many images would give another verdict, at the shares seen so far; None where even a billion would not.

    That is where the 90 % interval lies within the margin, or the 95 % one away from 0, whichever comes first.
    """
    difference, deviation = _moments(only_a, only_b, images)
    rooms = ((float(special.ndtri(0.95)), margin_points / 100 - abs(difference)), (float(special.ndtri(0.975)), abs(difference)))
    needed = [(z * deviation / room) ** 2 for z, room in rooms if room > 0]
    return math.ceil(min(needed)) if needed and min(needed) < 1e9 else None


def _moments(only_a: int, only_b: int, images: int) -> tuple[float, float]:
    """Return mean and standard deviation of one image's difference, -1, 0 or 1, with half an image more in each of the four cells."""
    total, loss, gain = images + 2, only_a + 0.5, only_b + 0.5
    difference = (gain - loss) / total
    return difference, math.sqrt((gain + loss) / total - difference**2)


def _difference_pct(only_a: int, only_b: int, images: int, level: float) -> Interval:
    """Return the interval of b's share of right answers less a's, in points (Agresti and Min, Statistics in Medicine 24, 2005).

    Of a few images it would go beyond 100 points, where it is cut off.
    """
    difference, deviation = _moments(only_a, only_b, images)
    half = float(special.ndtri((1 + level) / 2)) * deviation / math.sqrt(images + 2)
    return max(-100.0, 100 * (difference - half)), min(100.0, 100 * (difference + half))
