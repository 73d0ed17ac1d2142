"""Pixels of single images of a run, to be looked at: from the store, or decoded again where not all were stored."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers import archives, dataset, files, parts, preprocess
from helpers.errors import UserError
from helpers.records import Data
from helpers.remote import Source


def of(folder: Path, data: Data, places: Sequence[int]) -> np.ndarray | None:
    """Return the pixels uint8 [M, crop, crop, 3] of places in the manifest, in ascending order, None where they are not to be had.

    That is where a streamed run's images are gone, or others by now; a store that is there has all.
    """
    if not data.streamed:
        return parts.open_pixels(folder / data.tensors)[list(places)]
    try:
        source = archives.open_source(data.params["images"], folder / "artefacts")
        if files.sha256(source) != data.source_sha256:
            return None
        return _decoded(source, data, dataset.load(folder / data.manifest).names.take(places))
    except (UserError, ValueError, *archives.GONE_WRONG):  # gone or damaged since: what was answered is told without pictures
        return None


def _decoded(source: Source, data: Data, names: list[str]) -> np.ndarray | None:
    """Return the pixels of images by name, in the source's order; None where one is missing."""
    how, most = data.preprocess, data.params["max_pixels"]
    rows = [preprocess.to_pixels(preprocess.decode(read(), most), how) for _, read in archives.read_images(source, names)]
    return np.array(rows, np.uint8).reshape(-1, how.crop, how.crop, 3) if len(rows) == len(names) else None
