"""Where the parts of a store lie while workers write them, and what a worker says of one that it wrote.

Until all are done they lie in a folder of their own, so that the store of an earlier run stays whole until then.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.parts import FOLDER, INDEX
from helpers.store import Progress
from helpers.store_journal import Journal
from helpers.units import Unit

UNFINISHED = "tensors.unfinished"


@dataclass(frozen=True)
class Made:
    """A part that was written, and what is to be said of its images."""

    progress: Progress
    bytes: int
    written_ns: int  # its time of modification: another one, and it was written again
    sha256: str

    def is_at(self, path: Path) -> bool:
        """Return whether a file is the part as it was written, by its size and time."""
        if not path.is_file():
            return False
        state = path.stat()
        return (state.st_size, state.st_mtime_ns) == (self.bytes, self.written_ns)


def journal(artefacts: Path, key: str, units: Sequence[Unit]) -> Journal:
    """Return the journal of the parts of a key; parts that were cut otherwise are others."""
    return Journal(artefacts, f"{key} in parts of {units[0].count}")


def unfinished(artefacts: Path) -> Path:
    """Return the folder of parts until all are done."""
    return artefacts / UNFINISHED


def path(artefacts: Path, unit: Unit) -> Path:
    """Return where a worker writes a part."""
    return unfinished(artefacts) / f"{unit.first}.npy"


def remove(artefacts: Path) -> None:
    """Remove a store in parts, finished or not."""
    (artefacts / INDEX).unlink(missing_ok=True)
    for parts in (artefacts / FOLDER, unfinished(artefacts)):
        shutil.rmtree(parts, ignore_errors=True)
