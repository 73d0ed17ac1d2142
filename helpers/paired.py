"""Two classifiers on the same images: who is right where, and whether the difference matters."""

import math

import numpy as np
from scipy import optimize, special, stats

from helpers.records import Comparison, Interval

MARGIN_POINTS = 0.5  # where the parameters do not say another
ONE_SIDED, TWO_SIDED = (float(special.ndtri(level)) for level in (0.95, 0.975))  # of a normal distribution, at 5 %
TINY = 1e-9  # of a share


def compare(a: str, b: str, right_a: np.ndarray, right_b: np.ndarray, margin_points: float = MARGIN_POINTS) -> Comparison:
    """Return how b does against a, from bool [N]: is each right about each image.

    The p-value is McNemar's exact one. EQUIVALENT: two one-sided score tests at 5 % say that the difference is less than the margin
    in percentage points (above 0, below 100); else WORSE or BETTER at a p-value below 0.05; else INCONCLUSIVE, with how many images
    would decide it if the others are like these.
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p_value = float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    both_ways = (only_a, only_b), (only_b, only_a)
    within = min(equivalence_score(*counts, len(right_a), margin_points / 100) for counts in both_ways)
    verdict = "INCONCLUSIVE"
    if within > ONE_SIDED:
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
        difference_interval_pct=_difference_pct(only_a, only_b, len(right_a)),
        verdict=verdict,
        margin_points=margin_points,
        images_to_decide=_images_to_decide(only_a, only_b, len(right_a), within) if verdict == "INCONCLUSIVE" else None,
    )


def equivalence_score(loss: int, gain: int, images: int, margin: float) -> float:
    """Return the score statistic, about normal, of the hypothesis that the share lost less the share gained is at least the margin.

    The margin lies between -1 and 1 and is not 0. T. Tango, Statistics in Medicine 17, 891 (1998). Its variance is that at the
    margin: that of the images seen would be nought where none differs.
    """
    if not images:
        return 0.0
    a, b, c = 2 * images, (2 * images - loss + gain) * margin - loss - gain, -gain * margin * (1 - margin)
    gained = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # its most likely share where the difference is the margin
    return (images * margin - loss + gain) / math.sqrt(images * (2 * gained + margin * (1 - margin)))


def _images_to_decide(only_a: int, only_b: int, images: int, within: float) -> int | None:
    """Return how many images would give another verdict, at the shares seen so far; None where even a billion would not.

    The score of equivalence grows with the root of their number, and so does McNemar's, here with Edwards' correction (1948) since
    the test is exact. Whichever is enough first counts.
    """
    needed = [(ONE_SIDED / within) ** 2] if within > 0 else []
    differ, apart = only_a + only_b, abs(only_a - only_b)
    if apart:
        needed.append(((TWO_SIDED * math.sqrt(differ) + math.sqrt(TWO_SIDED**2 * differ + 4 * apart)) / (2 * apart)) ** 2)
    return max(images + 1, math.ceil(images * min(needed))) if needed and images * min(needed) < 1e9 else None


def _difference_pct(only_a: int, only_b: int, images: int) -> Interval:
    """Return the 95 % interval of b's share of right answers less a's, in points: what neither score says is out of question (Tango)."""
    return -100 * _most_lost(only_a, only_b, images), 100 * _most_lost(only_b, only_a, images)


def _most_lost(loss: int, gain: int, images: int) -> float:
    """Return the upper end of the 95 % interval of the share lost less the share gained."""
    if loss == images or equivalence_score(loss, gain, images, 1 - TINY) < TWO_SIDED:
        return 1.0
    least = (loss - gain) / images + TINY
    return optimize.brentq(lambda share: equivalence_score(loss, gain, images, share) - TWO_SIDED, least, 1 - TINY)
