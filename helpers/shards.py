"""Evaluation shared by workers on Ray: units of images, each on disk as soon as it is done, that together are the serial run's answers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from helpers import archives, dataset, formats, majority, parity, probes, steps, streaming, units, work
from helpers.by_name import Place
from helpers.chunks import refuse_too_many
from helpers.crew import Loaded
from helpers.errors import UserError
from helpers.evaluator import Evaluator, Job
from helpers.kinds import Kind
from helpers.names import Names
from helpers.params import Target, Workers
from helpers.records import Accuracy, Data, Model
from helpers.scores import Scores
from helpers.steps import Step
from helpers.units import Kept


@dataclass(frozen=True)
class Shared:
    """What workers made of one stage: what the first says of itself, why there is nothing, remarks on others, the finished units."""

    described: dict
    reason: str | None
    remarks: list[str]
    kept: Kept
    listed: list[list[str]]  # name and reason of what was refused before it was read

    def joined(self, streamed: bool) -> tuple[Scores, dict]:
        """Return the answers to all images in their order and what a result says of who gave them."""
        found, done = self.kept.joined()
        told = {
            **self.described,
            "device": " and ".join(dict.fromkeys(unit.device for unit in done)),
            "remarks": self.remarks,
            "units": done,
        }
        if streamed:
            by = f"{formats.counted(len({(unit.host, unit.place) for unit in done}), 'worker')} preparing and inferring"
            images = sum(unit.count for unit in done)
            told |= streaming.told(images, units.seconds(done), by, [*self.listed, *found.rejected], found.remarks)
        return found.scores, told


def evaluate(step: Step, data: Data, model: Model, stage: str, target: Target) -> Shared:
    """Have workers evaluate every unit that an earlier run has not finished, as `work.share` does; a unit is on disk once it is done."""
    settings, most = step.settings, data.params.get("max_rejected", 0)
    names = dataset.load(step.folder / data.manifest).names if data.streamed else Names.of(())  # those that are stored need none
    listed = streaming.refused_by_listing(names, data) if data.streamed else []
    key = steps.fingerprint(Accuracy, settings.model_copy(update={"workers": Workers()}), step.inputs)  # who works decides nothing
    cut, folder = units.cut(data.images, settings.workers.unit_images, settings.batch_size), step.artefacts / "units" / stage
    kept = Kept(folder, f"{key} {data.manifest_sha256}", cut, lambda found: refuse_too_many([*listed, *found], most))
    kept.check()
    job = _job(step, data, model, target, list(names[: majority.IMAGES]))
    said, remarks = work.share(_kind(job, names), kept, settings.workers, Evaluator, job)
    return Shared(said.described, said.reason, remarks, kept, listed)


def _job(step: Step, data: Data, model: Model, target: Target, first: list[str]) -> Job:
    """Return what every worker is told; `first` are the names of the first images."""
    settings, limits = step.settings, step.settings.workers
    return Job(
        folder=step.folder,
        data=data,
        model=model,
        target=target.model_copy(update={"threads": target.threads or limits.cpus_per_worker}),
        batch_size=settings.batch_size,
        keep_logits=settings.keep_logits,
        resource=limits.resource,
        place=_place(step.folder, data) if data.streamed else None,
        first=first,
        threads=limits.cpus_per_worker,
    )


def _place(folder: Path, data: Data) -> Place:
    """Return where workers find the images that are not stored; UserError where they can't be read one by one or are others by now."""
    source = streaming.source_of(folder, data)
    if not archives.seekable(source):
        raise UserError(
            f"{source.name} can only be read from its beginning, which workers don't: give a folder, a plain tar or a zip, say store: all, "
            "or leave workers out."
        )
    return Place.of(source, data.params["images"], folder / "artefacts")


def _original(job: Job) -> np.ndarray:
    """Return the answers [N, classes] of the exported ONNX file on this host's CPU, which 2_convert held against the original."""
    judge = Evaluator(replace(job, target=Target(backend="onnxruntime"), resource="CPU"))
    judge.load()
    return judge.probe()


def _kind(job: Job, names: Names) -> Kind:
    """Return evaluation as a kind of work; `names` are the manifest's, where images are not stored."""

    def believed(alike: Mapping[str, Loaded]) -> np.ndarray:
        exact = all(map(_is_exact, alike.values()))
        return probes.believed({name: loaded.probe for name, loaded in alike.items()}, exact, lambda: _original(job))

    return Kind(
        notebook=Accuracy.STEP,
        name="accuracy",
        getting_ready="loading the model",
        on_device=True,
        otherwise="answers the first images otherwise than it should",
        ask=lambda unit: ("evaluate", unit, unit.among(names)),
        believed=believed,
        agree=lambda right, found: probes.agree(right.probe, found, None if _is_exact(right) else parity.COSINE_MIN),
    )


def _is_exact(loaded: Loaded) -> bool:
    return loaded.described["precision"] == "fp32"
