"""The parts of a store that workers are writing: which are done, what is known of each, and the store that they become."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from helpers import files, part_files
from helpers.part_files import Made
from helpers.parts import FOLDER, INDEX, Index, Part
from helpers.records import UnitDone
from helpers.store import STORE, Progress
from helpers.units import Unit

Known = tuple[Made, UnitDone]


class KeptParts:
    """The finished parts among the units of one preparation: opening it continues what the same key left, cut the same way.

    `anew` begins again. `refuse` gets the names and reasons of the images that are left out, in order, and raises when they are too many.
    """

    def __init__(self, artefacts: Path, key: str, units: list[Unit], refuse: Callable[[list[list[str]]], None], anew: bool = False):
        self._artefacts, self._units, self._refuse = artefacts, units, refuse
        self._parts = part_files.unfinished(artefacts)
        self._journal = part_files.journal(artefacts, key, units)
        if anew:
            self._journal.path.unlink(missing_ok=True)
        self._done: dict[Unit, Known] = self._restored()
        self.images = sum(unit.count for unit in self._done)  # that are done
        images = {"images": sum(unit.count for unit in units)}  # a line that is there from the beginning, for workers to see
        self._journal.begin([images, *(_entry(unit, *known) for unit, known in self._done.items())])

    @property
    def missing(self) -> list[Unit]:
        """Return the units that are not done, in order of the images."""
        return [unit for unit in self._units if unit not in self._done]

    def add(self, made: Made, done: UnitDone) -> None:
        """Keep what is known of a part that lies in its place; what was known of it before is replaced."""
        unit = Unit(done.first, done.count)
        self._journal.note(_entry(unit, made, done))
        self.images += unit.count if unit not in self._done else 0
        self._done[unit] = made, done
        if made.progress.rejected:
            self.check()

    def drop(self, unit: Unit) -> None:
        """Forget a part, which is then to be made again."""
        self._journal.note({"dropped": unit})
        del self._done[unit]
        self.images -= unit.count

    def check(self) -> None:
        """Raise what `refuse` raises of the images that are left out by now."""
        self._refuse([entry for made, _ in self._in_order() for entry in made.progress.rejected])

    def joined(self) -> tuple[Progress, list[UnitDone]]:
        """Return what is to be said of all images, in their order, and who prepared which."""
        whole = Progress()
        for made, _ in self._in_order():
            whole.add(made.progress)
        return whole, [done for _, done in self._in_order()]

    def finish(self, crop: int) -> Path:
        """Return the index of the store that the parts are from now on, in the place of any other."""
        parts = [_part(made, done) for made, done in self._in_order() if made.progress.kept]
        self._journal.note({"finished": True})
        written = {part_files.path(self._artefacts, unit) for unit in self._units}
        for stale in set(self._parts.iterdir()) - written:  # what a worker that died had begun
            stale.unlink(missing_ok=True)  # one that is dying may remove it itself
        shutil.rmtree(self._artefacts / FOLDER, ignore_errors=True)
        self._parts.rename(self._artefacts / FOLDER)
        files.write_text(self._artefacts / INDEX, Index(image=(crop, crop, 3), parts=parts).model_dump_json())
        for stale in (STORE, f"{STORE}.partial"):
            (self._artefacts / stale).unlink(missing_ok=True)
        return self._artefacts / INDEX

    def discard(self) -> None:
        """Leave nothing of parts that are of no use."""
        shutil.rmtree(self._parts)
        self._journal.path.unlink()

    def _in_order(self) -> Iterator[Known]:
        return (self._done[unit] for unit in self._units if unit in self._done)

    def _restored(self) -> dict[Unit, Known]:
        """Return what the journal says of this key, as far as the parts are there."""
        said, finished = {}, False
        for entry in self._journal.entries():
            if "made" in entry:
                said[Unit(*entry["unit"])] = _known(entry)
            elif "dropped" in entry:
                del said[Unit(*entry["dropped"])]
            finished |= "finished" in entry
        if finished and not self._parts.exists() and (self._artefacts / FOLDER).exists():  # and then the run ended before its record
            (self._artefacts / FOLDER).rename(self._parts)
        files.make_folder(self._parts)
        files.remove_unfinished(self._parts)
        return {unit: known for unit, known in said.items() if known[0].is_at(part_files.path(self._artefacts, unit))}


def _part(made: Made, done: UnitDone) -> Part:
    return Part(file=f"{FOLDER}/{done.first}.npy", rows=len(made.progress.kept), bytes=made.bytes, sha256=made.sha256)


def _entry(unit: Unit, made: Made, done: UnitDone) -> dict:
    return {"unit": unit, "made": asdict(made), "done": done.model_dump()}


def _known(entry: dict) -> Known:
    made = entry["made"]
    return Made(**{**made, "progress": Progress(**made["progress"])}), UnitDone.model_validate(entry["done"])
