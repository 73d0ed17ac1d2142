"""Is the converted model the same model? Compared on real images, at every batch size and every place in the batch.

Probabilities can't be compared with an absolute tolerance: of a model with random weights they are all alike and tiny. So the
difference is that of log-probabilities with the mean over classes removed (logits but for a constant), and it is held
against how much those differ between images.
"""

import time
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from helpers.errors import UserError, first_line
from helpers.progress import announce
from helpers.records import Check

IMAGES = 16  # distinct images at least
TOLERANCE = 1e-3  # absolute, and the margin within which two best classes may change places
SPREAD_SHARE = 0.01
COSINE_MIN = 0.99  # for reduced precision where nothing else can judge it: the weights are random, or there are no labels
COSINE_LABELLED = 0.8  # where its accuracy will judge it, image by image, and only a broken model is to be stopped
TINY = 1e-30  # below it float32 probabilities lose their digits
COARSE = 1e-6  # what six decimals of text resolve, and about what fp16 does: below it reduced precision answers nought

Classifier = Callable[[np.ndarray], np.ndarray]


def batch_sizes(sweep: list[int]) -> list[int]:
    """Return the batch sizes to check: 1, those of the sweep, and one that is in neither."""
    other = next(size for size in (3, 5, 7, 2, *range(9, 99)) if size not in sweep)
    return sorted({1, other, *sweep})


def centred_log(probabilities: np.ndarray, floor: float = TINY) -> np.ndarray:
    """Return log-probabilities [N, classes] in float64 with the mean over classes removed; below `floor` all are alike."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), floor))
    return logs - logs.mean(axis=1, keepdims=True)


def spread(scores: np.ndarray) -> float:
    """Return the median, over pairs of images, of their largest difference in any class."""
    first, second = np.triu_indices(len(scores), 1)
    return float(np.median(np.abs(scores[first] - scores[second]).max(axis=1)))


def compare(
    reference_name: str,
    reference: Classifier,
    candidate_name: str,
    candidate: Classifier,
    images: np.ndarray,
    sizes: list[int],
    cosine_min: float | None = None,
    taken: np.ndarray | None = None,
) -> list[Check]:
    """Return one check for each batch size; the reference runs at batch 1. `cosine_min`: of reduced precision, None for fp32.

    `taken` are the same images as the candidate takes them, where that is otherwise than the reference does.

    Every image stands at every position of the batch once, so that an export that mixes up or fixes positions is seen.
    """
    if len(images) < IMAGES:
        raise UserError(f"{len(images)} images are too few to compare models on: {IMAGES} or more are needed.")
    images = images[:IMAGES]
    taken = images if taken is None else taken[:IMAGES]
    started = time.perf_counter()
    expected = np.concatenate([reference(image[None]) for image in images])
    per_image = (time.perf_counter() - started) / IMAGES
    calls = [(size, shift) for size in sizes for shift in range(IMAGES)]
    announce(f"comparing {candidate_name} at batch sizes {sizes}", per_image * IMAGES * sum(sizes))
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {size: [] for size in sizes}
    errors: dict[int, str] = {}
    for size, shift in tqdm(calls, desc=f"compare {candidate_name}", unit="batch"):
        if size in errors:
            continue
        chosen = (shift + np.arange(size)) % IMAGES
        try:
            found[size].append((chosen, candidate(np.ascontiguousarray(taken[chosen]))))
        except Exception as error:  # runtimes share no base class for what they raise
            errors[size] = first_line(error)
    names = {"reference": reference_name, "candidate": candidate_name}
    return [
        _failed(names, size, f"at batch {size} {candidate_name} does not run: {errors[size]}")
        if size in errors
        else judge(names, size, expected, found[size], cosine_min)
        for size in sizes
    ]


def compare_recorded(
    reference_name: str,
    reference: Classifier,
    candidate_name: str,
    answers: np.ndarray,
    images: np.ndarray,
    batch: int,
    cosine_min: float | None,
) -> Check:
    """Return the check of answers that were recorded elsewhere at one batch size: probabilities [N, classes] to N images."""
    if len(images) < IMAGES:
        raise UserError(f"{len(images)} recorded answers are too few to compare models by: {IMAGES} or more are needed.")
    expected = np.concatenate([reference(image[None]) for image in images])
    names = {"reference": reference_name, "candidate": candidate_name}
    found = judge(names, len(images), expected, [(np.arange(len(images)), answers)], cosine_min)
    return found.model_copy(update={"batch": batch, "reason": found.reason.replace(f"at batch {len(images)} ", "")})


def judge(
    names: dict[str, str], batch: int, expected: np.ndarray, found: list[tuple[np.ndarray, np.ndarray]], cosine_min: float | None
) -> Check:
    """Return the check of one batch size: `expected` [images, classes], `found` pairs (image indices [B], probabilities)."""
    chosen = np.concatenate([indices for indices, _ in found])
    shapes = {probabilities.shape for _, probabilities in found}
    if shapes != {(batch, expected.shape[1])}:
        return _failed(
            names, batch, f"at batch {batch} {names['candidate']} gives {sorted(shapes)} instead of {(batch, expected.shape[1])}"
        )
    got = np.concatenate([probabilities for _, probabilities in found])
    if not np.isfinite(got).all():
        return _failed(names, batch, f"at batch {batch} {names['candidate']} gives values that are not finite")
    floor = COARSE if cosine_min else TINY
    wanted, scores = centred_log(expected, floor), centred_log(got, floor)
    between = spread(wanted)
    difference = float(np.abs(scores - wanted[chosen]).max())
    products = (scores * wanted[chosen]).sum(axis=1)
    lengths = np.linalg.norm(scores, axis=1) * np.linalg.norm(wanted[chosen], axis=1)
    cosine = float((products / np.maximum(lengths, TINY)).min())
    same = scores.argmax(axis=1) == wanted.argmax(axis=1)[chosen]
    two_best = np.sort(wanted, axis=1)[:, -2:]
    clear = ~same & ((two_best[:, 1] - two_best[:, 0])[chosen] >= TOLERANCE)
    measured = {
        "max_abs_diff": difference,
        "cosine_min": min(cosine, 1.0),
        "top1_agree_pct": 100 * float(same.mean()),
        "spread": between,
    }
    reason = _reason(names["candidate"], batch, difference, between, cosine, int(clear.sum()), cosine_min)
    return Check(**names, batch=batch, images=len(expected), **measured, passed=not reason, reason=reason, exact=cosine_min is None)


def _reason(name: str, batch: int, difference: float, between: float, cosine: float, changed: int, cosine_min: float | None) -> str:
    """Return why the check fails, empty when it passes."""
    if between == 0:
        return f"the comparison at batch {batch} is not informative: the reference answers the same for every image"
    if cosine_min:
        return "" if cosine >= cosine_min else f"at batch {batch} {name} has a cosine of {cosine:.4f} to its reference, below {cosine_min}"
    limit = min(TOLERANCE, SPREAD_SHARE * between)
    if difference > limit:
        return f"at batch {batch} {name} differs from its reference by {difference:.2g} in a log-probability (allowed {limit:.2g})"
    return f"at batch {batch} {name} gives another top-1 for {changed} images" if changed else ""


def _failed(names: dict[str, str], batch: int, reason: str) -> Check:
    unknown = dict.fromkeys(("max_abs_diff", "cosine_min", "top1_agree_pct", "spread"))
    return Check(**names, batch=batch, images=0, **unknown, passed=False, reason=reason)
