"""The store of prepared images: uint8 [N, crop, crop, 3] in one .npy file, normalised batch by batch when read.

uint8 takes a quarter of the space of float32 and loses nothing, since normalisation comes last.
"""

import copy
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from helpers import dataset, files, preprocess
from helpers.elements import Gallery, Group, Sentence, Table
from helpers.errors import UserError
from helpers.preprocess import Preprocess
from helpers.records import Data, Rejected, Throughput

STORE, MANIFEST = "tensors.npy", "manifest.csv"


@dataclass(frozen=True)
class Prepared:
    """Images that are ready: which, those left out, how fast it went, and where they are."""

    folder: Path
    manifest: dataset.Manifest
    rejected: list[Rejected]
    throughput: Throughput

    def in_words(self) -> Group:
        """Return what was made, and the images that were left out."""
        size = (self.folder / STORE).stat().st_size / 1e6
        said = f"{len(self.manifest.names)} images prepared at {self.throughput.images_per_second:.0f} images per second, {size:.1f} MB."
        rows = [[entry.name, entry.reason] for entry in self.rejected]
        return Group([Sentence(said), Table(["left out", "reason"], rows) if rows else None])

    def gallery(self, class_names: list[str], count: int = 10) -> Gallery:
        """Return the first image of each of the first classes as the model sees it."""
        labels = self.manifest.labels
        chosen = np.sort(np.unique(labels, return_index=True)[1])[:count]
        if len(chosen) < count:  # few classes, or none
            chosen = np.union1d(chosen, np.arange(min(count, len(labels))))[:count]
        texts = [self._caption(int(index), class_names) for index in chosen]
        return Gallery(np.load(self.folder / STORE, mmap_mode="r")[chosen], texts, "Resized and cropped; not yet normalised.")

    def body(self) -> dict:
        """Return what data.json says of the prepared images."""
        return {
            "images": len(self.manifest.names),
            "manifest": f"artefacts/{MANIFEST}",
            "manifest_sha256": files.sha256(self.folder / MANIFEST),
            "tensors": f"artefacts/{STORE}",
            "tensors_sha256": files.sha256(self.folder / STORE),
            "rejected": self.rejected,
            "throughput": self.throughput,
        }

    def _caption(self, index: int, class_names: list[str]) -> str:
        label = int(self.manifest.labels[index])
        if label == dataset.NO_LABEL:
            return self.manifest.names[index]
        return f"{label} {class_names[label]}" if class_names else f"class {label}"


def prepare(folder: Path, source: Path, manifest: dataset.Manifest, how: Preprocess, max_rejected: int) -> Prepared:
    """Prepare every image of a manifest and write store and manifest into the folder.

    An image that can't be read is left out with its reason; more than `max_rejected` of them is a UserError.
    """
    started = time.perf_counter()
    kept, rejected = [], []
    images = dataset.read_images(source, manifest.names)
    with files.whole(folder / STORE) as temporary, temporary.open("wb") as store:  # a full disk is an error; mapped, a crash
        _write_header(store, len(manifest.names), how)
        for index, (name, read) in enumerate(tqdm(images, total=len(manifest.names), desc="prepare", unit="image")):
            try:
                pixels = preprocess.to_pixels(preprocess.decode(read()), how)
            except (ValueError, OSError, tarfile.TarError) as error:
                rejected.append(Rejected(name=name, reason=str(error)))
                if len(rejected) > max_rejected:
                    raise UserError(
                        f"{name} can't be used ({error}): repair or remove it, or allow some images to be left out with "
                        f"max_rejected (now {max_rejected})."
                    ) from error
                continue
            store.write(pixels.tobytes())
            kept.append(index)
        if not kept:
            raise UserError(f"none of the {len(rejected)} images can be used (first: {rejected[0].reason}): give other images.")
        store.seek(0)
        _write_header(store, len(kept), how)
    remaining = dataset.Manifest([manifest.names[i] for i in kept], manifest.labels[kept])
    remaining.save(folder / MANIFEST)
    seconds = time.perf_counter() - started
    return Prepared(folder, remaining, rejected, Throughput(images_per_second=len(kept) / seconds, seconds=seconds))


def _write_header(store: BinaryIO, images: int, how: Preprocess) -> None:
    """Write the .npy header; NumPy pads it so that the number of images can be changed in place."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (images, how.crop, how.crop, 3)}
    np.lib.format.write_array_header_1_0(store, header)


class Tensors:
    """A prepared set of images as the model receives them; memory-mapped, so that opening it costs nothing."""

    def __init__(self, path: Path, how: Preprocess):
        self.pixels = np.load(path, mmap_mode="r")
        self.how = how

    @classmethod
    def of(cls, folder: Path, data: Data) -> "Tensors":
        """Open the store of a run."""
        return cls(folder / data.tensors, data.preprocess)

    def prepared(self, how: Preprocess) -> "Tensors":
        """Return the same images prepared otherwise from their pixels on."""
        other = copy.copy(self)
        other.how = how
        return other

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        """Return the chosen images as one batch, float32 or uint8 [B, ...] in the model's layout."""
        return preprocess.to_tensor(self.pixels[chosen], self.how)
