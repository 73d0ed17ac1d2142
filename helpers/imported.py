"""Finished runs beside this one: their kept answers to the same images, compared without evaluating anything again."""

import shutil
from pathlib import Path

from helpers import dataset, files, seen, sources, steps
from helpers.errors import UserError
from helpers.records import Accuracy, Data, Result
from helpers.steps import Step


def results(step: Step, data: Data) -> list[Result]:
    """Return the candidates of the finished runs in `compare_with` as results of stage run_1, run_2, ...; their scores are copied.
    Folders of the same name are told apart by that number.

    What a run says of its own candidate stays: refused, not evaluated, simulated. Folders in `compare_with` that are no runs are left to
    others. UserError for this run itself, a run named twice, scores that are not those of their record, other pixels or classes than
    this run's.
    """
    folders = [folder.resolve() for other in step.settings.compare_with if (folder := sources.run_folder(other))]
    for at, folder in enumerate(folders):
        if folder in (step.folder.resolve(), *folders[:at]):
            raise UserError(f"compare_with names {folder.name}, which is this run or named twice: leave it out.")
    names = [folder.name for folder in folders]
    called = [f"{name} ({number})" if names.count(name) > 1 else name for number, name in enumerate(names, 1)]
    return [
        _result(step, data, folder, f"run_{number}", name) for number, (folder, name) in enumerate(zip(folders, called, strict=True), 1)
    ]


def _result(step: Step, data: Data, run: Path, stage: str, name: str) -> Result:
    """Return another run's candidate as a stage of this run, which is called by the name."""
    theirs, accuracy = steps.load(Data, run), steps.load(Accuracy, run)
    if accuracy.inputs.get("data") != theirs.fingerprint:
        raise UserError(f"accuracy.json of run {run.name} was made from another data.json: run 3_accuracy of {run.name} again.")
    _check_alike(step.folder, data, run, theirs)
    found = accuracy.results[0]
    named = {"stage": stage, "imported": name}
    if not found.scores_file:
        return found.model_copy(update=named)
    if not (run / found.scores_file).is_file() or files.sha256(run / found.scores_file) != found.scores_sha256:
        raise UserError(f"the scores of run {run.name} are not those that its accuracy.json was written for: run 3_accuracy of it again.")
    kept = step.artefacts / f"scores_{stage}.npz"
    with files.whole(kept) as temporary:
        shutil.copyfile(run / found.scores_file, temporary)
    return found.model_copy(update={**named, "scores_file": kept.relative_to(step.folder).as_posix()})


def _check_alike(folder: Path, data: Data, run: Path, theirs: Data) -> None:
    """Raise UserError when another run did not see this run's pixels, or had to tell other classes."""
    listed = folder / data.manifest, run / theirs.manifest
    manifests = (dataset.load(listed[0]), dataset.load(listed[1])) if all(path.is_file() for path in listed) else None
    difference = seen.differs(data, theirs, manifests)
    if not difference and data.classes != theirs.classes:
        difference = f"this model tells {data.classes:,} classes and that one {theirs.classes:,}"
    if difference:
        raise UserError(
            f"this run can't be compared with run {run.name} image by image ({difference}): prepare both alike, or take it "
            "out of compare_with."
        )
