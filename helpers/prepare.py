"""Every image of a manifest into the store: prepared by all cores, in order, continued where a killed run stopped."""

import hashlib
import itertools
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import __version__ as pillow_version
from tqdm import tqdm

from helpers import archives, dataset, environment, fast_pixels, files, formats, pipeline, preprocess
from helpers.dataset import Found, Manifest
from helpers.elements import Gallery, Group, Sentence, Table
from helpers.errors import UserError
from helpers.preprocess import Preprocess
from helpers.records import Rejected, Remark, Throughput
from helpers.steps import Step
from helpers.store import STORE, Progress, Store

MANIFEST = "manifest.csv"
CHUNK = 16  # images that a thread prepares at once
EXIF, EXIF_WITHIN = b"Exif\0\0", 65536  # where a camera writes the orientation
SAMPLE = 1024  # images kept where not all are: what a sweep rotates through at most
SHOWN = 20  # images listed by name in the notebook; the record has all


@dataclass(frozen=True)
class Prepared:
    """Images that are ready: which, those left out, what is to be known of them, how fast it went, and where they are."""

    folder: Path
    images: int
    stored: Manifest  # the rows of the store: all of them, or a sample
    rejected: list[Rejected]
    remarks: list[Remark]
    duplicates: list[list[str]]  # names of images with the same bytes
    decoder: str
    throughput: Throughput

    def in_words(self) -> Group:
        """Return what was made, and the images that were left out or need a word."""
        size = (self.folder / STORE).stat().st_size / 1e6
        rate = f"prepared at {self.throughput.images_per_second:.0f} images per second, {size:.1f} MB, by {self.decoder}"
        count = len(self.stored.names)
        later = f"; 3_accuracy prepares all {self.images} while it evaluates them" if count < self.images else ""
        twice = sum(len(names) - 1 for names in self.duplicates)
        first = " and ".join(self.duplicates[0][:2]) if twice else ""
        return Group(
            [
                Sentence(f"{count} images {rate}{later}."),
                Sentence(f"{formats.counted(twice, 'image')} the same, byte by byte, as another: {first} first.", "warning")
                if twice
                else None,
                _listed("left out", [[entry.name, entry.reason] for entry in self.rejected]),
                _listed("to be known", [[entry.name, entry.text] for entry in self.remarks]),
            ]
        )

    def gallery(self, class_names: list[str], count: int = 10) -> Gallery:
        """Return the first image of each of the first classes as the model sees it."""
        labels = self.stored.labels
        chosen = np.sort(np.unique(labels, return_index=True)[1])[:count]
        if len(chosen) < count:  # few classes, or none
            chosen = np.union1d(chosen, np.arange(min(count, len(labels))))[:count]
        texts = [self._caption(int(index), class_names) for index in chosen]
        return Gallery(np.load(self.folder / STORE, mmap_mode="r")[chosen], texts, "Resized and cropped; not yet normalised.")

    def body(self) -> dict:
        """Return what data.json says of the prepared images."""
        return {
            "images": self.images,
            "streamed": self.images > len(self.stored.names),
            "manifest": f"artefacts/{MANIFEST}",
            "manifest_sha256": files.sha256(self.folder / MANIFEST),
            "tensors": f"artefacts/{STORE}",
            "tensors_sha256": files.sha256(self.folder / STORE),
            "rejected": self.rejected,
            "remarks": self.remarks,
            "duplicates": self.duplicates,
            "decoder": self.decoder,
            "throughput": self.throughput,
        }

    def _caption(self, index: int, class_names: list[str]) -> str:
        label = int(self.stored.labels[index])
        if label == dataset.NO_LABEL:
            return self.stored.names[index]
        return f"{label} {class_names[label]}" if class_names else f"class {label}"


def prepare(step: Step, source: Path, found: Found, how: Preprocess) -> Prepared:
    """Prepare every image that was found, or a sample of them, and write store and manifest among the step's artefacts.

    An image that can't be read is left out with its reason; more than `max_rejected` of them is a UserError. What a killed run of the
    same fingerprint left is continued; a run that was finished is made anew.
    """
    folder, settings = step.artefacts, step.settings
    sampled = settings.store == "sample"
    wanted = dataset.subset(found.manifest, min(SAMPLE, len(found.manifest.names)), settings.seed) if sampled else found.manifest
    store = Store(folder, step.fingerprint, how.crop, anew=step.is_recorded)
    fast = fast_pixels.agrees(how)
    try:
        _check_space(folder, (len(wanted.names) - len(store.progress.kept)) * how.crop**2 * 3)
        work = partial(prepare_chunk, how=how, max_pixels=settings.max_pixels, fast=fast)
        _fill(store, source, wanted.names, found.rejected, work, settings.max_rejected)
        store.finish()
    except UserError:
        store.discard()
        raise
    done = store.progress
    stored = Manifest([wanted.names[index] for index in done.kept], wanted.labels[done.kept])
    (found.manifest if sampled else stored).save(folder / MANIFEST)
    return Prepared(
        folder,
        len(found.manifest.names) if sampled else len(stored.names),
        stored,
        [*found.rejected, *(Rejected(name=name, reason=reason) for name, reason in done.rejected)],
        [Remark(name=name, text=text) for name, text in done.remarks],
        _same(stored.names, done.digests),
        f"simplejpeg and a compiled resize, found equal to Pillow {pillow_version}" if fast else f"Pillow {pillow_version}",
        Throughput(images_per_second=len(done.kept) / done.seconds, seconds=done.seconds),
    )


