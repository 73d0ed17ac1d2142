"""Images and labels -> a checked manifest: which images there are, in which order, and the class of each."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from helpers import addresses, archives, files, formats, labels
from helpers.elements import Group, Sentence
from helpers.errors import UserError, first_line
from helpers.labels import NO_LABEL as NO_LABEL
from helpers.names import KIND, Names
from helpers.params import PrepareData
from helpers.records import Rejected
from helpers.remote import Source

Z = 1.959964  # 95 % of a normal distribution lie within so many standard deviations
COLUMNS = ("name", "label")
SHOWN = 5  # classes without an image that are named


@dataclass(frozen=True)
class Manifest:
    """Image names (paths below the root of the source) and class indices int32 [N]; NO_LABEL where there are no labels."""

    names: Names  # or any sequence of names, which becomes one
    labels: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "names", Names.of(self.names))

    def take(self, places: Sequence[int]) -> "Manifest":
        """Return the rows at places, int [M], in that order."""
        return Manifest(self.names.take(places), self.labels[places])

    def save(self, path: Path) -> None:
        """Write `name,label` lines."""
        with files.whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(zip(self.names, self.labels.tolist(), strict=True))


def load(path: Path) -> Manifest:
    """Return a manifest that `save` wrote; UserError where the file is not whole."""
    read = _columns(path, COLUMNS)
    return Manifest(Names(read["name"]), _values(read))


def load_labels(path: Path) -> np.ndarray:
    """Return the labels int32 [N] of a manifest that `save` wrote, without its names; UserError where the file is not whole."""
    return _values(_columns(path, COLUMNS[1:]))


def _columns(path: Path, wanted: Sequence[str]) -> pa.Table:
    """Return columns of a manifest's file."""
    types = pa.csv.ConvertOptions(column_types=dict(zip(COLUMNS, (KIND, pa.int32()), strict=True)), include_columns=wanted, null_values=[])
    try:
        return pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(newlines_in_values=True), convert_options=types)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path.name} is not whole ({first_line(error)}): run 1_prepare_data again.") from error


def _values(read: pa.Table) -> np.ndarray:
    """Return the labels of a table; by DLPack, since to_numpy imports pandas first, where that is installed."""
    return np.from_dlpack(read["label"].combine_chunks())


@dataclass(frozen=True)
class Found:
    """Images with their labels: which, the classes' names, the labels' source, entries that can't be used, what to know and to doubt."""

    manifest: Manifest
    class_names: list[str]
    labels_source: str
    rejected: list[Rejected]
    remarks: list[str]
    warnings: list[str]
    source_sha256: str = ""  # before the images were listed

    def subset(self, size: int, seed: int) -> "Found":
        """Return the same of so many of the images; 0 keeps all."""
        return replace(self, manifest=subset(self.manifest, size, seed))


def read(source: Source, given: str, classes: int | None, class_names: list[str]) -> Found:
    """Return every image, in the order in which the source yields them, with its label; `given` is what `labels.read` takes."""
    sha256, listing = files.sha256(source), archives.listing(source)
    if not listing.names:
        unusable = f" that can be used, only {listing.rejected[0].name}: {listing.rejected[0].reason}" if listing.rejected else ""
        raise UserError(f"{source.name} holds no images ({', '.join(archives.SUFFIXES)}){unusable}; give a folder or an archive of images.")
    found = labels.read(given, listing.names, classes, class_names, [entry.name for entry in listing.rejected])
    manifest = Manifest(listing.names, found.indices)
    return Found(manifest, found.class_names, found.source, listing.rejected, found.remarks, found.warnings, sha256)


def in_words(found: Found, classes: int | None) -> Group:
    """Return how many images there are, how they spread over the classes, what they can tell, and what to know of their labels."""
    number = len(found.manifest.names)
    images = formats.counted(number, "image")
    if not found.labels_source:
        return Group([Sentence(f"{images} without labels: for speed, not for accuracy.", "warning")])
    counts = np.bincount(found.manifest.labels, minlength=classes or 0)
    there = counts[counts > 0]
    each = f"{there.min():,} each" if there.min() == there.max() else f"{there.min():,} to {there.max():,} each"
    half = 100 * Z / 2 / math.sqrt(number + Z**2)  # of Wilson's score interval where half of the answers are right
    return Group(
        [
            Sentence(f"{images} of {formats.counted(len(there), 'class', 'classes')}, {each}; labels from {found.labels_source}."),
            _without_images(np.flatnonzero(counts == 0), found.class_names) if classes else None,
            Sentence(f"{images} {'tells' if number == 1 else 'tell'} top-1 to ±{half:.1f} points at worst (95 % interval)."),
            *(Sentence(remark) for remark in found.remarks),
            *(Sentence(warning, "warning") for warning in found.warnings),
        ]
    )


def _without_images(absent: np.ndarray, class_names: list[str]) -> Sentence | None:
    if not len(absent):
        return None
    first = ", ".join(f"{index} {class_names[index]}" if class_names else str(index) for index in absent[:SHOWN])
    others = " and others" if len(absent) > SHOWN else ""
    return Sentence(f"No image of {formats.counted(len(absent), 'class', 'classes')}: {first}{others}.", "warning")


def body(settings: PrepareData, source: Source, found: Found, classes: int | None) -> dict:
    """Return what data.json says of the source, and whether that is no longer what it was when its images were listed."""
    sha256 = files.sha256(source)
    changed = f"{source.name} changed while its images were prepared, so that they may be of either state: run 1_prepare_data again."
    return {
        "source": source.name if Path(addresses.local(settings.images)).is_absolute() else settings.images,
        "source_sha256": sha256,
        "labels_source": found.labels_source,
        "classes": classes or len(found.class_names) or int(found.manifest.labels.max()) + 1,
        "class_names": found.class_names,
        "warnings": found.warnings + ([changed] if found.source_sha256 not in ("", sha256) else []),
    }


def subset(manifest: Manifest, size: int, seed: int) -> Manifest:
    """Return `size` images, drawn with the seed and balanced over the classes, in the order of the manifest; 0 keeps all."""
    if size > len(manifest.names):
        there = formats.counted(len(manifest.names), "image")
        raise UserError(f"subset {size} is more than there are, {there}: lower it or set it to 0.")
    if size in (0, len(manifest.names)):
        return manifest
    order = np.random.default_rng(seed).permutation(len(manifest.names))
    drawn = manifest.labels[order]
    by_class = np.argsort(drawn, kind="stable")
    ordered, rank = drawn[by_class], np.empty(len(order), np.int64)
    rank[by_class] = np.arange(len(order)) - np.searchsorted(ordered, ordered)  # the n-th image drawn of each class has rank n
    return manifest.take(np.sort(order[np.argsort(rank, kind="stable")[:size]]))
