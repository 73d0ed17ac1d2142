"""A published accuracy that is only a number: what the candidate's own accuracy says against it, and how little that proves."""

import math

from helpers import formats, metrics
from helpers.elements import Sentence
from helpers.records import Accuracy, Interval, ReferenceAccuracy, Result, Verdict


def judge(candidate: Result, reference: ReferenceAccuracy | None, margin_points: float) -> tuple[Verdict, str]:
    """Return the verdict against a reference that is only a number, and the sentence that says it.

    PASS when the whole interval lies above reference - margin, FAIL when the whole interval lies below it.
    """
    if not candidate.evaluated:
        return "NONE", f"Accuracy was not evaluated: {candidate.reason}."
    low, high = candidate.top1_interval_pct
    said = f"Top-1 is {candidate.top1_pct:.2f} % (95 % interval {low:.2f} to {high:.2f})"
    if candidate.simulated:
        return "NONE", f"{said} on {candidate.device}: a simulator answered, so this is no verdict."
    if reference is None:
        return "NONE", f"{said}; there is no reference to compare with."
    floor = reference.top1_pct - margin_points
    verdict = "PASS" if low >= floor else "FAIL" if high < floor else "INCONCLUSIVE"
    points = formats.points(margin_points)
    meaning = {
        "PASS": f"less than {points} below",
        "FAIL": f"more than {points} below",
        "INCONCLUSIVE": f"too few images to tell whether it is less than {points} below",
    }[verdict]
    return verdict, f"{said}: {meaning} the reference, {reference.top1_pct:.2f} % ({reference.name})."


def in_words(record: Accuracy) -> Sentence | None:
    """Return the unpaired difference to the reference and how little it proves; None where nothing is compared with a number."""
    candidate, reference = record.results[0], record.reference
    if reference is None or not candidate.evaluated or candidate.simulated:
        return None
    images = reference.images or candidate.images
    right = [round(share * count / 100) for share, count in ((candidate.top1_pct, candidate.images), (reference.top1_pct, images))]
    low, high = difference_pct(right[0], candidate.images, right[1], images)
    taken = "" if reference.images else ", if that is of as many images"
    same = round(reference.top1_pct * candidate.images / 100)
    chance = max(map(abs, difference_pct(same, candidate.images, right[1], images)))
    return Sentence(
        f"The reference is a number alone: the difference is {candidate.top1_pct - reference.top1_pct:+.2f} points, unpaired 95 % interval "
        f"{low:+.2f} to {high:+.2f}{taken}. That proves little, since one model on two sets of so many images differs by up to "
        f"{chance:.2f} points by chance in 95 of 100 cases; its answers to these very images (options, compare_with) would tell "
        "far smaller differences."
    )


def difference_pct(right_a: int, images_a: int, right_b: int, images_b: int) -> Interval:
    """Return the 95 % interval of a's share less b's, of two independent samples, in points.

    R. G. Newcombe, Statistics in Medicine 17, 873 (1998), method 10: from the two Wilson intervals.
    """
    (low_a, high_a), (low_b, high_b) = metrics.interval_pct(right_a, images_a), metrics.interval_pct(right_b, images_b)
    a, b = 100 * right_a / images_a, 100 * right_b / images_b
    return a - b - math.hypot(a - low_a, high_b - b), a - b + math.hypot(high_a - a, b - low_b)
