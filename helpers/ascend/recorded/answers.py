"""The answers that were recorded, image by image; what they lack becomes a remark."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.ascend.recorded.files import Files
from helpers.ascend.recorded.names import PURE, alphabetical, images_by_result, natural
from helpers.ascend.recorded.result import probabilities
from helpers.errors import UserError
from helpers.formats import counted

DEVICE = re.compile(r"device\d+(?:_\d+)?")  # the folder of one device in a run on several
TOP = 5


@dataclass(frozen=True)
class Answers:
    """The results of one folder; those of images that this run does not have are only counted, in a remark."""

    batch: int | None
    format: str  # BIN, NPY or TXT
    probabilities: dict[str, np.ndarray]  # stem of the input file -> float32 [classes]
    source: str
    remarks: tuple[str, ...]


@dataclass
class _Group:
    """The result files of one folder and format; the folders of several devices are one."""

    top: Path
    suffix: str
    batch: int | None
    numbered: bool = False  # they have numbers instead of names, and no summary that tells the names
    own: dict[str, list[Path]] = field(default_factory=dict)  # by image; several where several devices answered
    others: list[str] = field(default_factory=list)  # images that this run does not have


def answers(files: Files, classes: int, stems: list[str]) -> tuple[Answers, ...]:
    """Return the answers of each folder and format, `classes` values for each image of `stems`.

    A file that can't be a result, values that are not finite, and results of none but other images are UserErrors.
    """
    groups = _groups(files, stems)
    others = [image for group in groups for image in group.others]
    if others and not any(group.own for group in groups):
        theirs = f"{min(others)} for one, where this run has {stems[0] if stems else 'none'}"
        raise UserError(f"{files.root.name} holds results of other images ({theirs}): take the images that were recorded.")
    return tuple(_answers(files, group, classes, stems) for group in groups if group.own)


def _groups(files: Files, stems: list[str]) -> list[_Group]:
    named, known = images_by_result(stems), set(stems)
    listed = {folder: summary.images for folder, summary in files.summaries.items()}
    groups: dict[tuple[Path, str], _Group] = {}
    for path in files.results:
        folder, suffix = path.parent, path.suffix
        top = folder.parent if DEVICE.fullmatch(folder.name) and folder != files.root else folder
        if (top, suffix) not in groups:
            groups[top, suffix] = _Group(top, suffix, files.batch(folder))
        group = groups[top, suffix]
        image = listed.get(folder, {}).get(path.name) or named.get(path.stem) or path.stem.removesuffix("_0")
        if image in known:
            group.own.setdefault(image, []).append(path)
            group.numbered |= folder not in listed and not path.name.startswith(image)
        elif image != PURE:
            group.others.append(image)
    return list(groups.values())


def _answers(files: Files, group: _Group, classes: int, stems: list[str]) -> Answers:
    """Return the answers in a group, of several to one image the first."""
    first, differing = {}, []
    for image, paths in group.own.items():
        first[image], *more = (probabilities(path, files.relative(path), classes) for path in paths)
        if not all(np.array_equal(row, first[image]) for row in more):
            differing.append(image)
    remarks = tuple(_remarks(group, first, differing, stems))
    return Answers(group.batch, group.suffix[1:].upper(), first, files.relative(group.top), remarks)


def _remarks(group: _Group, found: dict[str, np.ndarray], differing: list[str], stems: list[str]) -> Iterator[str]:
    """Yield a sentence for each way in which answers are less than they seem."""
    missing = [stem for stem in stems if stem not in found]
    if missing:
        why = ", perhaps an incomplete last batch, which early releases drop" if len(missing) < (group.batch or 1) else ""
        yield f"No result for {len(missing)} of {counted(len(stems), 'image')} (first: {missing[0]}){why}: accuracy is over the others."
    if group.others:
        yield f"Results of {counted(len(group.others), 'image')} that this run does not have (first: {min(group.others)}) are left out."
    if differing:
        yield f"The devices differ in their answer to {counted(len(differing), 'image')} (first: {differing[0]}): the first answer is kept."
    if group.numbered and natural(stems) != alphabetical(stems):
        yield "Results have numbers instead of names, and releases differ in whether image_10 comes before image_2: keep sumary.json."
    ties = sum(np.count_nonzero(row) < min(TOP, len(row)) for row in found.values())
    if group.suffix == ".txt" and ties:
        yield (
            f"TXT keeps six decimals, so that probabilities below 5e-7 are zero: the end of the top {TOP} is arbitrary "
            f"for {ties} of {counted(len(found), 'image')}."
        )
