"""How often the label is among the first guesses: top-1 to top-5 of every stage."""

from helpers import accuracy_charts, formats, metrics
from helpers.elements import Group, Sentence, Table
from helpers.records import Result
from helpers.scores import TOP, Kept, Scores


def in_words(kept: Kept) -> Group | Sentence:
    """Return the chart and the table of top-1 to top-5 of every stage, to as many guesses as there are classes."""
    if not kept:
        return Sentence("Further guesses are unknown: the candidate was not evaluated.")
    right = {formats.called(result): known_hits(result, scores) for result, scores in kept}
    images = [len(scores) for _, scores in kept]
    stage, first = next(iter(right.items()))
    last = f", top-{len(first)} {100 * first[-1] / images[0]:.2f} %" if len(first) > 1 else ""
    title = f"{stage.capitalize()}: top-1 {100 * first[0] / images[0]:.2f} %{last}"
    return Group([accuracy_charts.top_k(right, images, title), _table(right, images)])


def known_hits(result: Result, scores: Scores) -> list[int]:
    """Return how many images have their label among the first 1, 2, ... guesses.

    It ends where recorded answers, rounded to nought, no longer say which guess comes next.
    """
    guesses = scores.top5.shape[1]
    rounded = result.top5_pct is None and guesses == TOP
    known = int(scores.probability.all(axis=0).sum()) if rounded else guesses
    return metrics.hits(scores.top5, scores.label)[: max(known, 1)].tolist()


def _table(right: dict[str, list[int]], images: list[int]) -> Table:
    guesses = max(map(len, right.values()))
    rows = [
        [stage, number, *(f"{100 * hits[k] / number:.2f}" if k < len(hits) else None for k in range(guesses))]
        for (stage, hits), number in zip(right.items(), images, strict=True)
    ]
    dash = ". A dash: the recorded probabilities are rounded to nought there" if any(len(hits) < guesses for hits in right.values()) else ""
    caption = (
        "Share of images, in percent, whose label is among the k most probable classes; of equally probable ones the lower class index "
        f"comes first{dash}"
    )
    return Table(["stage", "images", *(f"top-{k}" for k in range(1, guesses + 1))], rows, caption)
