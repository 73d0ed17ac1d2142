"""Encoded images, a few at a time, into pixels and what is to be said of them; and how many that can't be used are too many."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from helpers import archives, fast_pixels, preprocess
from helpers.errors import UserError
from helpers.preprocess import Preprocess
from helpers.remote import Source
from helpers.store import Progress

CHUNK = 16  # images that a thread prepares at once
EXIF, EXIF_WITHIN = b"Exif\0\0", 65536  # where a camera writes the orientation


class Refused(UserError):
    """Images can't be used: what was prepared is of no use either."""


Chunk = list[tuple[int, str, archives.Read]]  # place in the manifest, name, function that returns the encoded image


def chunks(source: Source, names: Sequence[str], first: int, size: int) -> Iterator[Chunk]:
    """Yield the images from place `first` of the names on, so many at a time; UserError when the source has others by now."""
    return chunked(archives.read_images(source, names[first:]), source.name, names[first:], first, size)


def chunked(images: Iterable[tuple[str, archives.Read]], source: str, names: Sequence[str], first: int, size: int) -> Iterator[Chunk]:
    """Yield images that must be those of the names, so many at a time; `first` is the place of the first of them in the manifest."""
    chunk: Chunk = []
    for index, (name, (found, read)) in enumerate(itertools.zip_longest(names, images, fillvalue=("", None)), first):
        if found != name:
            raise UserError(
                f"{source} changed while it was read (where {name} was, there is {found or 'nothing'}): run 1_prepare_data again."
            )
        chunk.append((index, name, read))
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def prepare_chunk(chunk: Chunk, how: Preprocess, max_pixels: int, fast: bool, hashed: bool) -> tuple[np.ndarray, Progress]:
    """Return the pixels uint8 [M, crop, crop, 3] of those images that can be read, and what is to be said of all.

    `fast`: where the fast path applies, it is taken. `hashed`: the hash of each encoded image is told.
    """
    rows, what = np.empty((len(chunk), how.crop, how.crop, 3), np.uint8), Progress(done=len(chunk))
    for index, name, read in chunk:
        try:
            encoded = read()
            pixels = fast_pixels.to_pixels(encoded, how, max_pixels) if fast else None
            what.fast += pixels is not None
            rows[len(what.kept)] = preprocess.to_pixels(preprocess.decode(encoded, max_pixels), how) if pixels is None else pixels
        except (ValueError, *archives.GONE_WRONG) as error:
            what.rejected.append([name, str(error)])
            continue
        what.kept.append(index)
        what.digests += [hashlib.sha256(encoded).hexdigest()] if hashed else []
        if pixels is None or not name.lower().endswith((".jpeg", ".jpg")) or EXIF in encoded[:EXIF_WITHIN]:
            remark = preprocess.remark(name, encoded)
            what.remarks += [[name, remark]] if remark else []
    return rows[: len(what.kept)], what


def refuse_too_many(rejected: list[list[str]], most: int) -> None:
    """Raise Refused where more images can't be used than may be left out."""
    if len(rejected) > most:
        name, reason = rejected[most]
        raise Refused(
            f"{name} can't be used ({reason}): repair or remove it, or allow some images to be left out with max_rejected (now {most})."
        )


def refuse_none(done: Progress) -> None:
    """Raise Refused where not a single image can be used."""
    if not done.kept:
        raise Refused(f"no image can be used, of {done.done:,} (first: {done.rejected[0][1]}): give others.")
