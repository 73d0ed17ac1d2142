"""One loaded model and the images of a run: its answers batch by batch, whether they may be asked for, what it says of itself."""

import time
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from helpers.backends import Backend
from helpers.errors import UserError
from helpers.progress import announce
from helpers.records import Data, Model
from helpers.scores import Scores
from helpers.streaming import Stream
from helpers.tensors import Tensors


def evaluate(backend: Backend, images: Tensors | Stream, labels: np.ndarray, batch_size: int, keep_logits: bool = False) -> Scores:
    """Return the answers for every image; `labels` int32 are those of the places that the images come with."""
    return Scores.joined(list(by_batch(backend, images, labels, batch_size, keep_logits)))


def by_batch(backend: Backend, images: Tensors | Stream, labels: np.ndarray, batch_size: int, keep_logits: bool) -> Iterator[Scores]:
    """Yield the answers to one batch after the other."""
    started, announced = time.perf_counter(), False
    with tqdm(total=len(images), desc=f"accuracy on {backend.name}", unit="image") as progress:
        for place, batch in images.batches(batch_size):
            found = answers(backend, batch, batch_size)
            if not announced:
                announce(f"accuracy on {len(images)} images", (time.perf_counter() - started) * len(images) / len(batch))
            announced = True
            yield Scores.of(place, labels[place], found, keep_logits)
            progress.update(len(batch))


def answers(backend: Backend, batch: np.ndarray, batch_size: int) -> np.ndarray:
    """Return probabilities float32 [B, classes] of a batch, run at the full batch size; values that are not finite are a UserError."""
    full = batch if len(batch) == batch_size else np.resize(batch, (batch_size, *batch.shape[1:]))  # only this size was compared
    found = backend(full)[: len(batch)]
    if not np.isfinite(found).all():
        raise UserError(f"{backend.identity} gives values that are not finite: run 2_convert again, and see the device's health.")
    return found


def why_not(backend: Backend, data: Data, model: Model, batch_size: int) -> str | None:
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


def described(backend: Backend) -> dict:
    """Return what a result says of who answered."""
    return {
        "backend": backend.describe(),
        "device": backend.device,
        "precision": backend.precision,
        "simulated": backend.simulated,
        "remarks": backend.recorded.remarks if backend.recorded else [],
    }
