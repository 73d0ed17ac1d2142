"""Whether two runs are alike enough to be compared, and in what they are not: then no figure of one is divided by the other's."""

import re
from dataclasses import dataclass

from helpers import seen
from helpers.embedded import Run
from helpers.records import Accuracy, Data, Model, Region, Series, Sweep

REGIONS: tuple[Region, ...] = ("compute", "device", "host", "end_to_end")


@dataclass(frozen=True)
class Unlike:
    """Why two runs A and B can't be compared, as phrases: at all, in accuracy, in speed. `images` says how their images differ.

    All are empty where they can. Runs that saw other images have no verdict on accuracy, but may be set beside each other as two samples.
    """

    whole: list[str]
    accuracy: list[str]
    speed: list[str]
    images: str

    @property
    def in_accuracy(self) -> list[str]:
        """Return why there is no verdict on accuracy."""
        return [*self.whole, *self.accuracy, *([f"other images or pixels: {self.images}"] if self.images else [])]

    @property
    def in_speed(self) -> list[str]:
        """Return why there is no ratio of speeds."""
        return [*self.whole, *self.speed]


def of(a: Run, b: Run) -> Unlike:
    """Return what stands against comparing two runs; another device, runtime, precision or number of threads does not."""
    whole = [*_refused(a, b), *_weights(a.records[Model], b.records[Model])]
    images = _lettered(seen.differs(a.records[Data], b.records[Data]))
    return Unlike(whole, [*_classes(a, b), *_unevaluated(a, b)], _speed(a, b), images)


def region(a: Run, b: Run) -> Region | None:
    """Return the region in which two runs can be compared: that of both headlines, else the first that both measured."""
    sweeps = [run.records[Sweep] for run in (a, b)]
    if sweeps[0].region == sweeps[1].region:
        return sweeps[0].region
    measured = [{region for row in sweep.one("candidate").rows for region in row.regions} for sweep in sweeps]
    return next((region for region in REGIONS if region in measured[0] & measured[1]), None)


def _lettered(phrase: str) -> str:
    """Return a phrase that tells of here and there with A and B in their places."""
    phrase = phrase.removeprefix("their images or labels differ, ")
    return re.sub(r" there(?=[\s,;)]|$)", " in B", re.sub(r" here(?=[\s,;)]|$)", " in A", phrase))


def _each(a: Run, b: Run) -> tuple[tuple[str, Run], tuple[str, Run]]:
    return ("A", a), ("B", b)


def _refused(a: Run, b: Run) -> list[str]:
    refusals = [(letter, run.records[Model].refusal()) for letter, run in _each(a, b)]
    return [f"the model of {letter} was refused ({refusal})" for letter, refusal in refusals if refusal]


def _weights(a: Model, b: Model) -> list[str]:
    """Return that two runs are of other weights: no file of the one's chain is in the other's. Weights drawn at random have no file."""
    links = [{stage.sha256 or (model.name, stage.file) for stage in model.stages} for model in (a, b)]
    if links[0] & links[1]:
        return []
    first = [(model.stages[0].sha256 or "")[:12] for model in (a, b)]
    names = [f"{model.name}, {model.stages[0].file} {start}".rstrip() for model, start in zip((a, b), first, strict=True)]
    return [f"other model weights ({names[0]} in A; {names[1]} in B)"]


def _classes(a: Run, b: Run) -> list[str]:
    (many, few), names = [(run.records[Data].classes) for run in (a, b)], [run.records[Data].class_names for run in (a, b)]
    if many != few:
        return [f"other classes ({many:,} in A, {few:,} in B)"]
    if not all(names) or names[0] == names[1]:
        return []
    at = next((at for at, (mine, theirs) in enumerate(zip(*names, strict=False)) if mine != theirs), None)
    told = f"{at} is {names[0][at]} in A and {names[1][at]} in B" if at is not None else f"{len(names[0])} names in A, {len(names[1])} in B"
    return [f"other classes ({told})"]


def _unevaluated(a: Run, b: Run) -> list[str]:
    results = [(letter, run.records[Accuracy].results[0]) for letter, run in _each(a, b)]
    none = [f"{letter} was not evaluated ({result.reason})" for letter, result in results if not result.evaluated]
    return none + [f"a simulator answered in {letter}" for letter, result in results if result.simulated]


def _speed(a: Run, b: Run) -> list[str]:
    candidates = [(letter, run.records[Sweep].one("candidate")) for letter, run in _each(a, b)]
    found = [reason for letter, series in candidates for reason in _own(letter, series)]
    sizes = [run.records[Data].preprocess.crop for run in (a, b)]
    if sizes[0] != sizes[1]:
        found.append(f"other input size ({sizes[0]} pixels in A, {sizes[1]} in B)")
    shared = region(a, b)
    if shared is None:
        found.append(f"other region ({a.records[Sweep].region} time in A, {b.records[Sweep].region} time in B)")
    elif not found and not set.intersection(*({row.batch for row in series.rows if shared in row.regions} for _, series in candidates)):
        batches = [f"{', '.join(str(row.batch) for row in series.rows)} in {letter}" for letter, series in candidates]
        found.append(f"no batch size in common ({'; '.join(batches)})")
    return found


def _own(letter: str, series: Series) -> list[str]:
    """Return what is wrong with the figures of one run."""
    if series.kind == "simulated":
        return [f"{letter} ran on a simulated device"]
    if not any(row.regions for row in series.rows):
        return [f"{letter} has no figure ({next((row.error for row in series.rows if row.error), 'nothing was measured')})"]
    return [f"{letter}: {series.unproven}"] if series.unproven else []
