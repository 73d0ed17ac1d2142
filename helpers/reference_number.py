"""A published accuracy that is only a number: what the candidate's own accuracy says against it, and how little that proves."""

from helpers.records import ReferenceAccuracy, Result, Verdict


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
    points = f"{margin_points:g} point{'' if margin_points == 1 else 's'}"
    meaning = {
        "PASS": f"less than {points} below",
        "FAIL": f"more than {points} below",
        "INCONCLUSIVE": f"too few images to tell whether it is less than {points} below",
    }[verdict]
    return verdict, f"{said}: {meaning} the reference, {reference.top1_pct:.2f} % ({reference.name})."
