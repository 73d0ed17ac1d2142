"""Every two configurations on the images that both answered: where they differ, who is right there, in words and as CSV."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from helpers import csv_files, formats, scores
from helpers.labels import NO_LABEL
from helpers.records import Result
from helpers.scores import Scores

COLUMNS = ["a", "b", "image", "label", "class", "answer_a", "probability_a", "answer_b", "probability_b", "right"]


@dataclass(frozen=True)
class Pair:
    """Two configurations, how many images both answered, and what each answered to those on which they differ, the surest first."""

    a: Result
    b: Result
    images: int
    mine: Scores
    theirs: Scores

    @property
    def names(self) -> tuple[str, str]:
        """Return what the two are called; one that a simulator answered for is never named without saying so."""
        return formats.called(self.a), formats.called(self.b)

    @cached_property
    def right(self) -> list[str]:
        """Return which is right about each image: a, b, neither; empty where it has no label."""
        return np.select([self.mine.label == NO_LABEL, self.mine.right, self.theirs.right], ["", "a", "b"], "neither").tolist()

    def in_words(self) -> str:
        """Return on how many images b answers otherwise than a, and what it lost and gained by that."""
        (a, b), right, images = self.names, self.right, formats.counted(self.images, "image")
        who = f"{b[0].upper()}{b[1:]} ({self.b.backend})"
        if not self.images:
            return f"{who} and the {a} have no image in common."
        if not right:
            return f"{who} answers as the {a} does on {images if self.images == 1 else f'all {images}'}."
        lost, gained, neither = (f"{right.count(which):,}" for which in ("a", "b", "neither"))
        labelled = f": {lost} lost (only the {a} is right), {gained} gained (only {b} is), {neither} wrong in both" if any(right) else ""
        return f"{who} answers otherwise than the {a} on {len(right):,} of {images}{labelled}."


def found(folder: Path, results: Sequence[Result]) -> Iterator[Pair]:
    """Yield every two results of a run that have kept scores, in their order."""
    kept = [(one, replace(scores.load(folder / one.scores_file), logits=None)) for one in results if one.scores_file]
    for (a, all_mine), (b, all_theirs) in itertools.combinations(kept, 2):
        mine, theirs = scores.on_shared(all_mine, all_theirs)
        differ = np.flatnonzero(mine.answer != theirs.answer)
        sure = np.minimum(mine.probability[differ, 0], theirs.probability[differ, 0])
        surest = differ[np.argsort(-sure, kind="stable")]
        yield Pair(a, b, len(mine), mine[surest], theirs[surest])


def write_csv(path: Path, pairs: Sequence[Pair], names: Sequence[str], class_names: Sequence[str]) -> None:
    """Write a line for each image on which two differ."""
    csv_files.write(path, COLUMNS, (row for pair in pairs for row in _rows(pair, names, class_names)))


def _rows(pair: Pair, names: Sequence[str], class_names: Sequence[str]) -> Iterator[list[object]]:
    called = [formats.visible(name) for name in pair.names]
    columns = pair.mine.image, pair.mine.label, *_answers(pair.mine), *_answers(pair.theirs), pair.right
    for image, label, *answers, right in zip(*(np.asarray(column).tolist() for column in columns), strict=True):
        true = [label, formats.visible(class_name(label, class_names))] if label != NO_LABEL else ["", ""]
        yield [*called, formats.visible(names[image]), *true, *answers, right]


def class_name(index: int, class_names: Sequence[str]) -> str:
    """Return the name of a class, empty where it has none."""
    return class_names[index] if index < len(class_names) else ""


def _answers(given: Scores) -> tuple[np.ndarray, list[str]]:
    """Return each image's answer and, as text, its probability."""
    return given.answer, [f"{probability:.4f}" for probability in given.probability[:, 0]]
