"""What is done of a store, line by line, so that a run that was killed goes on; one journal for one file and for parts, of either one."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from helpers import files
from helpers.errors import UserError

JOURNAL = "tensors.jsonl.partial"  # it stays when the store is finished, and goes, as all that is partial, where a run is forced


class Journal:
    """Lines of JSON under a key; those of another key, and whatever follows one that was cut off, count for nothing."""

    def __init__(self, folder: Path, key: str):
        self.path, self._key = folder / JOURNAL, key

    def entries(self) -> Iterator[dict]:
        """Yield the lines of this key, to the first that was cut off."""
        with contextlib.suppress(OSError, ValueError), self.path.open(encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line)
                if entry["key"] == self._key:
                    yield entry

    def begin(self, entries: Iterable[dict]) -> None:
        """Write the journal anew, with these entries alone."""
        files.write_text(self.path, "".join(self._line(entry) for entry in entries))

    def note(self, entry: dict) -> None:
        """Add a line, safely on disk; a full disk is a UserError."""
        with on_disk(self.path), self.path.open("a", encoding="utf-8") as journal:
            journal.write(self._line(entry))
            journal.flush()
            os.fsync(journal.fileno())

    def _line(self, entry: dict) -> str:
        return json.dumps({**entry, "key": self._key}) + "\n"


@contextlib.contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Say a full disk as a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}; free space or choose another run folder.") from error
