"""The store of prepared images: uint8 [N, crop, crop, 3] in one .npy file, normalised batch by batch when read.

uint8 takes a quarter of the space of float32 and loses nothing, since normalisation comes last.
"""

import tarfile
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from helpers import dataset, files, preprocess
from helpers.errors import UserError
from helpers.preprocess import Preprocess
from helpers.records import Data, Rejected, Throughput


def write(
    path: Path, source: Path, manifest: dataset.Manifest, how: Preprocess, max_rejected: int
) -> tuple[dataset.Manifest, list[Rejected], Throughput]:
    """Prepare every image of the manifest and return (manifest of those kept, rejected, throughput).

    An image that can't be read is rejected with its reason; more than `max_rejected` of them is a UserError.
    """
    started = time.perf_counter()
    kept, rejected = [], []
    images = dataset.read_images(source, manifest.names)
    with files.whole(path) as temporary, temporary.open("wb") as store:  # written, not mapped: a full disk is an error, not a crash
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
    seconds = time.perf_counter() - started
    remaining = dataset.Manifest([manifest.names[i] for i in kept], manifest.labels[kept])
    return remaining, rejected, Throughput(images_per_second=len(kept) / seconds, seconds=seconds)


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

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        """Return the chosen images as one batch, float32 or uint8 [B, ...] in the model's layout."""
        return preprocess.to_tensor(self.pixels[chosen], self.how)
