"""Evaluation shared by workers on Ray: units of images, each on disk as soon as it is done, that together are the serial run's answers."""

import functools
from dataclasses import dataclass

from helpers import cluster, crew, probes, steps, units
from helpers.errors import UserError
from helpers.evaluator import Evaluator, Job
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
    original = functools.partial(probes.original, step.folder, data, model, settings.batch_size)
    with cluster.joined(limits):
        work = Work(kept, limits, lambda number: crew.hire(number, limits, Evaluator, job), original)
        try:
            first = work.start()
            if not first.reason:
                work.run()
        finally:
            work.end()
    return Shared(first.described, first.reason, work.remarks, kept)
