"""Top-1 and top-5 over the images of a run, with intervals, and each image's answer kept."""

import contextlib
import json
import time
from pathlib import Path

import numpy as np
from scipy import stats
from tqdm import tqdm

from helpers import backends, dataset, files, paired, streaming
from helpers.backends import Backend
from helpers.errors import UserError
from helpers.params import Target
from helpers.progress import announce
from helpers.records import Comparison, Data, Interval, Model, ReferenceAccuracy, Result, Verdict
from helpers.steps import Step
from helpers.streaming import Stream
from helpers.tensors import Tensors

TOP = 5
GUIDE = "acc_result.json"


def evaluate(backend: Backend, images: Tensors | Stream, batch_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (places int32 [N], classes int32 [N, 5], probabilities float32 [N, 5]): the five best answers for every image."""
    started = time.perf_counter()
    places, classes, probabilities = [], [], []
    with tqdm(total=len(images), desc=f"accuracy on {backend.name}", unit="image") as progress:
        for place, batch in images.batches(batch_size):
            full = batch if len(batch) == batch_size else np.resize(batch, (batch_size, *batch.shape[1:]))  # only this size was compared
            answers = backend(full)[: len(batch)]
            if not np.isfinite(answers).all():
                raise UserError(f"{backend.identity} gives values that are not finite: run 2_convert again, and see the device's health.")
            best, values = top_k(answers)
            if not places:
                announce(f"accuracy on {len(images)} images", (time.perf_counter() - started) * len(images) / len(batch))
            places.append(place)
            classes.append(best)
            probabilities.append(values)
            progress.update(len(batch))
    return np.concatenate(places), np.concatenate(classes), np.concatenate(probabilities)


def top_k(probabilities: np.ndarray, k: int = TOP) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best classes int32 [N, k] and their probabilities; of equal ones the lower class index comes first."""
    k = min(k, probabilities.shape[1])
    classes = np.argsort(-probabilities, axis=1, kind="stable")[:, :k].astype(np.int32)
    return classes, np.take_along_axis(probabilities, classes, axis=1).astype(np.float32)


def hits(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how many images have their label among the first 1, 2, ... k answers, int64 [k]."""
    return (classes == labels[:, None]).cumsum(axis=1).astype(bool).sum(axis=0)


def interval_pct(right: int, images: int) -> Interval:
    """Return the 95 % Wilson score interval of a share, in percent (E. B. Wilson, JASA 22, 1927)."""
    interval = stats.binomtest(right, images).proportion_ci(0.95, method="wilson")
    return 100 * interval.low, 100 * interval.high


def results(step: Step, data: Data, model: Model) -> list[Result]:
    """Evaluate the candidate, then every option; the candidate's answers also become the reference guide's acc_result.json.

    A refused model, random weights, unlabelled images and a device that computes nothing have a reason instead of a number.
    """
    for stale in (*step.artefacts.glob("scores_*.npz"), step.folder / GUIDE):  # of an earlier evaluation
        stale.unlink(missing_ok=True)
    targets = {"candidate": step.settings} | {f"option_{number}": target for number, target in enumerate(step.settings.options, 1)}
    return [_result(step, data, model, stage, target) for stage, target in targets.items()]


def comparisons(step: Step, found: list[Result]) -> list[Comparison]:
    """Return each option against the candidate, by their stages, on the images that both answered; what was not evaluated is left out."""
    evaluated = [result for result in found if result.evaluated]
    if not evaluated or evaluated[0] is not found[0]:
        return []
    images = [_right(step.folder / result.scores_file) for result in evaluated]
    return [
        paired.compare(found[0].stage, other.stage, *_on_shared(images[0], right), step.settings.paired_margin_points)
        for other, right in zip(evaluated[1:], images[1:], strict=True)
    ]


def _right(scores: Path) -> dict[int, bool]:
    """Return which images were answered right."""
    with np.load(scores, allow_pickle=False) as read:
        return dict(zip(read["image"].tolist(), (read["top5"][:, 0] == read["label"]).tolist(), strict=True))


def _on_shared(first: dict[int, bool], second: dict[int, bool]) -> tuple[np.ndarray, np.ndarray]:
    shared = sorted(first.keys() & second.keys())
    return np.array([first[image] for image in shared], bool), np.array([second[image] for image in shared], bool)


def _result(step: Step, data: Data, model: Model, stage: str, target: Target) -> Result:
    folder, started, batch_size = step.folder, time.perf_counter(), step.settings.batch_size
    streams = data.streamed and target.backend != "replay"
    with contextlib.ExitStack() as loaded:
        backend = loaded.enter_context(backends.load(folder, model, streaming.alone(target) if streams else target))
        reason = _why_not(backend, data, model, batch_size)
        if reason:
            unknown = dict.fromkeys(("top1_pct", "top1_interval_pct", "top5_pct", "scores_file", "scores_sha256"))
            return Result(stage=stage, **_described(backend), **unknown, evaluated=False, reason=reason, seconds=0.0)
        told = {}
        if backend.recorded:
            image, answers = backend.recorded.answers[backend.recorded.batch]
            found = image, *top_k(answers)
        else:
            how = backend.expects(data.preprocess)
            images = Stream(folder, data, how) if streams else Tensors.of(folder, data).prepared(how)
            if streams:
                shared = images.share_out(backend, target, batch_size)
                loaded.close()  # one model in memory
                backend = loaded.enter_context(backends.load(folder, model, shared))
            found = evaluate(backend, images, batch_size)
            told = images.told()
    return Result(
        stage=stage,
        **_described(backend),
        **told,
        **_scored(step, data, stage, backend, *found),
        evaluated=True,
        reason="",
        seconds=time.perf_counter() - started,
        images=len(found[0]),
    )


def _described(backend: Backend) -> dict:
    """Return what a result says of who answered."""
    return {
        "backend": backend.describe(),
        "device": backend.device,
        "precision": backend.precision,
        "simulated": backend.simulated,
        "remarks": backend.recorded.remarks if backend.recorded else [],
    }


def _scored(
    step: Step, data: Data, stage: str, backend: Backend, image: np.ndarray, classes: np.ndarray, probabilities: np.ndarray
) -> dict:
    """Write each image's answers, for the candidate the guide's file as well, and return what a result says of them all."""
    labels = dataset.load(step.folder / data.manifest).labels[image]
    scores = step.artefacts / f"scores_{stage}.npz"
    with files.whole(scores) as temporary:
        np.savez_compressed(temporary, image=image, label=labels, top5=classes, probability=probabilities)
    right = hits(classes, labels)
    if stage == "candidate":
        write_guide_result(step.folder / GUIDE, right, len(image), data.classes, backend.simulated)
    rounded = backend.recorded and backend.recorded.rounded and not probabilities[:, -1].all()
    return {
        "top1_pct": 100 * right[0] / len(image),
        "top1_interval_pct": interval_pct(int(right[0]), len(image)),
        "top5_pct": 100 * right[-1] / len(image) if len(right) == TOP and not rounded else None,
        "scores_file": scores.relative_to(step.folder).as_posix(),
        "scores_sha256": files.sha256(scores),
    }


def _why_not(backend: Backend, data: Data, model: Model, batch_size: int) -> str | None:
    """Return why there is no accuracy to be had, None when there is."""
    refusal = backend.refusal(model, [batch_size])
    reasons = {
        f"refused, {refusal}": refusal,
        "random weights": model.random_weights,
        "the images have no labels": not data.labels_source,
        "this device computes nothing": not backend.computes,
        "no answers to images were recorded": backend.recorded and not backend.recorded.answers,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def write_guide_result(path: Path, right: np.ndarray, images: int, classes: int, simulated: bool = False) -> None:
    """Write acc_result.json as the reference guide's postprocessing does: every value is text, 83.9 % is "83.9%"."""
    title = "Overall statistical evaluation" + (" (simulated device)" if simulated else "")
    value = [{"key": "Number of images", "value": str(images)}, {"key": "Number of classes", "value": str(classes)}]
    value += [{"key": f"Top{k} accuracy", "value": f"{round(100 * float(count) / images, 2)}%"} for k, count in enumerate(right, 1)]
    files.write_text(path, json.dumps({"title": title, "value": value}))


def judge(candidate: Result, reference: ReferenceAccuracy | None, margin_points: float) -> tuple[Verdict, str]:
    """Return the verdict against a reference that is only a number, and the sentence that says it.

    PASS when the whole interval lies above reference - margin, FAIL when the whole interval lies below it.
    """
    if not candidate.evaluated:
        return "NONE", f"Accuracy was not evaluated: {candidate.reason}."
    low, high = candidate.top1_interval_pct
    said = f"Top-1 is {candidate.top1_pct:.2f} % (95 % interval {low:.2f} to {high:.2f})"
    if candidate.simulated:
        return "NONE", f"{said} on {candidate.device}: a simulator answered, so this is no verdict."
    if reference is None:
        return "NONE", f"{said}; there is no reference to compare with."
    floor = reference.top1_pct - margin_points
    verdict = "PASS" if low >= floor else "FAIL" if high < floor else "INCONCLUSIVE"
    points = f"{margin_points:g} point{'' if margin_points == 1 else 's'}"
    meaning = {
        "PASS": f"less than {points} below",
        "FAIL": f"more than {points} below",
        "INCONCLUSIVE": f"too few images to tell whether it is less than {points} below",
    }[verdict]
    return verdict, f"{said}: {meaning} the reference, {reference.top1_pct:.2f} % ({reference.name})."
