"""Prepared images as the model receives them: normalised batch by batch when they are read from the store."""

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from helpers import parts, pipeline, preprocess
from helpers.parts import Parts
from helpers.preprocess import Preprocess
from helpers.records import Data


class Tensors:
    """A prepared set of images as the model receives them."""

    def __init__(self, pixels: np.ndarray | Parts, how: Preprocess):
        self.pixels = pixels  # uint8 [N, crop, crop, 3]
        self.how = how
        self.first = 0  # place of the first of them in the store

    @classmethod
    def of(cls, folder: Path, data: Data) -> "Tensors":
        """Open the store of a run, one file or in parts; nothing of it is read before it is used."""
        return cls(parts.open_pixels(folder / data.tensors), data.preprocess)

    def prepared(self, how: Preprocess) -> "Tensors":
        """Return the same images prepared otherwise from their pixels on."""
        other = copy.copy(self)
        other.how = how
        return other

    def part(self, first: int, count: int) -> "Tensors":
        """Return so many images from a place on, fewer where the store ends; they keep their places."""
        other = copy.copy(self)
        other.first, other.pixels = self.first + first, self.pixels[first : first + count]
        return other

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        """Return the chosen images as one batch, float32 or uint8 [B, ...] in the model's layout."""
        return preprocess.to_tensor(np.asarray(self.pixels[chosen]), self.how)

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (places in the store int32 [B], tensor [B, ...]) in order, the next ones made while one is used."""

        def made(start: int) -> tuple[np.ndarray, np.ndarray]:
            batch = self[start : start + size]
            return np.arange(self.first + start, self.first + start + len(batch), dtype=np.int32), batch

        return pipeline.in_order(made, range(0, len(self), size), workers=1)

    def told(self) -> dict:
        """Return what a result says of its images: nothing, since data.json has said it."""
        return {}
