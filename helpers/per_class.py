"""Which classes are answered badly, and what they are taken for."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import answers, files, formats, metrics
from helpers.answers import Kept
from helpers.elements import Group, Sentence, Table
from helpers.records import Data, Interval
from helpers.scores import Scores

FILE = "per_class.csv"
SHOWN, PAIRS = 20, 10  # rows in the notebook
COLUMNS = ["class", "name", "images", "right", "top1_pct", "low_pct", "high_pct", "taken_for", "taken_for_name", "taken_for_images"]
FORMULA = re.compile(r"""(^|[,;|\t\r\n"'])(\s*[=+\-@＝＋－＠])""")  # full-width signs begin a formula too


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
    return Group([Sentence(sentence(found, data.class_names)), *tables(answers.called(candidate), found, pairs, data.class_names)])


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
    return sorted(found, key=lambda one: (not one.images, one.top1_pct))


def sentence(found: list[ClassAccuracy], names: list[str]) -> str:
    """Return which class is worst, and how many are below top-1 over all with their whole interval."""
    worst, there = found[0], [one for one in found if one.images]
    over_all = 100 * sum(one.right for one in there) / sum(one.images for one in there)
    below = sum(one.interval_pct[1] < over_all for one in there)
    classes = formats.counted(len(there), "class", "classes")
    said = [f"Worst of {classes}: {named(worst.index, names)}, {worst.right:,} of {formats.counted(worst.images, 'image')} right"]
    said += [f", most often taken for {named(worst.taken_for, names)}"] if worst.taken_for is not None else []
    said += [f". {below:,} of {classes} {'is' if below == 1 else 'are'} below top-1 over all, {over_all:.2f} %, with the whole interval."]
    absent = len(found) - len(there)
    said += [f" {formats.counted(absent, 'class', 'classes')} without an image."] if absent else []
    return "".join(said)


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
            f"{named(one.taken_for, names)} ({one.taken_for_images:,})" if one.taken_for is not None else None,
        ]
        for one in there[:SHOWN]
    ]
    shown = f"the {SHOWN} worst of {len(there):,} classes" if len(there) > SHOWN else "classes, the worst first"
    caption = (
        f"{stage}: {shown}, with Wilson's 95 % interval; of equal ones, and of classes taken for equally often, the lower index comes "
        f"first. Of many classes that are alike one in forty lies below the others' top-1 by chance. {FILE} has every class"
    )
    yield Table(["class", "name", "images", "right", "top-1, %", "95 % interval", "most often taken for"], rows, caption)
    if len(pairs):
        yield _pairs(stage, found, pairs, names)


def write(path: Path, found: list[ClassAccuracy], names: list[str]) -> None:
    """Write one row for each class, the worst first, in UTF-8; text that a spreadsheet would run gets an apostrophe before it."""
    with files.whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8-sig") as file:  # Excel needs the mark
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for one in found:
            name, other = (harmless(_name(index, names) or "") for index in (one.index, one.taken_for))
            share, wrong = [one.top1_pct, *(one.interval_pct or (None, None))], [one.taken_for, other, one.taken_for_images]
            writer.writerow([one.index, name, one.images, one.right, *share, *wrong])


def harmless(text: str) -> str:
    """Return text with an apostrophe before = + - @ where it, or what follows a separator in it, begins with one: no spreadsheet runs it."""
    return FORMULA.sub(r"\1'\2", text)


def named(index: int, names: list[str]) -> str:
    """Return a class's index and name; answers may lie beyond the classes that have names."""
    return f"{index} {names[index]}" if index < len(names) else f"class {index}"


def _name(index: int | None, names: list[str]) -> str | None:
    return names[index] if index is not None and index < len(names) else None


def _pairs(stage: str, found: list[ClassAccuracy], pairs: np.ndarray, names: list[str]) -> Table:
    """Return the most confused pairs; both directions of a pair are one row, named after the more frequent one."""
    counts, first = {(label, answer): images for label, answer, images in pairs.tolist()}, {}
    for pair in counts:
        first.setdefault(frozenset(pair), pair)
    of = {one.index: one.images for one in found}
    rows = [
        [
            named(label, names),
            named(answer, names),
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
