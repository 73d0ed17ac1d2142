"""Preparing and inferring at once: threads read, decode, resize and normalise while the model runs, with a bounded queue between.

Nothing is stored: 50,000 images need no 7.5 GB, and memory holds a batch for each thread and two more, however many images there are.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from helpers import archives, dataset, environment, fast_pixels, files, formats, pipeline, preprocess
from helpers.backends import Backend
from helpers.chunks import Chunk, chunked, prepare_chunk, refuse_too_many
from helpers.errors import UserError
from helpers.names import Names
from helpers.params import LIVE, Target
from helpers.preprocess import Preprocess
from helpers.records import Data, Rejected, Remark
from helpers.remote import Source
from helpers.store import Progress

SHARES = {"session.intra_op.allow_spinning": 0}  # else ONNX Runtime's threads wait in a loop, on cores that preparation could use
Images = Callable[[Sequence[str]], Iterable[tuple[str, archives.Read]]]
TRIAL_BATCHES = 3  # to learn what preparing and inferring take
LEAN = 0.2  # of a core: an inference thread that would have less to do costs more by its waiting than it helps
KEEPS_UP = 1.15  # so much longer than inferring may preparing take before more threads than cores are worth their quarrel


class Stream:
    """Images of a run, made into batches by `workers` threads when they are asked for.

    `images` yields those of some names; `first` is the place in the manifest of the first name. An image that can't be read is missing
    from its batch; more than `most`, where that is given, are a UserError.
    """

    def __init__(self, images: Images, names: Sequence[str], data: Data, how: Preprocess, workers: int = 1, first: int = 0):
        self._images, self._names, self._source, self._first = images, names, data.source, first
        self.workers, self.most = workers, None
        self.make = partial(_batch, how=how, max_pixels=data.params["max_pixels"], fast=fast_pixels.agrees(how))
        self.rejected: list[list[str]] = []  # name and reason
        self.remarks: list[list[str]] = []
        self._done, self._seconds = 0, 0.0

    @classmethod
    def of(cls, folder: Path, data: Data, how: Preprocess, workers: int = 1) -> "Stream":
        """Return all images of a run; UserError when they are not what it was made from."""
        names = dataset.load(folder / data.manifest).names
        stream = cls(partial(archives.read_images, source_of(folder, data)), names, data, how, workers)
        stream.most, stream.rejected = data.params["max_rejected"], refused_by_listing(names, data)
        return stream

    def __len__(self) -> int:
        return len(self._names)

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Yield what batches of a size are made of: places, names and functions that read."""
        return chunked(self._images(self._names), self._source, self._names, self._first, size)

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (places in the manifest int32 [B], tensor [B, ...]) in the manifest's order."""
        started = time.perf_counter()
        for tensor, what in pipeline.in_order(self.make, self.chunks(size), self.workers):
            self.rejected += what.rejected
            self.remarks += what.remarks
            if self.most is not None:
                refuse_too_many(self.rejected, self.most)
            if what.kept:
                yield np.array(what.kept, np.int32), tensor
            self._done += what.done
            self._seconds = time.perf_counter() - started

    def told(self) -> dict:
        """Return what a result says of its images once all batches were used."""
        by = f"{formats.counted(self.workers, 'thread')} preparing"
        return told(self._done, self._seconds, by, self.rejected, self.remarks)

    def share_out(self, backend: Backend, target: Target, batch_size: int) -> Target:
        """Return the target with its number of threads, and take the others for preparing; threads that the parameters name stay.

        `backend` is loaded with the target of `alone`.
        """
        cores = environment.cores()
        if alone(target) is target:
            self.workers = cores
            return target
        threads, self.workers = plan(self, backend, batch_size, cores)
        shares = SHARES if target.backend == "onnxruntime" and threads > 1 else {}
        return target.model_copy(update={"threads": threads, "provider_options": {**shares, **target.provider_options}})


def source_of(folder: Path, data: Data) -> Source:
    """Return where a run's images are; UserError when they are not what it was made from."""
    source = archives.open_source(data.params["images"], folder / "artefacts")
    if files.sha256(source) != data.source_sha256:
        raise UserError(f"{data.params['images']} is not what data.json was made from: run 1_prepare_data again.")
    return source


def refused_by_listing(names: Names, data: Data) -> list[list[str]]:
    """Return name and reason of what is no image of the manifest; what was refused of the sample comes again."""
    known = names.among(entry.name for entry in data.rejected)
    return [[entry.name, entry.reason] for entry in data.rejected if entry.name not in known]


def told(images: int, seconds: float, by: str, rejected: list[list[str]], remarks: list[list[str]]) -> dict:
    """Return what a result says of images that were not stored: how fast and `by` whom, which were left out, which need a word."""
    rate = formats.counted(round(images / seconds), "image")
    return {
        "streamed": f"{rate} a second from encoded image to answer, {by}",
        "rejected": [Rejected(name=name, reason=reason) for name, reason in rejected],
        "image_remarks": [Remark(name=name, text=text) for name, text in remarks],
    }


def alone(target: Target) -> Target:
    """Return the target with one thread, to be timed, where its threads are this machine's and not named by the parameters."""
    return target if target.threads or target.backend not in LIVE else target.model_copy(update={"threads": 1})


def plan(stream: Stream, backend: Backend, batch_size: int, cores: int) -> tuple[int, int]:
    """Return how many threads infer and how many prepare, so that both are done at once; `backend` is loaded with one thread.

    Both are timed on the first batches, one after the other. Inference gets its share of the cores and preparation the others, if that
    keeps up; if not, as many threads as there are cores, since inference then waits. benchmarks/data_path.py measures the rule.
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
    prepare, infer = min(preparing), min(inferring)
    threads = max(1, math.ceil(cores * infer / (infer + prepare) - LEAN))
    others = max(1, cores - threads)
    return threads, others if prepare / others <= KEEPS_UP * infer / threads else cores


def _batch(chunk: Chunk, how: Preprocess, max_pixels: int, fast: bool) -> tuple[np.ndarray, Progress]:
    """Return the images of a chunk as a batch that the model takes, and what is to be said of them."""
    pixels, what = prepare_chunk(chunk, how, max_pixels, fast, hashed=False)
    return preprocess.to_tensor(pixels, how), what
