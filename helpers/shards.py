"""Evaluation shared by workers on Ray: units of images, each on disk as soon as it is done, that together are the serial run's answers."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from helpers import cluster, crew, parity, probes, steps, units
from helpers.crew import Loaded
from helpers.errors import UserError
from helpers.evaluator import Evaluator, Job
from helpers.kinds import Kind
from helpers.params import Target, Workers
from helpers.records import Accuracy, Data, Model
from helpers.steps import Step
from helpers.units import Kept
from helpers.work import Work


@dataclass(frozen=True)
class Shared:
    """What workers made of one stage: what the first says of itself, why there is nothing, remarks on others, the finished units."""

    described: dict
    reason: str | None
    remarks: list[str]
    kept: Kept


def evaluate(step: Step, data: Data, model: Model, stage: str, target: Target) -> Shared:
    """Have workers evaluate every unit that an earlier run has not finished; each is on disk as soon as it is done.

    A unit that fails more than `max_retries` times, an address that does not answer and workers of which none is left are UserErrors. An
    interrupt ends the workers; what is done stays.
    """
    settings, limits = step.settings, step.settings.workers
    if data.streamed:
        raise UserError(
            "workers read images from the store, which has a sample alone: run 1_prepare_data with store: all, or leave them out."
        )
    key = steps.fingerprint(Accuracy, settings.model_copy(update={"workers": Workers()}), step.inputs)  # who works decides nothing
    cut = units.cut(data.images, limits.unit_images, settings.batch_size)
    kept = Kept(step.artefacts / "units" / stage, f"{key} {data.manifest_sha256}", cut)
    target = target.model_copy(update={"threads": target.threads or limits.cpus_per_worker})
    job = Job(step.folder, data, model, target, settings.batch_size, settings.keep_logits, limits.resource)
    kind = _kind(functools.partial(probes.original, step.folder, data, model, settings.batch_size))
    with cluster.joined(limits):
        work = Work(kind, kept, limits, lambda number: crew.hire(number, limits, Evaluator, job))
        try:
            first = work.start()
            if not first.reason:
                work.run()
        finally:
            work.end()
    return Shared(first.described, first.reason, work.remarks, kept)


def _kind(original: Callable[[], np.ndarray]) -> Kind:
    """Return evaluation as a kind of work."""

    def believed(alike: Mapping[str, Loaded]) -> np.ndarray:
        exact = all(map(_is_exact, alike.values()))
        return probes.believed({name: loaded.probe for name, loaded in alike.items()}, exact, original)

    return Kind(
        notebook=Accuracy.STEP,
        name="accuracy",
        getting_ready="loading the model",
        otherwise="answers the first images otherwise than it should",
        ask=lambda unit: ("evaluate", unit),
        believed=believed,
        agree=lambda right, found: probes.agree(right.probe, found, None if _is_exact(right) else parity.COSINE_MIN),
    )


def _is_exact(loaded: Loaded) -> bool:
    return loaded.described["precision"] == "fp32"
