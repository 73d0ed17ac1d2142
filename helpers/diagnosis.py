"""What is wrong with a model that fails: said only where numbers show it, with these numbers and with what to do."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helpers import accuracy, class_order, depth, export, formats, layers, refused, scores, sources
from helpers.elements import Group, Sentence
from helpers.errors import UserError
from helpers.params import Target
from helpers.records import Comparison, Data, Model, Result
from helpers.steps import Step
from helpers.tensors import Tensors
from helpers.what_if import Tried

GAIN_POINTS = 5.0  # top-1 must be better by so much at least, at 95 % confidence, for another preparation to be called the right one
LEVEL = 0.05  # of McNemar's test, over all variants
DEEP = 8  # images that two stages are compared on layer by layer
REMEDIES = {  # variant -> the keys of the parameter preprocess that decide it
    "resizer": ("resizer",),
    "interpolation": ("interpolation",),
    "crop": ("resize_short",),
    "channels": ("channel_order",),
    "unit": ("mean", "std"),
    "exchanged": ("mean", "std"),
}


def examine(step: Step, data: Data, model: Model, results: list[Result], tried: Tried) -> list[str]:
    """Return what is wrong, one sentence each; empty where nothing is, or where no cause explains it.

    A refused model is examined on a few images. Nothing here is an accuracy or a speed of it.
    """
    said = [_class_order(step, model, results), _preparation(data, tried.comparisons), *refused.examine(step, data, model)]
    return [sentence for sentence in said if sentence]


def in_words(found: list[str]) -> Group:
    """Return each of the sentences, or that nothing was found."""
    return Group([Sentence(one, "fail") for one in found] or [Sentence("Nothing of this kind shows.")])


def partings(step: Step, data: Data, model: Model, comparisons: list[Comparison]) -> Group:
    """Return the layer where each two stages part that are not EQUIVALENT, then each folder of `.npy` in compare_with."""
    folders = [given for given in step.settings.compare_with if not sources.run_folder(given)]
    stages = accuracy.targets(step.settings)
    pairs = [one for one in comparisons if one.verdict != "EQUIVALENT" and stages.keys() >= {one.a, one.b}]
    return Group([*(where_they_part(step, data, model, one) for one in pairs), *(_of_folder(step, data, model, one) for one in folders)])


def where_they_part(step: Step, data: Data, model: Model, comparison: Comparison) -> Group | Sentence:
    """Return the layer where two stages of the run part, on images that they answer otherwise; a sentence where it can't be told."""
    a, b = (accuracy.targets(step.settings)[stage] for stage in (comparison.a, comparison.b))
    names = f"{comparison.a.replace('_', ' ')} and {comparison.b.replace('_', ' ')}"
    chosen, said = _flipped(step, data, comparison)
    try:
        probes = depth.stages(step.folder, model, a, b)
        found = depth.compare(*probes, Tensors.of(step.folder, data)[chosen])
    except UserError as error:
        return Sentence(f"Where {names} part can't be told: {error}")
    return Group([Sentence(f"{names.capitalize()} {said}."), depth.shown(found, *probes)])


def _of_folder(step: Step, data: Data, model: Model, given: str) -> Group | Sentence:
    """Return the layer where values that were brought part from ours, of the first images of the run."""
    images = Tensors.of(step.folder, data)[:DEEP]
    ours = layers.of_onnx(export.read(step.folder / model.stage("onnx").file), Target(threads=step.settings.threads))
    try:
        theirs = layers.of_folder(sources.existing("compare_with", given), ours.values, next(ours.run(images)))
        found = depth.compare(ours, theirs, images)
    except UserError as error:
        return Sentence(f"Where {Path(given).name} parts from {ours.name} can't be told: {error}")
    first = Sentence(f"{theirs.name} against {ours.name}, layer by layer on the first images.")
    return Group([first, depth.shown(found, ours, theirs)])


def _flipped(step: Step, data: Data, comparison: Comparison) -> tuple[np.ndarray, str]:
    """Return places in the store of images with different answers, the first ones of the store where there are none, and says which."""
    kept = (scores.load(step.artefacts / f"scores_{stage}.npz") for stage in (comparison.a, comparison.b))
    a, b = scores.on_shared(*kept)
    flipped = a.image[a.answer != b.answer]
    said = f"answer {formats.counted(len(flipped), 'image')} otherwise"
    if data.streamed or not len(flipped):  # of a streamed run the store has only a sample, in places of its own
        return np.arange(min(DEEP, data.images)), f"{said}; layer by layer on the first images of the store"
    return flipped[:DEEP], f"{said}; layer by layer on {min(DEEP, len(flipped))} of them"


def _class_order(step: Step, model: Model, results: list[Result]) -> str:
    """Return that the labels are right in another order of the classes, by what the first stage with an accuracy answered."""
    evaluated = next((result for result in results if result.evaluated), None)
    if not evaluated:
        return ""
    kept = scores.load(step.folder / evaluated.scores_file)
    return class_order.against_labels(kept.answer, kept.label, model.classes)


def _preparation(data: Data, comparisons: Mapping[str, Comparison]) -> str:
    """Return that the images are prepared wrongly: top-1 is much better otherwise, or mean and std are the config's std and mean."""
    better = {key: one for key, one in comparisons.items() if _much_better(one, len(comparisons))}
    if better:
        key = max(better, key=lambda key: better[key].only_b - better[key].only_a)
        as_is, otherwise, images = _top1(better[key])
        return (
            f"The images seem to be prepared wrongly: with '{better[key].b}' top-1 on {images} is {otherwise:.1f} % instead of "
            f"{as_is:.1f} %: {_remedy(key, data)}."
        )
    return _exchanged(data, comparisons.get("exchanged"))


def _exchanged(data: Data, tried: Comparison | None) -> str:
    """Return that mean and std are the config's std and mean; "" also where top-1 shows that the config is wrong.

    Top-1 need not show it: a network that normalises its features may take one for the other.
    """
    how, config = data.preprocess, data.preprocess_differs
    if (config.get("mean"), config.get("std")) != (str(how.std), str(how.mean)) or (tried and tried.verdict == "WORSE"):
        return ""
    measured = ""
    if tried:
        as_is, otherwise, images = _top1(tried)
        measured = f" (top-1 on {images} is {otherwise:.1f} % as the config says, {as_is:.1f} % as prepared)"
    return (
        f"The images are prepared with mean and std exchanged: the model's own config has mean {config['mean']} and std {config['std']}"
        f"{measured}: correct mean and std in the parameter preprocess."
    )


def _much_better(one: Comparison, variants: int) -> bool:
    return one.difference_interval_pct[0] >= GAIN_POINTS and one.p_value < LEVEL / variants


def _top1(one: Comparison) -> tuple[float, float, str]:
    """Return top-1 in percent as prepared and under a variant, and on how many images."""
    images = one.both_right + one.only_a + one.only_b + one.both_wrong
    as_is, otherwise = (100 * (one.both_right + only) / images for only in (one.only_a, one.only_b))
    return as_is, otherwise, formats.counted(images, "image")


def _remedy(key: str, data: Data) -> str:
    """Return what to correct, with what the model's own config says of it."""
    if key not in REMEDIES:
        return "prepare the images by the decoder that the model was trained with"
    config = [f"{name} {data.preprocess_differs[name]}" for name in REMEDIES[key] if name in data.preprocess_differs]
    says = f", of which the model's own config says {' and '.join(config)}" if config else ""
    return f"correct {' and '.join(REMEDIES[key])} in the parameter preprocess{says}"
