"""Every image of a manifest into the store: prepared by all cores, in order, continued where a killed run stopped."""

import hashlib
import itertools
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import __version__ as pillow_version
from tqdm import tqdm

from helpers import archives, dataset, environment, fast_pixels, formats, pipeline, preprocess, seen
from helpers.dataset import Found
from helpers.errors import UserError
from helpers.prepared import MANIFEST, Prepared
from helpers.preprocess import Preprocess
from helpers.records import Rejected, Remark, Throughput
from helpers.steps import Step
from helpers.store import Progress, Store

CHUNK = 16  # images that a thread prepares at once
EXIF, EXIF_WITHIN = b"Exif\0\0", 65536  # where a camera writes the orientation
SAMPLE = 1024  # images kept where not all are: what a sweep rotates through at most


class Refused(UserError):
    """Images can't be used: what was prepared is of no use either."""


def prepare(step: Step, source: Path, found: Found, how: Preprocess) -> Prepared:
    """Prepare every image that was found, or a sample of them, and write store and manifest among the step's artefacts.

    An image that can't be read is left out with its reason; more than `max_rejected` of them is a UserError. What a killed run of the
    same fingerprint left is continued; a run that was finished is made anew.
    """
    folder, settings = step.artefacts, step.settings
    sampled = settings.store == "sample"
    wanted = dataset.subset(found.manifest, min(SAMPLE, len(found.manifest.names)), settings.seed) if sampled else found.manifest
    store = Store(folder, step.fingerprint, how.crop, anew=step.forget())
    _check_space(folder, (len(wanted.names) - store.progress.done) * how.crop**2 * 3)
    work = partial(prepare_chunk, how=how, max_pixels=settings.max_pixels, fast=fast_pixels.agrees(how), hashed=True)
    try:
        _fill(store, source, wanted.names, found.rejected, work, settings.max_rejected)
    except Refused:
        store.discard()
        raise
    store.finish()
    done = store.progress
    stored = wanted.take(done.kept)
    whole = found.manifest if sampled else stored
    whole.save(folder / MANIFEST)
    return Prepared(
        folder,
        len(whole.names),
        sampled,
        stored,
        [*found.rejected, *(Rejected(name=name, reason=reason) for name, reason in done.rejected)],
        [Remark(name=name, text=text) for name, text in done.remarks],
        _same(stored.names, done.digests),
        _decoder(done),
        seen.of(stored.names, done.digests, np.load(store.path, mmap_mode="r"), how),
        Throughput(images_per_second=len(done.kept) / done.seconds, seconds=done.seconds),
    )


Chunk = list[tuple[int, str, archives.Read]]  # place in the manifest, name, function that returns the encoded image


def chunks(source: Path, names: list[str], first: int, size: int) -> Iterator[Chunk]:
    """Yield the images from place `first` of the names on, so many at a time; UserError when the source has others by now."""
    images = itertools.zip_longest(names[first:], archives.read_images(source, names[first:]), fillvalue=("", None))
    chunk: Chunk = []
    for index, (name, (found, read)) in enumerate(images, first):
        if found != name:
            raise UserError(
                f"{source.name} changed while it was read (where {name} was, there is {found or 'nothing'}): run 1_prepare_data again."
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


def _fill(store: Store, source: Path, names: list[str], rejected: list[Rejected], work: Callable, most: int) -> None:
    """Prepare what the store does not have yet; `rejected` were refused before they were read."""
    done, said = store.progress, [[entry.name, entry.reason] for entry in rejected]
    refuse_too_many(said + done.rejected, most)
    started = time.perf_counter()
    made = pipeline.in_order(work, chunks(source, names, done.done, CHUNK), environment.cores()) if done.done < len(names) else ()
    with tqdm(total=len(names), initial=done.done, desc="prepare", unit="image") as progress:
        for pixels, what in made:
            started, what.seconds = time.perf_counter(), time.perf_counter() - started
            store.append(pixels, what)
            refuse_too_many(said + done.rejected, most)
            progress.update(what.done)
    if not done.kept:
        raise Refused(f"no image can be used, of {len(names):,} (first: {done.rejected[0][1]}): give others.")


def _check_space(folder: Path, needed: int) -> None:
    """Raise UserError when the prepared images will not fit."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder} needs {formats.size(needed)} for prepared images, and {formats.size(free)} are free there: free space, say "
            "store: sample, or choose another run folder or a subset."
        )


def _decoder(done: Progress) -> str:
    """Return how many images were decoded and resized by what."""
    pillow = len(done.kept) - done.fast
    ways = [f"{done.fast:,} by simplejpeg and a compiled resize, found equal to Pillow {pillow_version}"] if done.fast else []
    return " and ".join(ways + ([f"{pillow:,} by Pillow {pillow_version}"] if pillow else []))


def _same(names: list[str], digests: list[str]) -> list[list[str]]:
    """Return the names of images that are the same bytes, one list for each content that there is more than once."""
    more = {digest for digest, count in Counter(digests).items() if count > 1}
    groups: dict[str, list[str]] = {}
    for name, digest in zip(names, digests, strict=True):
        if digest in more:
            groups.setdefault(digest, []).append(name)
    return list(groups.values())
