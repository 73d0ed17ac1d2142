"""Preparing and inferring at once: threads read, decode, resize and normalise while the model runs, with a bounded queue between.

Nothing is stored: 50,000 images need no 7.5 GB, and memory holds a few batches, however many images there are.
"""

import itertools
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from helpers import archives, backends, dataset, environment, fast_pixels, files, formats, pipeline, preprocess
from helpers.backends import Backend
from helpers.errors import UserError
from helpers.params import LIVE, PrepareData, Target
from helpers.prepare import Chunk, chunks, prepare_chunk, refuse_too_many
from helpers.preprocess import Preprocess
from helpers.records import Data, Model
from helpers.store import Progress

TRIAL_BATCHES = 3  # to learn what preparing and inferring take
LEAN = 0.25  # an inference thread that would be busy for less is not worth its waiting: benchmarks/data_path.py


class Stream:
    """The images of a run, made into batches by so many threads when they are asked for.

    An image that can't be read is missing from its batch; more than the run allows are a UserError.
    """

    def __init__(self, folder: Path, data: Data, how: Preprocess, workers: int):
        settings = PrepareData(**data.params)
        self._source = archives.open_source(settings.images, folder / "artefacts")
        if files.sha256(self._source) != data.source_sha256:
            raise UserError(f"{settings.images} is not what data.json was made from: run 1_prepare_data again.")
        self._names = dataset.load(folder / data.manifest).names
        self._most, self._workers = settings.max_rejected, workers
        self.make = partial(_batch, how=how, max_pixels=settings.max_pixels, fast=fast_pixels.agrees(how))
        self._rejected: list[list[str]] = []
        self._images, self._seconds = 0, 0.0

    def __len__(self) -> int:
        return len(self._names)

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Yield what batches of a size are made of: places, names and functions that read."""
        return chunks(self._source, self._names, 0, size)

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (places in the manifest int32 [B], tensor [B, ...]) in the manifest's order."""
        started = time.perf_counter()
        for tensor, what in pipeline.in_order(self.make, self.chunks(size), self._workers):
            self._rejected += what.rejected
            refuse_too_many(self._rejected, self._most)
            if what.kept:
                yield np.array(what.kept, np.int32), tensor
            self._images += what.done
            self._seconds = time.perf_counter() - started

    def remarks(self) -> list[str]:
        """Return what is to be said once all batches were used: the rate from encoded image to answer, and what was left out."""
        rate = f"prepared and evaluated at once, {self._images / self._seconds:.0f} images per second from encoded image to answer"
        said = [f"{rate}, with {formats.counted(self._workers, 'thread')} preparing"]
        if self._rejected:
            name, reason = self._rejected[0]
            said.append(f"{formats.counted(len(self._rejected), 'image')} could not be read and are left out (first: {name}, {reason})")
        return said


def shared_out(folder: Path, data: Data, model: Model, target: Target, batch_size: int) -> tuple[Target, int]:
    """Return the target with its number of threads, and how many threads prepare; threads that the parameters name stay."""
    cores = environment.cores()
    if target.threads or target.backend not in LIVE:
        return target, cores
    with backends.load(folder, model, target.model_copy(update={"threads": 1})) as backend:
        stream = Stream(folder, data, backend.expects(data.preprocess), workers=1)
        threads, workers = plan(stream, backend, batch_size, cores)
    return target.model_copy(update={"threads": threads}), workers


def plan(stream: Stream, backend: Backend, batch_size: int, cores: int) -> tuple[int, int]:
    """Return how many threads infer and how many prepare, so that both are done at once; `backend` is loaded with one thread.

    Both are timed on the first batches, one after the other. Inference gets its share of the cores; what prepares gets one thread
    where inference keeps the cores busy, else as many as there are cores, since a thread that waits takes nothing.
    """
    preparing, inferring = [], []
    for chunk in itertools.islice(stream.chunks(batch_size), TRIAL_BATCHES):
        started = time.perf_counter()
        tensor, what = stream.make(chunk)
        prepared = time.perf_counter()
        if what.kept:
            backend(tensor)
            preparing.append(prepared - started)
            inferring.append(time.perf_counter() - prepared)
    if not preparing:
        return cores, cores
    share = min(inferring) / (min(inferring) + min(preparing))
    threads = max(1, math.ceil(cores * share - LEAN))
    return threads, 1 if threads == cores else cores


def _batch(chunk: Chunk, how: Preprocess, max_pixels: int, fast: bool) -> tuple[np.ndarray, Progress]:
    """Return the images of a chunk as a batch that the model takes, and what is to be said of them."""
    pixels, what = prepare_chunk(chunk, how, max_pixels, fast)
    return preprocess.to_tensor(pixels, how), what
