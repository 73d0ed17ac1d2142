"""What a worker does: the model loaded once on its device, then the answers to one unit of images after another."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import backends, dataset, evaluation, files, majority, probes
from helpers.ascend import npu_smi
from helpers.by_name import ByName, Place
from helpers.crew import Loaded
from helpers.errors import UserError
from helpers.params import Target
from helpers.records import Data, Model
from helpers.scores import Scores
from helpers.streaming import Stream
from helpers.tensors import Tensors
from helpers.units import Found, Unit


@dataclass(frozen=True)
class Job:
    """What is evaluated, and with what; the folder is the run's as every host sees it."""

    folder: Path
    data: Data
    model: Model
    target: Target
    batch_size: int
    keep_logits: bool
    resource: str
    place: Place | None = None  # of the images, where they are not stored
    first: Sequence[str] = ()  # then the names of those by which workers are held against each other
    threads: int = 1  # then, to prepare them


class Evaluator:
    """A model on this process's device, and the run's images."""

    def __init__(self, job: Job):
        self._job = job

    def load(self) -> Loaded:
        """Load the model and return what there is to say of it; UserError where this host does not see the run as it is."""
        job = self._job
        manifest = job.folder / job.data.manifest
        if not manifest.is_file() or files.sha256(manifest) != job.data.manifest_sha256:
            raise UserError(f"{platform.node()} does not see {job.folder} as it is: put the run on a file system that all hosts share.")
        self._labels = dataset.load_labels(manifest)
        self._backend = backends.load(job.folder, job.model, job.target)
        self._how = self._backend.expects(job.data.preprocess)
        self._images = ByName(job.place, job.folder / "artefacts") if job.place else Tensors.of(job.folder, job.data).prepared(self._how)
        reason = evaluation.why_not(self._backend, job.data, job.model, job.batch_size)
        return Loaded(
            host=platform.node(),
            place=_place(job.resource),
            described=evaluation.described(self._backend),
            reason=reason,
            probe=None if reason else self.probe(),
        )

    def probe(self) -> np.ndarray:
        """Return the answers [N, classes] to the first images, by which workers are held against each other."""
        first = self._some(Unit(0, majority.IMAGES), self._job.first)
        return probes.probe(self._backend, first, self._job.batch_size)

    def evaluate(self, unit: Unit, names: Sequence[str] = ()) -> tuple[Found, float]:
        """Return the answers to a unit of images and the seconds they took; `names` are theirs, where they are not stored."""
        started, job = time.perf_counter(), self._job
        images, nobody = self._some(unit, names), np.empty(0, np.int32)
        none = Scores.of(nobody, nobody, np.empty((0, job.model.classes), np.float32), job.keep_logits)  # it may be that none can be read
        scores = Scores.joined([none, *evaluation.by_batch(self._backend, images, self._labels, job.batch_size, job.keep_logits)])
        left = (images.rejected, images.remarks) if job.place else ()
        return Found(scores, *left), time.perf_counter() - started

    def _some(self, unit: Unit, names: Sequence[str]) -> Tensors | Stream:
        """Return the images of a unit."""
        if self._job.place:
            return Stream(self._images, names, self._job.data, self._how, self._job.threads, unit.first)
        return self._images.part(*unit)


def _place(resource: str) -> str:
    """Return which process this is, and which device of its host Ray gave it: inside, it is always number 0."""
    process = f"process {os.getpid()}"
    if resource == "GPU":
        return f"GPU {os.environ.get('CUDA_VISIBLE_DEVICES', '0')}, {process}"
    if resource == "CPU":
        return process
    try:
        chip = npu_smi.chip(0)
    except UserError:  # a container may have the device and no npu-smi
        return f"NPU {os.environ.get('ASCEND_RT_VISIBLE_DEVICES', '0')}, {process}"
    return f"card {chip.npu_id}, chip {chip.chip_id}, {process}"
