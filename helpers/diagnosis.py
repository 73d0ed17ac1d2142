"""What is wrong with a model that fails: said only where numbers show it, with these numbers and with what to do."""

from collections.abc import Mapping

from helpers import class_order, formats, refused, scores
from helpers.records import Comparison, Data, Model, Result
from helpers.steps import Step
from helpers.what_if import Tried

GAIN_POINTS = 5.0  # top-1 must be better by so much at least, at 95 % confidence, for another preparation to be called the right one
LEVEL = 0.05  # of McNemar's test, over all variants
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
        return f"The images seem to be prepared wrongly: {_top1(better[key])}: {_remedy(key, data)}."
    swapped, one = data.preprocess_differs, comparisons.get("exchanged")
    how = data.preprocess
    if (swapped.get("mean"), swapped.get("std")) != (str(how.std), str(how.mean)) or (one and one.verdict == "WORSE"):
        return ""
    measured = f" ({_top1(one)})" if one else ""
    return f"The images are prepared with mean and std exchanged{measured}: {_remedy('exchanged', data)}."


def _much_better(one: Comparison, variants: int) -> bool:
    return one.difference_interval_pct[0] >= GAIN_POINTS and one.p_value < LEVEL / variants


def _top1(one: Comparison) -> str:
    """Return top-1 under a variant and as prepared."""
    images = one.both_right + one.only_a + one.only_b + one.both_wrong
    as_is, otherwise = (100 * (one.both_right + only) / images for only in (one.only_a, one.only_b))
    return f"with '{one.b}' top-1 on {formats.counted(images, 'image')} is {otherwise:.1f} % instead of {as_is:.1f} %"


def _remedy(key: str, data: Data) -> str:
    """Return what to correct, with what the model's own config says of it."""
    if key not in REMEDIES:
        return "prepare the images by the decoder that the model was trained with"
    config = [f"{name} {data.preprocess_differs[name]}" for name in REMEDIES[key] if name in data.preprocess_differs]
    says = f", of which the model's own config says {' and '.join(config)}" if config else ""
    return f"correct {' and '.join(REMEDIES[key])} in the parameter preprocess{says}"
