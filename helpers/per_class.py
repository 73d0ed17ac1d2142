"""Which classes are answered badly, and what they are taken for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import csv_files, formats, metrics
from helpers.elements import Group, Sentence, Table
from helpers.records import Data, Interval
from helpers.scores import Kept, Scores

FILE = "per_class.csv"
SHOWN, PAIRS = 20, 10  # rows in the notebook
COLUMNS = ["class", "name", "images", "right", "top1_pct", "low_pct", "high_pct", "taken_for", "taken_for_name", "taken_for_images"]


@dataclass(frozen=True)
class ClassAccuracy:
    """How the images of one class are answered; without images there is neither a share nor a confusion."""

    index: int
    images: int
    right: int
    top1_pct: float | None
    interval_pct: Interval | None
    taken_for: int | None  # the most frequent wrong answer
    taken_for_images: int


def in_words(kept: Kept, data: Data, folder: Path) -> Group | Sentence:
    """Return the candidate's worst classes and most confused pairs; every class is written to `per_class.csv` in the run's folder."""
    if not kept:
        (folder / FILE).unlink(missing_ok=True)  # of an earlier evaluation
        return Sentence("Nothing is known of single classes: the candidate was not evaluated.")
    candidate, scores = kept[0]
    found, pairs = each(scores, data.classes), metrics.confusions(scores.answer, scores.label)
    write(folder / FILE, found, data.class_names)
    stage = formats.called(candidate).capitalize()
    return Group([Sentence(f"{stage}: {sentence(found, data.class_names)}"), *tables(stage, found, pairs, data.class_names)])


def each(scores: Scores, classes: int) -> list[ClassAccuracy]:
    """Return every class, the worst first, equally bad ones by their index, those without images last."""
    images, right = (counts.tolist() for counts in metrics.per_class(scores.answer, scores.label, classes))
    confusions = metrics.confusions(scores.answer, scores.label).tolist()
    most = {label: (answer, count) for label, answer, count in reversed(confusions)}  # the first of each label stays
    found = [
        ClassAccuracy(index, there, well, 100 * well / there, metrics.interval_pct(well, there), *most.get(index, (None, 0)))
        if there
        else ClassAccuracy(index, 0, 0, None, None, None, 0)
        for index, (there, well) in enumerate(zip(images, right, strict=True))
    ]
    return sorted(found, key=lambda one: (not one.images, one.top1_pct or 0.0))


def sentence(found: list[ClassAccuracy], names: list[str]) -> str:
    """Return which class is worst, and how many are below top-1 over all with their whole interval."""
    worst, there = found[0], [one for one in found if one.images]
    right, images = sum(one.right for one in there), sum(one.images for one in there)
    classes, absent = formats.counted(len(there), "class", "classes"), len(found) - len(there)
    without = f" {formats.counted(absent, 'class has', 'classes have')} no image." if absent else ""
    if right == images:
        return f"all images of {classes} are answered right.{without}"
    below = sum(one.interval_pct[1] < 100 * right / images for one in there)
    share = f"{worst.top1_pct:.1f} % ({worst.right:,} of {formats.counted(worst.images, 'image')})"
    return (
        f"the worst of {classes} is {_both(worst.index, names)} with {share}, most often taken for {_both(worst.taken_for, names)}. "
        f"{below:,} of them {'lies' if below == 1 else 'lie'} below the top-1 over all, {100 * right / images:.2f} %, with the whole "
        f"interval.{without}"
    )


def tables(stage: str, found: list[ClassAccuracy], pairs: np.ndarray, names: list[str]) -> Iterator[Table]:
    """Yield the worst classes and the most confused pairs, none where all is right."""
    there = [one for one in found if one.images]
    rows = [
        [
            one.index,
            _name(one.index, names),
            one.images,
            one.right,
            f"{one.top1_pct:.1f}",
            formats.span(one.interval_pct, 1),
            f"{_both(one.taken_for, names)} ({one.taken_for_images:,})" if one.taken_for is not None else None,
        ]
        for one in there[:SHOWN]
    ]
    shown = f"the {SHOWN} worst of {len(there):,} classes" if len(there) > SHOWN else "all classes, the worst first"
    caption = (
        f"{stage}: {shown}, with Wilson's 95 % interval. Of equal ones, and of classes taken for equally often, that of the "
        f"lower index comes first. Of classes that are alike, about one in forty lies below top-1 over all by chance. All are in {FILE}"
    )
    yield Table(["class", "name", "images", "right", "top-1, %", "95 % interval", "most often taken for"], rows, caption)
    if len(pairs):
        yield _pairs(stage, found, pairs, names)


def write(path: Path, found: list[ClassAccuracy], names: list[str]) -> None:
    """Write one row for each class, the worst first."""
    csv_files.write(path, COLUMNS, (_row(one, names) for one in found))


def _row(one: ClassAccuracy, names: list[str]) -> list[object]:
    shares = [one.top1_pct, *one.interval_pct] if one.images else [None] * 3
    return [
        one.index,
        _name(one.index, names),
        one.images,
        one.right,
        *shares,
        one.taken_for,
        _name(one.taken_for, names),
        one.taken_for_images,
    ]


def _name(index: int | None, names: list[str]) -> str:
    """Return a class's name, empty for none and for an answer beyond the classes that have names."""
    return names[index] if index is not None and index < len(names) else ""


def _both(index: int, names: list[str]) -> str:
    return f"{index} {_name(index, names)}" if _name(index, names) else f"class {index}"


def _pairs(stage: str, found: list[ClassAccuracy], pairs: np.ndarray, names: list[str]) -> Table:
    """Return the most confused pairs; both directions of a pair are one row, named after the more frequent one."""
    counts, first = {(label, answer): images for label, answer, images in pairs.tolist()}, {}
    for pair in counts:
        first.setdefault(frozenset(pair), pair)
    of = {one.index: one.images for one in found}
    rows = [
        [
            _both(label, names),
            _both(answer, names),
            counts[label, answer],
            f"{100 * counts[label, answer] / of[label]:.1f}",
            counts.get((answer, label), 0),
        ]
        for label, answer in list(first.values())[:PAIRS]
    ]
    caption = (
        f"{stage}: the most confused pairs of classes. The share is that of the class's images; a pair stands once, the more "
        "frequent direction first, of equally frequent ones that of the lower class index"
    )
    return Table(["class", "taken for", "images", "share, %", "the other way round"], rows, caption)
