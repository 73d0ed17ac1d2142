"""Are the classes in another order than the labels, or than the original has them? Told only where it is beyond doubt."""

import numpy as np
from scipy import optimize, spatial, stats

from helpers import formats

LEVEL = 1e-6  # of the exact test, over all orders that were tried: nobody looks for it, so it must not come by chance in a thousand runs
GAIN = 0.10  # so much more of the answers must be right in another order
TIMES = 2  # of the answers that are read otherwise, so many times as many must be right
AGREEMENT = 0.3  # least Cohen's kappa in another order: answers that do not depend on the image have none
AGREEMENT_FREE = 0.6  # in any order but a shift, of which so many are possible that one suits a damaged model too
CLASSES = 0.8  # so many of the classes must be right no less often than before: a damaged model answers only some
FEWEST = 10  # images of a class, for that to count; twice as many of each for any order but a shift
SHOWN = 4  # classes of another order that are named


def against_labels(answers: np.ndarray, labels: np.ndarray, classes: int) -> str:
    """Return in which other order of the classes the answers int [N] are right about the labels int [N]; "" where in none for sure.

    A cyclic shift is held against the order as it is by McNemar's exact test, with Bonferroni's correction over all shifts. Any
    other order is found on half of the images of each class, and judged on the other half.
    """
    shift = 1 + int(np.bincount((labels - answers) % classes, minlength=classes)[1:].argmax())
    moved = (np.arange(classes) + shift) % classes
    if _is_better(moved, answers, labels, classes - 1, AGREEMENT):
        return _in_words(moved, answers, labels, "")
    if np.bincount(labels, minlength=classes).min() < 2 * FEWEST:
        return ""
    fit = np.zeros(len(labels), bool)
    fit[np.argsort(labels, kind="stable")[::2]] = True  # half of each class, in whatever order the images come
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (answers[fit], labels[fit]), 1)
    free = optimize.linear_sum_assignment(table, maximize=True)[1]
    if not _is_better(free, answers[~fit], labels[~fit], 1, AGREEMENT_FREE):
        return ""
    return _in_words(free, answers[~fit], labels[~fit], ", found on half of the images and counted on the others")


def between(original: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Return which class of the candidate is each class of the original, int [classes], from scores [N, classes] of the same images.

    Each class goes to the one with the most similar scores, all taken together (Hungarian method); on other images it is to be judged.
    """
    return optimize.linear_sum_assignment(spatial.distance.cdist(original.T, candidate.T))[1]


def named(moved: np.ndarray) -> tuple[str, str]:
    """Return in words how classes are out of order, and what makes up for it: class c is to be read as moved[c]."""
    classes = len(moved)
    steps = np.unique((moved - np.arange(classes)) % classes)
    if len(steps) > 1:
        wrong = np.flatnonzero(moved != np.arange(classes))
        others = ", ..." if len(wrong) > SHOWN else ""
        pairs = ", ".join(f"{one} as {moved[one]}" for one in wrong[:SHOWN])
        return "in another order", f"when {formats.counted(len(wrong), 'class', 'classes')} are read otherwise ({pairs}{others})"
    step = int(steps[0])
    size, does = (step, "added to") if 2 * step <= classes else (classes - step, "subtracted from")
    return f"shifted by {'one' if size == 1 else size}", f"when {size} is {does} each (modulo {classes})"


def _is_better(moved: np.ndarray, answers: np.ndarray, labels: np.ndarray, orders: int, agreement: float) -> bool:
    """Return whether another order explains the labels far better; `orders`: among how many it was chosen by these very images."""
    as_is, otherwise = answers == labels, moved[answers] == labels
    lost, won = int((as_is & ~otherwise).sum()), int((otherwise & ~as_is).sum())
    if won - lost < GAIN * len(labels) or won < TIMES * lost:
        return False
    p_value = stats.binomtest(won, won + lost, alternative="greater").pvalue
    images, before, after = (np.bincount(labels[chosen], minlength=len(moved)) for chosen in (slice(None), as_is, otherwise))
    many = images >= FEWEST
    explained = (after >= np.maximum(before, 1))[many].mean() if many.any() else 1.0
    return p_value * orders < LEVEL and explained >= CLASSES and _kappa(moved[answers], labels, len(moved)) >= agreement


def _kappa(answers: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Return by how much answers agree with labels beyond chance (J. Cohen, Educational and Psychological Measurement 20, 1960)."""
    shares = [np.bincount(column, minlength=classes) / len(column) for column in (answers, labels)]
    by_chance = float(np.dot(*shares))
    return (float((answers == labels).mean()) - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


def _in_words(moved: np.ndarray, answers: np.ndarray, labels: np.ndarray, how: str) -> str:
    wrong, remedy = named(moved)
    as_is, otherwise = 100 * (answers == labels).mean(), 100 * (moved[answers] == labels).mean()
    return (
        f"The class order is {wrong}: {as_is:.1f} % of the answers are right as they are, {otherwise:.1f} % {remedy}{how}: "
        "correct the labels or the model's last layer."
    )
