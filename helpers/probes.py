"""Do workers answer alike? Held against each other on a few images, since one bad device would spoil its share of the answers unseen."""

from collections.abc import Callable, Mapping

import numpy as np

from helpers import backends, evaluation, majority, parity
from helpers.streaming import Stream
from helpers.tensors import Tensors

UNDECIDED = (
    "answer the first images differently and the original decides for none of them: "
    "see the devices' health, and that all hosts have the same driver."
)


def agree(expected: np.ndarray, found: np.ndarray, cosine_min: float | None) -> bool:
    """Return whether probabilities [N, classes] are the same answers; `cosine_min`: of reduced precision, None for fp32.

    The tolerances are those of `parity`. They are not a share of the spread between images: there may be a single image.
    """
    if expected.shape != found.shape or not len(expected):
        return expected.shape == found.shape
    floor = parity.COARSE if cosine_min else parity.TINY
    a, b = parity.centred_log(expected, floor), parity.centred_log(found, floor)
    if cosine_min is None:
        return float(np.abs(a - b).max()) <= parity.TOLERANCE
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / np.maximum(lengths, parity.TINY)).min()) >= cosine_min


def believed(answers: Mapping[str, np.ndarray], exact: bool, original: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the answers [N, classes] of a worker that is to be believed; those that do not agree with it are to be put aside.

    `majority` says who is; what is known is `original`, what 2_convert compared the model with.
    """

    def same(expected: np.ndarray, found: np.ndarray) -> bool:
        return agree(expected, found, None if exact else parity.COSINE_MIN)

    def is_right(known: np.ndarray, found: np.ndarray) -> bool:
        return agree(known, found, None if exact else parity.COSINE_LABELLED)

    return majority.believed(answers, same, original, is_right, UNDECIDED)


def probe(backend: backends.Backend, images: Tensors | Stream, batch_size: int) -> np.ndarray:
    """Return the answers [N, classes] to the first images of a run; none where none of them can be read."""
    found = [evaluation.answers(backend, batch, batch_size) for _, batch in images.batches(batch_size)]
    return np.concatenate(found) if found else np.empty((0, 1), np.float32)