Chunk = list[tuple[int, str, archives.Read]]  # place in the manifest, name, function that returns the encoded image


def chunks(source: Path, names: list[str], first: int, size: int) -> Iterator[Chunk]:
    """Yield the images from place `first` of the names on, so many at a time."""
    images = zip(itertools.count(first), archives.read_images(source, names[first:]))
    yield from iter(lambda: [(index, name, read) for index, (name, read) in itertools.islice(images, size)], [])


def prepare_chunk(chunk: Chunk, how: Preprocess, max_pixels: int, fast: bool) -> tuple[np.ndarray, Progress]:
    """Return the pixels uint8 [M, crop, crop, 3] of those images that can be read, and what is to be said of all."""
    rows, what = np.empty((len(chunk), how.crop, how.crop, 3), np.uint8), Progress(done=len(chunk))
    for index, name, read in chunk:
        try:
            encoded = read()
            rows[len(what.kept)], remark = _pixels(name, encoded, how, max_pixels, fast)
        except (ValueError, *archives.GONE_WRONG) as error:
            what.rejected.append([name, str(error)])
            continue
        what.kept.append(index)
        what.digests.append(hashlib.sha256(encoded).hexdigest())
        if remark:
            what.remarks.append([name, remark])
    return rows[: len(what.kept)], what


def _pixels(name: str, encoded: bytes, how: Preprocess, max_pixels: int, fast: bool) -> tuple[np.ndarray, str]:
    """Return one image's pixels and the remark on it, empty for most."""
    pixels = fast_pixels.to_pixels(encoded, how, max_pixels) if fast else None
    if pixels is not None and name.lower().endswith((".jpeg", ".jpg")) and EXIF not in encoded[:EXIF_WITHIN]:
        return pixels, ""
    if pixels is None:
        pixels = preprocess.to_pixels(preprocess.decode(encoded, max_pixels), how)
    return pixels, preprocess.remark(name, encoded)


def refuse_too_many(rejected: list[list[str]], most: int) -> None:
    """Raise UserError where more images can't be used than may be left out."""
    if len(rejected) > most:
        name, reason = rejected[-1]
        raise UserError(
            f"{name} can't be used ({reason}): repair or remove it, or allow some images to be left out with max_rejected (now {most})."
        )


def _fill(store: Store, source: Path, names: list[str], rejected: list[Rejected], work: Callable, most: int) -> None:
    """Prepare what the store does not have yet; `rejected` were refused before they were read."""
    done, said = store.progress, [[entry.name, entry.reason] for entry in rejected]
    refuse_too_many(said, most)
    started = time.perf_counter()
    made = pipeline.in_order(work, chunks(source, names, done.done, CHUNK), environment.cores()) if done.done < len(names) else ()
    with tqdm(total=len(names), initial=done.done, desc="prepare", unit="image") as progress:
        for pixels, what in made:
            started, what.seconds = time.perf_counter(), time.perf_counter() - started
            store.append(pixels, what)
            refuse_too_many(said + done.rejected, most)
            progress.update(what.done)
    if not done.kept:
        raise UserError(f"none of the {len(names)} images can be used (first: {done.rejected[0][1]}): give other images.")


def _check_space(folder: Path, needed: int) -> None:
    """Raise UserError when the prepared images will not fit."""
    if needed > shutil.disk_usage(folder).free:
        raise UserError(f"{folder} needs {needed / 1e9:.1f} GB more than is free there: free space, choose another run folder or a subset.")


def _same(names: list[str], digests: list[str]) -> list[list[str]]:
    """Return the names of images that are the same bytes, one list for each content that there is more than once."""
    more = {digest for digest, count in Counter(digests).items() if count > 1}
    groups: dict[str, list[str]] = {}
    for name, digest in zip(names, digests, strict=True):
        if digest in more:
            groups.setdefault(digest, []).append(name)
    return list(groups.values())


def _listed(title: str, rows: list[list[str]]) -> Table | None:
    more = f"{len(rows) - SHOWN} more are in data.json." if len(rows) > SHOWN else ""
    return Table([title, "reason"], rows[:SHOWN], more) if rows else None
