"""Each image's answers of one stage: kept beside the record, so that a later comparison needs no new run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from helpers import files, metrics, parity
from helpers.errors import UserError
from helpers.records import Result

TOP = 5
NO_IMAGES = "there are no images to evaluate: run 1_prepare_data with some."


@dataclass(frozen=True)
class Scores:
    """What a stage answered to N images, in the order in which it saw them."""

    image: np.ndarray  # int32 [N], places in the manifest
    label: np.ndarray  # int32 [N]
    top5: np.ndarray  # int32 [N, 5], fewer where there are fewer classes
    probability: np.ndarray  # float32 [N, 5]
    logits: np.ndarray | None = None  # float16 [N, classes] with the mean over classes removed, where they are kept

    @classmethod
    def of(cls, image: np.ndarray, label: np.ndarray, probabilities: np.ndarray, keep_logits: bool = False) -> "Scores":
        """Return the scores that probabilities [N, classes] amount to."""
        logits = parity.centred_log(probabilities).astype(np.float16) if keep_logits else None
        return cls(image, label, *metrics.top_k(probabilities, TOP), logits)

    @classmethod
    def joined(cls, parts: Sequence["Scores"]) -> "Scores":
        """Return the scores of several batches as one; of none at all is a UserError."""
        if not parts:
            raise UserError(NO_IMAGES)
        columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(cls)}
        return cls(**{name: None if column[0] is None else np.concatenate(column) for name, column in columns.items()})

    def save(self, path: Path) -> None:
        """Write `scores_<stage>.npz`; a column that is not kept is not in it."""
        with files.whole(path) as temporary:
            np.savez_compressed(temporary, **{name: column for name, column in vars(self).items() if column is not None})

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, chosen: np.ndarray) -> "Scores":
        """Return the scores of some of the images."""
        return Scores(**{name: None if column is None else column[chosen] for name, column in vars(self).items()})

    @property
    def answer(self) -> np.ndarray:
        """Return the most probable class of each image, int32 [N]."""
        return self.top5[:, 0]

    @property
    def right(self) -> np.ndarray:
        """Return whether each image's most probable class is its label, bool [N]."""
        return self.answer == self.label


Kept = list[tuple[Result, Scores]]


def load(path: Path) -> Scores:
    """Return what `Scores.save` wrote."""
    with np.load(path, allow_pickle=False) as read:
        return of_columns(read)


def of_columns(columns: Mapping[str, np.ndarray]) -> Scores:
    """Return the scores that are among the columns of a file."""
    return Scores(**{field.name: columns[field.name] for field in fields(Scores) if field.name in columns})


def kept(folder: Path, results: Sequence[Result]) -> Kept:
    """Return each evaluated stage with its answers, the candidate first; nothing where the candidate was not evaluated."""
    evaluated = [result for result in results if result.evaluated] if results[0].evaluated else []
    return [(result, load(folder / result.scores_file)) for result in evaluated]


def on_shared(a: Scores, b: Scores) -> tuple[Scores, Scores]:
    """Return both on the images that both answered, in the manifest's order."""
    _, first, second = np.intersect1d(a.image, b.image, assume_unique=True, return_indices=True)
    return a[first], b[second]
