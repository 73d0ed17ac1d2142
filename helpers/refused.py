"""What is wrong with a converted model that was refused: its answers to a few images beside those of its original."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import backends, class_order, classifier, depth, formats, original, parity
from helpers.backends import Backend
from helpers.original import Answer
from helpers.params import Target
from helpers.records import Check, Data, Model
from helpers.steps import Step
from helpers.tensors import Tensors
from helpers.variants import AS_IS, variants

IMAGES = 2 * parity.IMAGES  # half of them to find an order of the classes, the others to confirm it
CLOSER = 10  # times nearer to the original, by 1 - cosine, than as prepared: else reduced precision would pass for a cause
DEEP = 4  # images that are enough to see where a model parts from another


@dataclass(frozen=True)
class Refused:
    """A configuration that was refused: its name in words, its checks, and what it answers to some images of the run."""

    name: str
    checks: list[Check]
    images: Tensors
    places: np.ndarray  # of the images, int [N]
    answers: np.ndarray  # to them, float32 [N, classes]

    def agreement(self, expected: np.ndarray, chosen: slice = slice(None)) -> Check:
        """Return how the chosen answers agree with expected ones [N, classes], by the rules of the checks that failed."""
        found, cosine_min = self.answers[chosen], None if self.checks[0].exact else parity.COSINE_MIN
        names = {"reference": "the original", "candidate": self.name}
        return parity.judge(names, len(found), expected, [(np.arange(len(found)), found)], cosine_min)


def examine(step: Step, data: Data, model: Model) -> list[str]:
    """Return what is wrong with each configuration that a check refused, one sentence each; empty where no cause explains it.

    Where the ONNX file itself is refused, nothing that was made of it is examined.
    """
    broken = {check.candidate for check in model.checks if not check.passed}
    if not broken:
        return []
    said, images = [], Tensors.of(step.folder, data)
    plain = Target(threads=step.settings.threads)  # the ONNX file as it is
    with tempfile.TemporaryDirectory() as temporary:
        asked = original.load(model, images[:1], Path(temporary))
        for target in (plain, step.settings, *step.settings.options):
            with backends.load(step.folder, model, target) as backend:
                if backend.identity not in broken:
                    continue
                broken.remove(backend.identity)
                said.append(_cause(backend, model, images, asked, step.folder if target is plain else None))
            if target is plain:
                break
    return [sentence for sentence in said if sentence]


def _cause(backend: Backend, model: Model, images: Tensors, asked: Answer | None, folder: Path | None) -> str:
    """Return what is wrong with a configuration, "" where nothing explains it; `folder` where it is the ONNX file itself."""
    name = "The converted model" if folder else backend.identity
    checks = [check for check in model.checks if check.candidate == backend.identity]
    if checks[0].batch == 1 and checks[0].passed:
        return _of_batches(name, checks)
    if not asked or not checks[0].images:  # it does not run, or what it gives is no answer: the refusal says so
        return ""
    refused = Refused(name, checks, images, *_answers(backend, images, checks[0].batch))
    expected = asked(images[refused.places])
    said = _of_class_order(refused, expected) or _of_preparation(refused, expected, asked)
    return said or (_of_layers(folder, model, images, checks[0].exact) if folder else "")


def _answers(backend: Backend, images: Tensors, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places of some images and what the backend answers to them, by batches of a size that was compared."""
    if backend.recorded:
        places, answers = backend.recorded.answers[batch_size]
        return places[:IMAGES], answers[:IMAGES]
    taken = images.prepared(backend.expects(images.how))[:IMAGES]
    starts = range(0, len(taken), batch_size)
    filled = [np.resize(taken[start : start + batch_size], (batch_size, *taken.shape[1:])) for start in starts]
    return np.arange(len(taken)), np.concatenate([backend(batch) for batch in filled])[: len(taken)]


def _of_batches(name: str, checks: list[Check]) -> str:
    """Return that only batches are answered wrongly, not images alone."""
    failed = [check for check in checks if not check.passed]
    sizes = ", ".join(str(check.batch) for check in failed)
    alone, worst = checks[0].max_abs_diff, max((check.max_abs_diff for check in failed if check.max_abs_diff is not None), default=None)
    than = f"by {worst:.2g}" if worst is not None else "or it does not run"
    return (
        f"{name} is wrong only at batch sizes above 1 ({sizes}): an image alone differs from the original's log-probabilities by at "
        f"most {alone:.1e}, a batch {than}; the export fixed the batch size or mixes images: export again with a dynamic batch axis."
    )


def _of_class_order(refused: Refused, expected: np.ndarray) -> str:
    """Return that the classes come in another order: found on every second image, it must hold for the probabilities of the others."""
    scores = [parity.centred_log(answers[::2]) for answers in (refused.answers, expected)]
    moved = class_order.between(*scores)  # class of the candidate -> class of the original
    others = slice(1, None, 2)
    if (moved == np.arange(len(moved))).all() or not refused.agreement(expected[others][:, moved], others).passed:
        return ""
    wrong, remedy = class_order.named(moved)
    answers, right = refused.answers.argmax(axis=1), expected.argmax(axis=1)
    as_is, otherwise = int((answers == right).sum()), int((moved[answers] == right).sum())
    return (
        f"{refused.name} has its class order {wrong}: of {len(right)} images it answers {as_is} as the original does as it is, {otherwise} "
        f"{remedy}, with the same probabilities: correct its last layer and convert again."
    )


def _of_preparation(refused: Refused, expected: np.ndarray, asked: Answer) -> str:
    """Return that the model's own normalisation is another than the run's: the original answers alike when it is given such images."""
    plain = refused.agreement(expected)
    for variant in variants(refused.images.how):
        if variant.key == AS_IS or variant.stored != AS_IS:  # of pixels that were made otherwise nothing is inside a model
            continue
        found = refused.agreement(asked(refused.images.prepared(variant.how)[refused.places]))
        if found.passed and CLOSER * (1 - found.cosine_min) <= 1 - plain.cosine_min:
            return (
                f"{refused.name} prepares its input wrongly: on {formats.counted(found.images, 'image')} it answers as the original does "
                f"with '{variant.words}' (cosine {found.cosine_min:.4f}, {plain.cosine_min:.4f} as prepared): correct what "
                "its first layers or AIPP do to the input and convert again."
            )
    return ""


def _of_layers(folder: Path, model: Model, images: Tensors, exact: bool) -> str:
    """Return the first layer where the ONNX file parts from the original, and what is wrong with its weights, "" where none does."""
    given = classifier.load(model.params["model"], model.params["checkpoint"]) if model.stages[0].format == "pytorch" else None
    layer = depth.parting(depth.compare(*depth.stages(folder, model, None, Target()), images[:DEEP]), exact)
    if not layer:
        return ""
    wrong = depth.suspicious_weights(folder / model.stage("onnx").file, layer, given)
    place = f"{layer.module} ({layer.operator}; cosine {layer.cosine:.2f})"
    return f"The converted model parts from the original first at {place}{f': {wrong}' if wrong else ''}; convert again."
