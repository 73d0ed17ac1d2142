"""What a worker does that prepares: finds the images as its host sees them, then makes one unit after another into a part of the store."""

import hashlib
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from helpers import archives, environment, fast_pixels, files, part_files, parts, pipeline
from helpers.archives import Read
from helpers.chunks import CHUNK, chunked, prepare_chunk
from helpers.crew import Loaded
from helpers.errors import UserError
from helpers.part_files import Made
from helpers.preprocess import Preprocess
from helpers.remote import Address, Source
from helpers.store import Progress
from helpers.store_journal import Journal
from helpers.units import Unit

PACKAGES = ("pillow", "simplejpeg", "numba", "numpy", "opencv-python")  # that decide pixels


@dataclass(frozen=True)
class Job:
    """What is prepared, and how; paths are as every host sees them."""

    artefacts: Path
    journal: Journal  # by which a host knows that it sees the run
    images: str  # the parameter
    source_bytes: int  # of an archive
    how: Preprocess
    max_pixels: int
    threads: int
    first: list[str]  # names of the images by which workers are held against each other
    packages: dict[str, str]


class Preparer:
    """The run's images, and this process's threads to prepare them."""

    def __init__(self, job: Job):
        self._job = job

    def load(self) -> Loaded:
        """Find the images and return what there is to say of this host; UserError where it has not what the others have."""
        job, host = self._job, platform.node()
        if next(job.journal.entries(), None) is None:
            raise UserError(f"{host} does not see {job.artefacts} as it is: put the run on a file system that all hosts share.")
        if found := _difference(job.packages, environment.versions(PACKAGES)):
            raise UserError(f"{host} has {found}: install the same packages on all hosts.")
        try:
            self._source = archives.open_source(job.images, job.artefacts)
        except UserError as error:  # what is said of a parameter: of which host is not
            raise UserError(f"on {host} {error}") from error
        if source_bytes(self._source) != job.source_bytes:
            raise UserError(f"{host} has another {job.images}, of another size: give all hosts the same.")
        self._reads = None if self._source.is_dir() else dict(archives.read_images(self._source, archives.listing(self._source).names))
        self._work = partial(prepare_chunk, how=job.how, max_pixels=job.max_pixels, fast=fast_pixels.agrees(job.how), hashed=True)
        told = {"device": environment.machine()["cpu"], "backend": " ".join(job.packages.values())}
        return Loaded(host, f"process {os.getpid()}", told, None, self.probe())

    def probe(self) -> str:
        """Return the hash of what the first images are made into, by which workers are held against each other."""
        rows, what = self._prepared(self._job.first, 0)
        return hashlib.sha256(f"{what.kept} {what.digests}".encode() + rows.tobytes()).hexdigest()

    def prepare(self, unit: Unit, names: list[str]) -> tuple[Made, float]:
        """Write the part of a unit of images, which have these names; return what is to be said of it and the seconds it took."""
        started = time.perf_counter()
        rows, what = self._prepared(names, unit.first)
        path = part_files.path(self._job.artefacts, unit)
        with files.whole(path) as temporary:
            np.save(temporary, rows)
        state = path.stat()
        made = Made(what, state.st_size, state.st_mtime_ns, parts.sha256(path))
        return made, time.perf_counter() - started

    def _prepared(self, names: list[str], first: int) -> tuple[np.ndarray, Progress]:
        """Return the pixels uint8 [M, crop, crop, 3] of images from a place in the manifest on, and what is to be said of them."""
        rows, whole = np.empty((len(names), self._job.how.crop, self._job.how.crop, 3), np.uint8), Progress()
        chunks = chunked(self._images(names), self._source.name, names, first, CHUNK)
        for pixels, what in pipeline.in_order(self._work, chunks, self._job.threads):
            rows[len(whole.kept) : len(whole.kept) + len(pixels)] = pixels
            whole.add(what)
        return rows[: len(whole.kept)], whole

    def _images(self, names: list[str]) -> Iterable[tuple[str, Read]]:
        """Yield the images of these names that are there; a host that does not see one must not take it for one that is broken."""
        if self._reads is not None:
            return ((name, self._reads[name]) for name in names if name in self._reads)
        elsewhere = isinstance(self._source, Address)  # which is the same from every host
        return archives.read_images(self._source, [name for name in names if elsewhere or (self._source / name).is_file()])


def source_bytes(source: Source) -> int:
    """Return the size of an archive, by which another one is told in most cases; 0 of a folder."""
    if source.is_dir():
        return 0
    return source.info()["size"] if isinstance(source, Address) else source.stat().st_size


def _difference(expected: dict[str, str], found: dict[str, str]) -> str:
    """Return the first package of another version, empty where all are the same."""
    differ = [name for name in expected if expected[name] != found[name]]
    return f"{differ[0]} {found[differ[0]]} where the run has {expected[differ[0]]}" if differ else ""
