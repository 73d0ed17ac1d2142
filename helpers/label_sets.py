"""Other labels than the manifest's, of which an image may have several or none: ReaL's, or a user's own."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from helpers import formats, ilsvrc, label_files, metrics, sources
from helpers.elements import Table
from helpers.errors import UserError
from helpers.records import LabelSet, Result
from helpers.scores import Scores


@dataclass(frozen=True)
class OtherLabels:
    """A label set of a run's images: pairs of a place in the manifest and a class, int64 [P] each, no image twice with the same class."""

    name: str
    file: str
    image: np.ndarray
    label: np.ndarray


def read_all(files: dict[str, str], names: list[str], classes: int) -> list[OtherLabels]:
    """Return the label sets that the parameter of this name gives: name -> file."""
    return [read(name, file, names, classes) for name, file in files.items()]


def read(name: str, file: str, names: list[str], classes: int) -> OtherLabels:
    """Return a label set of the manifest's images, given by their names; UserError where the file is of another form or of other images.

    Names match as they are, by file name without folders, or without suffix. ReaL's list has no names: its n-th entry is that of
    ILSVRC2012_val_{n:08d}.
    """
    path = sources.existing(f"label_sets.{name}", file)
    content = label_files.read(path)
    found = _by_number(content, names, path.name) if isinstance(content, list) else _by_name(content, names, path.name)
    labels = [(place, label) for place, entry in enumerate(found) for label in dict.fromkeys(entry)]
    if not labels:
        raise UserError(f"{path.name} has no label for any of the images: give labels of these images, or leave label_sets.{name} out.")
    wrong = next(((place, label) for place, label in labels if not 0 <= label < classes), None)
    if wrong:
        raise UserError(
            f"{path.name}: {names[wrong[0]]} has class {wrong[1]}, outside 0..{classes - 1}: correct it, or it is of other classes "
            "than the model's."
        )
    return OtherLabels(name, path.name, *np.array(labels, np.int64).T)


def scored(labels: OtherLabels, scores: Scores) -> LabelSet:
    """Return top-1 by a label set: of the images that it labels, how many are answered with one of their labels."""
    labelled = np.isin(scores.image, labels.image)
    images = int(labelled.sum())
    if not images:
        raise UserError(f"{labels.file} labels none of the images that were answered: leave label_sets.{labels.name} out.")
    classes = 1 + int(max(labels.label.max(), scores.answer.max()))
    right = np.isin(scores.image.astype(np.int64) * classes + scores.answer, labels.image * classes + labels.label)
    well = int(right.sum())
    interval = metrics.interval_pct(well, images)
    return LabelSet(name=labels.name, file=labels.file, images=images, top1_pct=100 * well / images, top1_interval_pct=interval)


def table(results: list[Result]) -> Table | None:
    """Return top-1 of every stage by every label set, None where there is none."""
    rows = [
        [formats.called(result), one.name, one.images, f"{one.top1_pct:.2f}", formats.span(one.top1_interval_pct, 2), one.file]
        for result in results
        for one in result.label_sets
    ]
    caption = (
        "Top-1 by other labels: an answer is right where it is among the image's labels, and images without any are not counted. "
        "Wilson's 95 % interval"
    )
    return Table(["stage", "labels", "images", "top-1, %", "95 % interval", "file"], rows, caption) if rows else None


def _by_number(content: list[list[int]], names: list[str], file: str) -> list[list[int]]:
    """Return each image's labels from a list whose n-th entry is that of ILSVRC's n-th validation image; none for other images."""
    numbers = ilsvrc.numbers(names)
    if not numbers.any():
        raise UserError(
            f"{file} is a list by the number of ILSVRC2012_val_00000001.JPEG and so on, but no image has such a name (first: {names[0]}): "
            "give a JSON mapping of image names to labels."
        )
    if numbers.max() > len(content):
        entries = formats.counted(len(content), "entry", "entries")
        raise UserError(f"{file} has {entries} and none for {names[numbers.argmax()]}: give the whole list, an entry for each image.")
    return [content[number - 1] if number else [] for number in numbers.tolist()]


def _by_name(content: dict[str, list[int]], names: list[str], file: str) -> list[list[int]]:
    """Return each image's labels by the most exact way of matching names that fits any image; none for images that are not named."""
    for theirs, ours in WAYS:
        keys, known = [ours(name) for name in names], {theirs(name): labels for name, labels in content.items()}
        if not known.keys().isdisjoint(keys):
            break
    else:
        first = next(iter(content), "nothing")
        raise UserError(
            f"{file} names none of the images (first image: {names[0]}, first entry: {first}): name them as the images' files are."
        )
    wanted = set(keys)
    twice = _first_twice(theirs(name) for name in content if theirs(name) in wanted) or _first_twice(key for key in keys if key in known)
    if twice:
        raise UserError(f"{file}: {twice} may be more than one image: name images with their folders, as the images have them.")
    return [known.get(key, []) for key in keys]


def _first_twice(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _whole(name: str) -> str:
    return name.removeprefix("./")


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


WAYS = (  # of naming theirs and ours, from the most exact on
    (_whole, _whole),
    (_base, _base),
    (_base, _stem),
    (_stem, _stem),
)
