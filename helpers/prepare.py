"""Every image of a manifest into the store: prepared by all cores or by workers, continued where a killed run stopped."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import __version__ as pillow_version
from tqdm import tqdm

from helpers import archives, dataset, environment, fast_pixels, part_files, parts, pipeline, prepare_by_workers, seen
from helpers.chunks import CHUNK, Chunk, Refused, chunks, prepare_chunk, refuse_none, refuse_too_many
from helpers.dataset import Found
from helpers.prepared import MANIFEST, Filled, Prepared
from helpers.preprocess import Preprocess
from helpers.records import Rejected, Remark, Throughput
from helpers.remote import Source
from helpers.steps import Step
from helpers.store import Progress, Store, check_space

Made = tuple[np.ndarray, Progress]
SAMPLE = 1024  # images kept where not all are: what a sweep rotates through at most


def prepare(step: Step, source: Source, found: Found, how: Preprocess) -> Prepared:
    """Prepare every image that was found, or a sample of them, and write store and manifest among the step's artefacts.

    An image that can't be read is left out with its reason; more than `max_rejected` of them is a UserError. What a killed run of the
    same fingerprint left is continued; a run that was finished is made anew. Workers, where there are any, make the same store in parts.
    """
    folder, settings = step.artefacts, step.settings
    sampled = settings.store == "sample"
    wanted = dataset.subset(found.manifest, min(SAMPLE, len(found.manifest.names)), settings.seed) if sampled else found.manifest
    filled = _fill(step, source, wanted.names, found.rejected, how)
    done = filled.progress
    stored = wanted.take(done.kept)
    whole = found.manifest if sampled else stored
    whole.save(folder / MANIFEST)
    return Prepared(
        folder,
        filled,
        len(whole.names),
        sampled,
        stored,
        [*found.rejected, *(Rejected(name=name, reason=reason) for name, reason in done.rejected)],
        [Remark(name=name, text=text) for name, text in done.remarks],
        _same(stored.names, done.digests),
        _decoder(done),
        seen.of(stored.names, done.digests, parts.open_pixels(filled.path), how),
        Throughput(images_per_second=len(done.kept) / done.seconds, seconds=done.seconds),
    )


def _fill(step: Step, source: Source, names: Sequence[str], rejected: list[Rejected], how: Preprocess) -> Filled:
    """Prepare the images by workers or here; `rejected` were refused before they were read."""
    if step.settings.workers.engine == "serial":
        return _here(step, source, names, rejected, how)
    if archives.seekable(source):
        return prepare_by_workers.fill(step, source, names, rejected, how)
    remark = f"{source.name} can only be read from its beginning, which workers don't: for them give a folder, a plain tar or a zip."
    return replace(_here(step, source, names, rejected, how), worker_remarks=[remark])


def _here(step: Step, source: Source, names: Sequence[str], rejected: list[Rejected], how: Preprocess) -> Filled:
    """Prepare what the store of one file does not have yet."""
    settings, said = step.settings, [[entry.name, entry.reason] for entry in rejected]
    store = Store(step.artefacts, step.fingerprint, how.crop, anew=step.forget())
    done = store.progress
    check_space(step.artefacts, len(names) - done.done, how.crop)
    work = partial(prepare_chunk, how=how, max_pixels=settings.max_pixels, fast=fast_pixels.agrees(how), hashed=True)
    try:
        refuse_too_many(said + done.rejected, settings.max_rejected)
        for pixels, what in _made(work, source, names, done.done):
            store.append(pixels, what)
            refuse_too_many(said + done.rejected, settings.max_rejected)
        refuse_none(done)
    except Refused:
        store.discard()
        raise
    store.finish()
    part_files.remove(step.artefacts)
    return Filled(store.path, done)


def _made(work: Callable[[Chunk], Made], source: Source, names: Sequence[str], first: int) -> Iterator[Made]:
    """Yield the pixels of images from a place on, and what is to be said of them, the time until each came included."""
    started = time.perf_counter()
    made = pipeline.in_order(work, chunks(source, names, first, CHUNK), environment.cores()) if first < len(names) else ()
    with tqdm(total=len(names), initial=first, desc="prepare", unit="image") as progress:
        for pixels, what in made:
            started, what.seconds = time.perf_counter(), time.perf_counter() - started
            yield pixels, what
            progress.update(what.done)


def _decoder(done: Progress) -> str:
    """Return how many images were decoded and resized by what."""
    pillow = len(done.kept) - done.fast
    ways = [f"{done.fast:,} by simplejpeg and a compiled resize, found equal to Pillow {pillow_version}"] if done.fast else []
    return " and ".join(ways + ([f"{pillow:,} by Pillow {pillow_version}"] if pillow else []))


def _same(names: Sequence[str], digests: list[str]) -> list[list[str]]:
    """Return the names of images that are the same bytes, one list for each content that there is more than once."""
    more = {digest for digest, count in Counter(digests).items() if count > 1}
    groups: dict[str, list[str]] = {}
    for name, digest in zip(names, digests, strict=True):
        if digest in more:
            groups.setdefault(digest, []).append(name)
    return list(groups.values())
