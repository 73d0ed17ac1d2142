"""What a worker does that prepares: finds the images as its host sees them, then makes one unit after another into a part of the store."""

import hashlib
import os
import platform
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from helpers import environment, fast_pixels, files, part_files, parts, pipeline
from helpers.by_name import ByName, Place
from helpers.chunks import CHUNK, chunked, prepare_chunk
from helpers.crew import Loaded
from helpers.errors import UserError
from helpers.part_files import Made
from helpers.preprocess import Preprocess
from helpers.store import Progress
from helpers.store_journal import Journal
from helpers.units import Unit


@dataclass(frozen=True)
class Job:
    """What is prepared, and how; paths are as every host sees them."""

    artefacts: Path
    journal: Journal  # by which a host knows that it sees the run
    place: Place
    how: Preprocess
    max_pixels: int
    threads: int
    first: list[str]  # names of the images by which workers are held against each other


class Preparer:
    """The run's images, and this process's threads to prepare them."""

    def __init__(self, job: Job):
        self._job = job

    def load(self) -> Loaded:
        """Find the images and return what there is to say of this host; UserError where it has not what the others have."""
        job, host = self._job, platform.node()
        if next(job.journal.entries(), None) is None:
            raise UserError(f"{host} does not see {job.artefacts} as it is: put the run on a file system that all hosts share.")
        self._images = ByName(job.place, job.artefacts)
        self._work = partial(prepare_chunk, how=job.how, max_pixels=job.max_pixels, fast=fast_pixels.agrees(job.how), hashed=True)
        told = {"device": environment.machine()["cpu"], "backend": " ".join(job.place.packages.values())}
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
        chunks = chunked(self._images(names), self._images.name, names, first, CHUNK)
        for pixels, what in pipeline.in_order(self._work, chunks, self._job.threads):
            rows[len(whole.kept) : len(whole.kept) + len(pixels)] = pixels
            whole.add(what)
        return rows[: len(whole.kept)], whole
