"""Do paired verdicts err as often as they say? 1,000 simulated pairs of classifiers for each case, whose true difference is known.

Writes results/verdicts_<cores>cores.json and exits with 1 when an error rate is above its nominal level by more than chance explains.
"""

import sys

import numpy as np
import outcome
from scipy import stats

from helpers import paired

PAIRS = 1000
MARGIN = 0.5  # points
RIGHT = 0.85  # share of the images that both classify right
CASES = (  # images, share of images on which one alone is right in percent, true difference in points
    (10_000, 1.0, 0.0),
    (10_000, 4.0, 0.0),
    (50_000, 1.0, 0.0),
    (50_000, 4.0, 0.0),
    (10_000, 4.0, -MARGIN),
    (10_000, 4.0, MARGIN),
    (50_000, 4.0, -MARGIN),
    (50_000, 4.0, MARGIN),
    (10_000, 4.0, -2 * MARGIN),
    (50_000, 4.0, 2 * MARGIN),
    (1_000, 4.0, 0.0),
    (1_000, 0.5, -MARGIN),  # nothing gained, few lost: so few that the share lost is not near normal
    (1_000, 0.7, -MARGIN),
    (2_000, 0.5, MARGIN),
    (400, 0.5, MARGIN),
)


def main() -> int:
    """Simulate every case, print its verdicts beside what they may be, and return the exit code."""
    random, found = np.random.default_rng(0), []
    print(f"{PAIRS:,} simulated pairs a case, margin {MARGIN} points; allowed: 5 % and what chance adds to it")
    for images, differing, difference in CASES:
        case = simulate(random, images, differing, difference)
        found.append({"images": images, "differing_pct": differing, "difference_points": difference, **case})
        shares = ", ".join(f"{name} {share:.1f} %" for name, share in case["verdicts_pct"].items() if share)
        met = "met" if case["met"] else "NOT MET"
        print(f"{images:7,} images, {differing} % differ, truly {difference:+.1f} points: {shares}; wrong {case['wrong_pct']:.1f} %: {met}")
    outcome.write("verdicts", {"pairs": PAIRS, "margin_points": MARGIN, "cases": found}, ("numpy", "scipy"))
    return 0 if all(case["met"] for case in found) else 1


def simulate(random: np.random.Generator, images: int, differing_pct: float, difference_points: float, pairs: int = PAIRS) -> dict:
    """Return the shares of the verdicts, of those that are wrong, and of the intervals that hold the true difference, in percent.

    Wrong is WORSE or BETTER where the true difference has not that sign, and EQUIVALENT where it is no less than the margin.
    """
    gain, loss = (differing_pct + difference_points) / 200, (differing_pct - difference_points) / 200
    counts = random.multinomial(images, [RIGHT, loss, gain, 1 - RIGHT - loss - gain], pairs)
    compared = [_compare(*row) for row in counts]
    verdicts = [one.verdict for one in compared]
    names = ("EQUIVALENT", "WORSE", "BETTER", "INCONCLUSIVE")
    wrong = {name for name, holds in (("WORSE", difference_points >= 0), ("BETTER", difference_points <= 0)) if holds}
    wrong |= {"EQUIVALENT"} if abs(difference_points) >= MARGIN else set()
    errors = sum(verdict in wrong for verdict in verdicts)
    covered = [low <= difference_points <= high for low, high in (one.difference_interval_pct for one in compared)]
    return {
        "verdicts_pct": {name: 100 * verdicts.count(name) / pairs for name in names},
        "wrong_pct": 100 * errors / pairs,
        "covered_pct": 100 * sum(covered) / pairs,
        "met": bool(errors <= stats.binom.ppf(0.999, pairs, 0.05) and sum(covered) >= stats.binom.ppf(0.001, pairs, 0.95)),
    }


def _compare(*counts: int):
    right_a, right_b = (np.repeat(np.array(right, bool), counts) for right in ([1, 1, 0, 0], [1, 0, 1, 0]))
    return paired.compare("a", "b", right_a, right_b, MARGIN)


if __name__ == "__main__":
    sys.exit(main())
