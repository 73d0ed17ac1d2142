"""The store of prepared images while it is written: rows in order, and a journal by which a killed run is continued.

uint8 [N, crop, crop, 3] in one .npy file: a quarter of the space of float32, and nothing is lost, since normalisation comes last.
"""

import contextlib
import io
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from helpers import files, formats
from helpers.errors import UserError
from helpers.store_journal import Journal, on_disk

STORE = "tensors.npy"
HEADER_BYTES = 128  # of this .npy file, whatever the number of rows: NumPy leaves room for its digits
CHECKPOINT_IMAGES = 1024  # so many at most are prepared again after a kill


@dataclass
class Progress:
    """What is done: images dealt with, in order of the manifest, those of them that are stored, and how long it took."""

    done: int = 0
    kept: list[int] = field(default_factory=list)  # places in the manifest
    digests: list[str] = field(default_factory=list)  # of the encoded images that are kept, sha256
    rejected: list[list[str]] = field(default_factory=list)  # name and reason
    remarks: list[list[str]] = field(default_factory=list)
    fast: int = 0  # of them, by the fast path
    seconds: float = 0.0

    def add(self, other: "Progress") -> None:
        """Take in what was done next."""
        self.done += other.done
        self.fast += other.fast
        self.seconds += other.seconds
        for name in ("kept", "digests", "rejected", "remarks"):
            getattr(self, name).extend(getattr(other, name))


def check_space(folder: Path, images: int, crop: int) -> None:
    """Raise UserError when so many prepared images will not fit."""
    needed, free = images * crop**2 * 3, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder} needs {formats.size(needed)} for prepared images, and {formats.size(free)} are free there: free space, say "
            "store: sample, or choose another run folder or a subset."
        )


class Store:
    """A store being written: opening one continues what the same key left, whenever that was stopped.

    Of another key, or `anew`, it begins again. `append` writes rows, `checkpoint` makes them count, `finish` gives the file its name. A
    full disk is a UserError.
    """

    def __init__(self, folder: Path, key: str, crop: int, anew: bool = False):
        self.path, self._partial, self._crop = folder / STORE, folder / f"{STORE}.partial", crop
        self._journal = Journal(folder, key)
        self.progress, self._since, self.finished = Progress(), Progress(), False
        files.make_folder(folder)
        if anew:
            self._journal.path.unlink(missing_ok=True)
        self._restore()
        if not self.finished:
            with on_disk(self._partial):
                self._partial.touch()
                self._file = self._partial.open("r+b")
                self._file.truncate(self._size(self.progress))
                self._file.seek(0, os.SEEK_END)

    def append(self, pixels: np.ndarray, what: Progress) -> None:
        """Write rows uint8 [M, crop, crop, 3], and remember what they are until the next checkpoint."""
        with on_disk(self._partial):
            self._file.write(np.ascontiguousarray(pixels).data)
        self.progress.add(what)
        self._since.add(what)
        if self._since.done >= CHECKPOINT_IMAGES:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Put everything appended so far safely on disk, the rows before the journal's line that says they are there."""
        with on_disk(self._partial):
            self._file.flush()
            os.fsync(self._file.fileno())
        self._journal.note({"progress": asdict(self._since)})
        self._since = Progress()

    def finish(self) -> None:
        """Write the header, with the number of rows there are, and give the file its name."""
        if self.finished:
            return
        self.checkpoint()
        with on_disk(self._partial):
            self._file.seek(0)
            self._file.write(self._header())
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        self._journal.note({"finished": _state(self._partial)})  # a rename changes neither size nor time
        os.replace(self._partial, self.path)
        self.finished = True

    def discard(self) -> None:
        """Leave nothing of a store that is not finished."""
        with contextlib.suppress(OSError):  # what is still to be written need not be
            self._file.close()
        for path in (self._partial, self._journal.path):
            path.unlink(missing_ok=True)

    def _restore(self) -> None:
        """Take in what the journal says of this key, as far as the rows are there."""
        entries = list(self._journal.entries())
        progress = Progress()
        for entry in entries:
            if "progress" in entry:
                progress.add(Progress(**entry["progress"]))
            elif found := [path for path in (self._partial, self.path) if path.is_file() and _state(path) == entry["finished"]]:
                os.replace(found[0], self.path)
                self.progress, self.finished = progress, True
                return
        if self._partial.is_file() and self._partial.stat().st_size >= self._size(progress):
            self.progress = progress
        else:
            entries = []
        self._journal.begin(entry for entry in entries if "progress" in entry)

    def _size(self, progress: Progress) -> int:
        return HEADER_BYTES + len(progress.kept) * self._crop**2 * 3

    def _header(self) -> bytes:
        header, made = {"descr": "|u1", "fortran_order": False, "shape": (len(self.progress.kept), self._crop, self._crop, 3)}, io.BytesIO()
        np.lib.format.write_array_header_1_0(made, header)
        return made.getvalue()


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
