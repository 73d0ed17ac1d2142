"""The accuracies of two runs beside each other: image by image where both saw the same pixels, else as two samples."""

from dataclasses import dataclass

from helpers import formats, paired, reference_number, scores
from helpers.comparable import Unlike
from helpers.elements import Group, Sentence, Table
from helpers.embedded import Run
from helpers.records import Accuracy, Comparison, Interval, Result

STAGE = "candidate"


@dataclass(frozen=True)
class Difference:
    """B's top-1 less A's in points with its 95 % interval; `paired` is None where two samples are compared, which `why` explains."""

    points: float
    interval: Interval
    images: int
    paired: Comparison | None
    why: str = ""


def difference(a: Run, b: Run, unlike: Unlike) -> Difference | None:
    """Return how B's candidate does against A's; None where that would mean nothing.

    Paired: Tango's interval, McNemar's and two one-sided tests (`paired.compare`), on the images that both answered. Two
    samples: Newcombe's interval (`reference_number.difference_pct`), which of the same images is wider than it need be.
    """
    if unlike.whole or unlike.accuracy:
        return None
    gone = [letter for letter, run in (("A", a), ("B", b)) if STAGE not in run.scores]
    if unlike.images or gone:
        kept = f"the answers of {' and '.join(gone)} were not kept in the folder: give the report.html instead"
        return _two_samples(a, b, unlike.in_accuracy[0] if unlike.images else kept)
    mine, theirs = scores.on_shared(a.scores[STAGE], b.scores[STAGE])
    if not len(mine):
        return _two_samples(a, b, "they answered no image in common")
    found = paired.compare("A", "B", mine.right, theirs.right, min(_margin(a), _margin(b)))
    return Difference(100 * (found.only_b - found.only_a) / len(mine), found.difference_interval_pct, len(mine), found)


def headline(found: Difference) -> str:
    """Return what a difference amounts to, as a phrase that goes on after "B"."""
    images = formats.counted(found.images, "image")
    if not found.paired:
        return f"can't be held against A image by image ({found.why})"
    return {
        "EQUIVALENT": f"is as accurate as A, within {formats.points(found.paired.margin_points)} on the same {images}",
        "BETTER": f"is more accurate than A, by {abs(found.points):.2f} points on the same {images}",
        "WORSE": f"is less accurate than A, by {abs(found.points):.2f} points on the same {images}",
        "INCONCLUSIVE": f"may or may not be as accurate as A: {images} are too few to tell",
    }[found.paired.verdict]


def shown(a: Run, b: Run, found: Difference | None, unlike: Unlike) -> Group:
    """Return both accuracies, their difference, and what it rests on."""
    results = [(letter, run.records[Accuracy].results[0]) for letter, run in (("A", a), ("B", b))]
    rows = [[letter, *_row(result)] for letter, result in results]
    headers = ["run", "what answered", "device", "top-1", "95 % interval", "top-5", "images"]
    reasons = [*unlike.whole, *unlike.accuracy]
    why = [Sentence(f"Not comparable: {'; '.join(reasons)}.", "warning")] if reasons else []
    counts = [found.paired] if found and found.paired else []
    sides = [[one.both_right, one.only_a, one.only_b, one.both_wrong, f"{one.p_value:.2g}", one.verdict] for one in counts]
    caption = "The same images, one by one; p is McNemar's exact"
    return Group(
        [
            *why,
            _in_words(found) if found else None,
            Table(headers, rows, "Intervals are Wilson's"),
            Table(["both right", "only A", "only B", "both wrong", "p", "verdict on B"], sides, caption) if sides else None,
        ]
    )


def _in_words(found: Difference) -> Sentence:
    said = f"{found.points:+.2f} points, 95 % interval {found.interval[0]:+.2f} to {found.interval[1]:+.2f}"
    if not found.paired:
        return Sentence(
            f"B's top-1 less A's is {said}, unpaired. This is no verdict ({found.why}): two samples of so many images differ by chance, "
            "and answers to the same images would tell far smaller differences.",
            "warning",
        )
    one, images = found.paired, formats.counted(found.images, "image")
    decide = f"; about {one.images_to_decide:,} images like these would decide" if one.images_to_decide else ""
    return Sentence(f"On the same {images} B's top-1 less A's is {said}: {one.verdict} at {formats.points(one.margin_points)}{decide}.")


def _row(result: Result) -> list[object]:
    known = result.top1_pct is not None
    return [
        result.backend,
        result.device,
        f"{result.top1_pct:.2f} %" if known else f"not evaluated: {result.reason}",
        formats.span(result.top1_interval_pct, 2),
        f"{result.top5_pct:.2f} %" if result.top5_pct is not None else None,
        result.images if known else None,
    ]


def _two_samples(a: Run, b: Run, why: str) -> Difference:
    results = [run.records[Accuracy].results[0] for run in (b, a)]
    counts = [number for one in results for number in (round(one.top1_pct * one.images / 100), one.images)]
    points = results[0].top1_pct - results[1].top1_pct
    return Difference(points, reference_number.difference_pct(*counts), min(one.images for one in results), None, why)


def _margin(run: Run) -> float:
    """Return how many points the run's own parameters allow; another version's may say nothing of it."""
    given = run.records[Accuracy].params.get("paired_margin_points")
    return float(given) if isinstance(given, int | float) else paired.MARGIN_POINTS
