"""Top-1 and top-5 over the images of a run, with intervals, and each image's answer kept."""

import contextlib
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from helpers import backends, dataset, files, imported, label_sets, metrics, paired, scores, shards, streaming
from helpers.evaluation import described, evaluate, why_not
from helpers.label_sets import OtherLabels
from helpers.params import Accuracy, Target
from helpers.records import Comparison, Data, Model, Result
from helpers.scores import Scores
from helpers.steps import Step
from helpers.streaming import Stream
from helpers.tensors import Tensors

GUIDE = "acc_result.json"


def results(step: Step, data: Data, model: Model) -> list[Result]:
    """Evaluate the candidate, then every option, and add finished runs; the candidate's answers also become the guide's acc_result.json.

    A refused model, random weights, unlabelled images and a device that computes nothing have a reason instead of a number.
    """
    others = imported.results(step, data)  # first: what can't be compared is told before hours of evaluation, and nothing is lost
    names = dataset.load(step.folder / data.manifest).names if step.settings.label_sets else []
    labels = label_sets.read_all(step.settings.label_sets, names, model.classes)  # and so are bad files
    copied = {step.folder / one.scores_file for one in others if one.scores_file}
    for stale in {*step.artefacts.glob("scores_*.npz"), step.folder / GUIDE} - copied:  # of an earlier evaluation
        stale.unlink(missing_ok=True)
    found = [*(_result(step, data, model, stage, target) for stage, target in targets(step.settings).items()), *others]
    return [_by_other_labels(step, result, labels) for result in found]


def targets(settings: Accuracy) -> dict[str, Target]:
    """Return what is evaluated, by the stages that results and comparisons name: the candidate, then every option."""
    return {"candidate": settings} | {f"option_{number}": target for number, target in enumerate(settings.options, 1)}


def _by_other_labels(step: Step, result: Result, labels: list[OtherLabels]) -> Result:
    """Return the result with its top-1 by every label set."""
    if not labels or not result.evaluated:
        return result
    kept = scores.load(step.folder / result.scores_file)
    return result.model_copy(update={"label_sets": [label_sets.scored(one, kept) for one in labels]})


def comparisons(step: Step, found: list[Result]) -> list[Comparison]:
    """Return every pair of stages on the images that both answered, those with the candidate first; what was not evaluated is left out."""
    kept = {result.stage: scores.load(step.folder / result.scores_file) for result in found if result.evaluated}
    margin = step.settings.paired_margin_points
    return [
        paired.compare(a, b, *(one.right for one in scores.on_shared(kept[a], kept[b])), margin) for a, b in itertools.combinations(kept, 2)
    ]


def _result(step: Step, data: Data, model: Model, stage: str, target: Target) -> Result:
    """Return what one configuration answers, here or by workers."""
    return (_by_workers if step.settings.workers.engine == "ray" else _here)(step, data, model, stage, target)


def _here(step: Step, data: Data, model: Model, stage: str, target: Target) -> Result:
    folder, started, batch_size = step.folder, time.perf_counter(), step.settings.batch_size
    streams = data.streamed and target.backend != "replay"
    with contextlib.ExitStack() as loaded:
        backend = loaded.enter_context(backends.load(folder, model, streaming.alone(target) if streams else target))
        reason = why_not(backend, data, model, batch_size)
        if reason:
            return _unknown(stage, described(backend), reason)
        told, labels = {}, dataset.load_labels(folder / data.manifest)
        if backend.recorded:
            image, answers = backend.recorded.answers[backend.recorded.batch]
            found = Scores.of(image, labels[image], answers, step.settings.keep_logits)
        else:
            how = backend.expects(data.preprocess)
            images = Stream.of(folder, data, how) if streams else Tensors.of(folder, data).prepared(how)
            if streams:
                shared = images.share_out(backend, target, batch_size)
                loaded.close()  # one model in memory
                backend = loaded.enter_context(backends.load(folder, model, shared))
            found = evaluate(backend, images, labels, batch_size, step.settings.keep_logits)
            told = images.told()
    rounded = bool(backend.recorded and backend.recorded.rounded)
    return _known(step, data, stage, found, started, rounded, **described(backend), **told)


def _by_workers(step: Step, data: Data, model: Model, stage: str, target: Target) -> Result:
    started = time.perf_counter()
    shared = shards.evaluate(step, data, model, stage, target)
    if shared.reason:
        shared.kept.remove()
        return _unknown(stage, shared.described, shared.reason)
    found, told = shared.joined(data.streamed)
    result = _known(step, data, stage, found, started, rounded=False, **told)
    shared.kept.remove()
    return result


def _unknown(stage: str, told: dict, reason: str) -> Result:
    """Return a result without figures."""
    nothing = dict.fromkeys(("top1_pct", "top1_interval_pct", "top5_pct", "scores_file", "scores_sha256"))
    return Result(stage=stage, **told, **nothing, evaluated=False, reason=reason, seconds=0.0)


def _known(step: Step, data: Data, stage: str, found: Scores, started: float, rounded: bool, **told: Any) -> Result:
    """Write each image's answers, for the candidate the guide's file as well, and return the result.

    Where answers were `rounded`, a low place that is nought is arbitrary, and there is no top-5.
    """
    kept = step.artefacts / f"scores_{stage}.npz"
    found.save(kept)
    right = metrics.hits(found.top5, found.label)
    if stage == "candidate":
        write_guide_result(step.folder / GUIDE, right, len(found), data.classes, told["simulated"])
    rounded = rounded and not found.probability[:, -1].all()
    return Result(
        stage=stage,
        **told,
        top1_pct=100 * right[0] / len(found),
        top1_interval_pct=metrics.interval_pct(int(right[0]), len(found)),
        top5_pct=100 * right[-1] / len(found) if len(right) == scores.TOP and not rounded else None,
        scores_file=kept.relative_to(step.folder).as_posix(),
        scores_sha256=files.sha256(kept),
        evaluated=True,
        reason="",
        seconds=time.perf_counter() - started,
        images=len(found),
    )


def write_guide_result(path: Path, right: np.ndarray, images: int, classes: int, simulated: bool = False) -> None:
    """Write acc_result.json as the reference guide's postprocessing does: every value is text, 83.9 % is "83.9%"."""
    title = "Overall statistical evaluation" + (" (simulated device)" if simulated else "")
    value = [{"key": "Number of images", "value": str(images)}, {"key": "Number of classes", "value": str(classes)}]
    value += [{"key": f"Top{k} accuracy", "value": f"{round(100 * float(count) / images, 2)}%"} for k, count in enumerate(right, 1)]
    files.write_text(path, json.dumps({"title": title, "value": value}))
