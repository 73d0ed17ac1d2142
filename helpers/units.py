"""Units of work: runs of consecutive images, and the finished ones kept on disk, so that the next run does only what is missing."""

import json
import math
import shutil
import zipfile
from collections.abc import Iterable
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


class Kept:
    """The finished units among those of one evaluation, each in a file of its folder, `<first>.npz`.

    What `key` stands for decides the answers. Files of another key or size, and those that were cut off, count for nothing and are removed.
    """

    def __init__(self, folder: Path, key: str, units: list[Unit]):
        self._folder, self._key, self._units = folder, key, units
        self._done: dict[Unit, tuple[Scores, UnitDone]] = {}
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

    def add(self, found: Scores, done: UnitDone) -> None:
        """Keep a unit; one that is there already is replaced, so that no image counts twice."""
        unit = Unit(done.first, done.count)
        about = json.dumps({"key": self._key, "done": done.model_dump()})
        columns = {name: column for name, column in vars(found).items() if column is not None}
        with files.whole(self._path(unit)) as temporary:
            np.savez_compressed(temporary, **columns, **{ABOUT: np.array(about)})
        self.images += unit.count if unit not in self._done else 0
        self._done[unit] = found, done

    def drop(self, unit: Unit) -> None:
        """Forget a unit, which is then to be done again."""
        self._path(unit).unlink(missing_ok=True)
        del self._done[unit]
        self.images -= unit.count

    def joined(self) -> tuple[Scores, list[UnitDone]]:
        """Return the answers to all images in their order, as the serial run has them, and who did which unit."""
        done = [self._done[unit] for unit in self._units]
        return Scores.joined([found for found, _ in done]), [who for _, who in done]

    def remove(self) -> None:
        """Remove the files: what they say is kept elsewhere by now."""
        shutil.rmtree(self._folder)

    def _path(self, unit: Unit) -> Path:
        return self._folder / f"{unit.first}.npz"

    def _read(self, unit: Unit) -> tuple[Scores, UnitDone] | None:
        """Return a finished unit; None where there is none, another one, or one that can't be read."""
        try:
            with np.load(self._path(unit), allow_pickle=False) as read:
                about = json.loads(str(read[ABOUT]))
            found, done = scores.load(self._path(unit)), UnitDone.model_validate(about["done"])
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return None
        return (found, done) if about["key"] == self._key and (done.first, done.count) == unit and len(found) == done.count else None
