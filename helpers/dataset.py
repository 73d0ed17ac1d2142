"""Images and labels -> a checked manifest: which images there are, in which order, and the class of each."""

import csv
import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from helpers import archives, files, formats, labels
from helpers.elements import Group, Sentence
from helpers.errors import UserError
from helpers.labels import NO_LABEL as NO_LABEL
from helpers.params import PrepareData
from helpers.records import Rejected

Z = 1.959964  # 95 % of a normal distribution lie within so many standard deviations
SHOWN = 5  # classes without an image that are named


@dataclass(frozen=True)
class Manifest:
    """Image names (paths below the root of the source) and class indices int32 [N]; NO_LABEL where there are no labels."""

    names: list[str]
    labels: np.ndarray

    def save(self, path: Path) -> None:
        """Write `name,label` lines."""
        with files.whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "label"])
            writer.writerows(zip(self.names, self.labels.tolist(), strict=True))


def load(path: Path) -> Manifest:
    """Return a manifest that `save` wrote."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    return Manifest([row["name"] for row in rows], np.array([int(row["label"]) for row in rows], np.int32))


@dataclass(frozen=True)
class Found:
    """Images with their labels: which, the classes' names, the labels' source, entries that can't be used, what to know and to doubt."""

    manifest: Manifest
    class_names: list[str]
    labels_source: str
    rejected: list[Rejected]
    remarks: list[str]
    warnings: list[str]

    def subset(self, size: int, seed: int) -> "Found":
        """Return the same of so many of the images; 0 keeps all."""
        return replace(self, manifest=subset(self.manifest, size, seed))


def read(source: Path, given: str, classes: int | None, class_names: list[str]) -> Found:
    """Return every image, in the order in which the source yields them, with its label; `given` is what `labels.read` takes."""
    listing = archives.listing(source)
    if not listing.names:
        unusable = f" that can be used, only {listing.rejected[0].name}: {listing.rejected[0].reason}" if listing.rejected else ""
        raise UserError(f"{source.name} holds no images ({', '.join(archives.SUFFIXES)}){unusable}; give a folder or an archive of images.")
    found = labels.read(given, listing.names, classes, class_names, [entry.name for entry in listing.rejected])
    manifest = Manifest(listing.names, found.indices)
    return Found(manifest, found.class_names, found.source, listing.rejected, found.remarks, found.warnings)


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


def body(settings: PrepareData, source: Path, found: Found, classes: int | None) -> dict:
    """Return what data.json says of the source."""
    return {
        "source": settings.images if not Path(settings.images).is_absolute() else source.name,
        "source_sha256": files.sha256(source),
        "labels_source": found.labels_source,
        "classes": classes or len(found.class_names) or int(found.manifest.labels.max()) + 1,
        "class_names": found.class_names,
        "warnings": found.warnings,
    }


def subset(manifest: Manifest, size: int, seed: int) -> Manifest:
    """Return `size` images, drawn with the seed and balanced over the classes, in the order of the manifest; 0 keeps all."""
    if size > len(manifest.names):
        there = formats.counted(len(manifest.names), "image")
        raise UserError(f"subset {size} is more than there are, {there}: lower it or set it to 0.")
    if size in (0, len(manifest.names)):
        return manifest
    order = np.random.default_rng(seed).permutation(len(manifest.names))
    drawn, rank = Counter(), np.empty(len(order), np.int64)
    for position in order:  # the n-th image drawn of each class has rank n
        rank[position] = drawn[int(manifest.labels[position])]
        drawn[int(manifest.labels[position])] += 1
    chosen = np.sort(order[np.argsort(rank[order], kind="stable")][:size])
    return Manifest([manifest.names[i] for i in chosen], manifest.labels[chosen])
