"""What a worker does: the model loaded once on its device, then the answers to one unit of images after another."""

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import backends, dataset, evaluation, files, probes
from helpers.ascend import npu_smi
from helpers.crew import Loaded
from helpers.errors import UserError
from helpers.params import Target
from helpers.records import Data, Model
from helpers.scores import Scores
from helpers.tensors import Tensors
from helpers.units import Unit


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
        self._images = Tensors.of(job.folder, job.data).prepared(self._backend.expects(job.data.preprocess))
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
        return probes.probe(self._backend, self._images, self._job.batch_size)

    def evaluate(self, unit: Unit) -> tuple[Scores, float]:
        """Return the answers to a unit of images and the seconds they took."""
        started = time.perf_counter()
        found = evaluation.evaluate(self._backend, self._images.part(*unit), self._labels, self._job.batch_size, self._job.keep_logits)
        return found, time.perf_counter() - started


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
