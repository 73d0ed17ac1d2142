"""The tables of accuracy: every configuration, and each two of them on the same images."""

from helpers import formats, prepared, reference_number, shards_report
from helpers.elements import Group, Sentence, Table
from helpers.records import Accuracy, Comparison, Result

SIDES = ("both right", "only candidate", "only this", "both wrong")


def accuracy(record: Accuracy) -> Group:
    """Return top-1 and top-5 of every evaluated stage, and the reference; how they compare, and which workers evaluated them."""
    rows = [
        [
            _configuration(result),
            result.device,
            result.precision,
            f"{result.top1_pct:.2f} %" if result.evaluated else f"not evaluated: {result.reason}",
            formats.span(result.top1_interval_pct, 2),
            f"{result.top5_pct:.2f} %" if result.top5_pct is not None else None,
            result.images if result.evaluated else None,
            f"run {result.imported}" if result.imported else "this run",
        ]
        for result in record.results
    ]
    if record.reference:
        reference = record.reference
        rows.append([f"reference: {reference.name}", None, None, f"{reference.top1_pct:.2f} %", None, None, None, reference.source])
    remarks = [Sentence(remark, "warning") for result in record.results for remark in result.remarks]
    table = Table(["backend", "device", "precision", "top-1", "95 % interval", "top-5", "images", "source"], rows)
    streamed = [
        element
        for result in record.results
        if result.streamed
        for element in (
            Sentence(f"{_configuration(result)}: images prepared and evaluated at once, {result.streamed}."),
            prepared.listed("left out", [[entry.name, entry.reason] for entry in result.rejected]),
            prepared.listed("to be known", [[entry.name, entry.text] for entry in result.image_remarks]),
        )
    ]
    return Group(
        [table, reference_number.in_words(record), *remarks, *streamed, comparisons(record), shards_report.evaluated(record.results)]
    )


def comparisons(record: Accuracy) -> Group:
    """Return every other configuration against the candidate, image by image, then every other pair."""
    with_candidate = record.against_candidate()
    others = [one for one in record.comparisons if one not in with_candidate]
    headers = ["configuration", *SIDES, "p", "difference, points", "verdict"]
    caption = (
        "Against the candidate on the same images. Difference: the configuration's top-1 less the candidate's, 95 % interval. p: McNemar's "
        f"exact test. EQUIVALENT: within {_margins(record)} points by two one-sided tests at 5 %; else WORSE or BETTER "
        "at p below 0.05; else INCONCLUSIVE, with about how many images would decide"
    )
    pairs = ["first", "second", "difference, points", "p", "verdict"]
    names = {result.stage: formats.called(result) for result in record.results}
    rows = [[names[one.a], names[one.b], formats.span(one.difference_interval_pct, 2), f"{one.p_value:.2g}", one.verdict] for one in others]
    return Group(
        [
            Table(headers, [[names[one.b], *_sides(one)] for one in with_candidate], caption) if with_candidate else None,
            Table(pairs, rows, "Every other pair, the second against the first: nothing is corrected for their number") if rows else None,
        ]
    )


def _sides(one: Comparison) -> list[object]:
    """Return the cells of a comparison: its four counts, and what they amount to."""
    decided = f", {one.images_to_decide:,} images would decide" if one.images_to_decide else ""
    counts = [one.both_right, one.only_a, one.only_b, one.both_wrong]
    return [*counts, f"{one.p_value:.2g}", formats.span(one.difference_interval_pct, 2), one.verdict + decided]


def _margins(record: Accuracy) -> str:
    return " and ".join(sorted({f"{one.margin_points:g}" for one in record.comparisons}))


def _configuration(result: Result) -> str:
    """Return what answered, with its place among the options or its run, since two may be told alike."""
    return result.backend if result.stage == "candidate" else f"{formats.place(result)}: {result.backend}"
