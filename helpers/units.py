"""Units of work: runs of consecutive images, and the finished ones kept on disk, so that the next run does only what is missing."""

import json
import math
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers import files, scores
from helpers.errors import UserError
from helpers.records import UnitDone
from helpers.scores import Scores

ABOUT = "about"  # the column of a unit's file that says what it is and who did it


class Unit(NamedTuple):
    """So many images from a place in the manifest on."""

    first: int
    count: int

    def __str__(self) -> str:
        return f"images {self.first} to {self.first + self.count - 1}"

    def among(self, names: Sequence[str]) -> list[str]:
        """Return the names of its images among those of the manifest."""
        return list(names[self.first : self.first + self.count])


def cut(images: int, unit_images: int, batch_size: int) -> list[Unit]:
    """Return the units that all images make up, each of whole batches, so that every batch is one of the serial run's too.

    No images are a UserError, as they are to the serial run.
    """
    if not images:
        raise UserError(scores.NO_IMAGES)
    size = -(-unit_images // batch_size) * batch_size
    return [Unit(first, min(size, images - first)) for first in range(0, images, size)]


def seconds(done: Iterable[UnitDone]) -> float:
    """Return for how long at least one of the units was being worked on, whoever did and whatever lay between."""
    spans = sorted((datetime.fromisoformat(unit.started_utc).timestamp(), unit.seconds) for unit in done)
    whole, until = 0.0, -math.inf
    for start, lasted in spans:
        whole += max(0.0, start + lasted - max(start, until))
        until = max(until, start + lasted)
    return whole


@dataclass(frozen=True)
class Found:
    """What a unit came to: the answers, and of images that were not stored those that can't be read, or need a word."""

    scores: Scores
    rejected: list[list[str]] = field(default_factory=list)  # name and reason
    remarks: list[list[str]] = field(default_factory=list)


class Kept:
    """The finished units among those of one evaluation, each in a file of its folder, `<first>.npz`.

    What `key` stands for decides the answers. Files of another key or size, and those that were cut off, count for nothing and are removed.
    `refuse` gets the names and reasons of the images that can't be read, in order, and raises when they are too many.
    """

    def __init__(self, folder: Path, key: str, units: list[Unit], refuse: Callable[[list[list[str]]], None] = lambda rejected: None):
        self._folder, self._key, self._units, self._refuse = folder, key, units, refuse
        self._done: dict[Unit, tuple[Found, UnitDone]] = {}
        files.make_folder(folder)
        files.remove_unfinished(folder)
        for unit in units:
            if found := self._read(unit):
                self._done[unit] = found
        self.images = sum(unit.count for unit in self._done)  # that are done
        for stale in set(folder.glob("*.npz")) - {self._path(unit) for unit in self._done}:
            stale.unlink()

    @property
    def missing(self) -> list[Unit]:
        """Return the units that are not done, in order of the images."""
        return [unit for unit in self._units if unit not in self._done]

    def add(self, found: Found, done: UnitDone) -> None:
        """Keep a unit; one that is there already is replaced, so that no image counts twice."""
        unit = Unit(done.first, done.count)
        about = json.dumps({"key": self._key, "done": done.model_dump(), "rejected": found.rejected, "remarks": found.remarks})
        columns = {name: column for name, column in vars(found.scores).items() if column is not None}
        with files.whole(self._path(unit)) as temporary:
            np.savez_compressed(temporary, **columns, **{ABOUT: np.array(about)})
        self.images += unit.count if unit not in self._done else 0
        self._done[unit] = found, done
        if found.rejected:
            self.check()

    def check(self) -> None:
        """Raise what `refuse` raises of the images that can't be read as far as they are known."""
        self._refuse([entry for found, _ in self._in_order() for entry in found.rejected])

    def drop(self, unit: Unit) -> None:
        """Forget a unit, which is then to be done again."""
        self._path(unit).unlink(missing_ok=True)
        del self._done[unit]
        self.images -= unit.count

    def joined(self) -> tuple[Found, list[UnitDone]]:
        """Return the answers to all images in their order, as the serial run has them, and who did which unit.

        Where no image at all could be read there are none: a UserError.
        """
        found, who = zip(*self._in_order(), strict=True)
        answered = Scores.joined([one.scores for one in found])
        if not len(answered):
            raise UserError(scores.NO_IMAGES)
        rejected, remarks = ([entry for one in found for entry in getattr(one, name)] for name in ("rejected", "remarks"))
        return Found(answered, rejected, remarks), list(who)

    def remove(self) -> None:
        """Remove the files: what they say is kept elsewhere by now."""
        shutil.rmtree(self._folder)

    def _in_order(self) -> Iterator[tuple[Found, UnitDone]]:
        return (self._done[unit] for unit in self._units if unit in self._done)

    def _path(self, unit: Unit) -> Path:
        return self._folder / f"{unit.first}.npz"

    def _read(self, unit: Unit) -> tuple[Found, UnitDone] | None:
        """Return a finished unit; None where there is none, another one, or one that can't be read."""
        try:
            with np.load(self._path(unit), allow_pickle=False) as read:
                about = json.loads(str(read[ABOUT]))
                found = Found(scores.of_columns(read), about["rejected"], about["remarks"])
            done = UnitDone.model_validate(about["done"])
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return None
        whole = (done.first, done.count) == unit and len(found.scores) + len(found.rejected) == done.count
        return (found, done) if about["key"] == self._key and whole else None
