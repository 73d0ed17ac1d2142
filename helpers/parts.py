"""A store in parts: files of consecutive images, addressed as one by an index that says how many, how large and with which hash each is.

Opening one reads the index alone. Every notebook checks the parts' sizes and times, whoever reads a part its content, once: all of them
may be terabytes, on a file system that many hosts share.
"""

import copy
import functools
import hashlib
from pathlib import Path

import numpy as np

from helpers import files
from helpers.errors import UserError
from helpers.records import Body, Data

INDEX, FOLDER = "tensors.json", "tensors"
OPEN = 64  # parts mapped into memory at once; a process may have no more than 65,530 mappings


class Part(Body):
    file: str  # its path from the index's folder on
    rows: int  # images, at least one
    bytes: int
    sha256: str


class Index(Body):
    image: tuple[int, int, int]  # shape of one
    parts: list[Part]  # in the order of their images


class Parts:
    """Images uint8 [N, crop, crop, 3] in several files.

    A slice is a view, which reads nothing; np.asarray reads one whole. A place, or an array of places, reads these; negative ones count
    from the end. A part that is missing or has another content than the index says is a UserError when it is read.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path):
        self._folder, self._index = path.parent, Index.model_validate_json(path.read_bytes())
        ends = np.cumsum([part.rows for part in self._index.parts])
        self._starts = np.concatenate([[0], ends[:-1]])
        self._places = range(int(ends[-1]))  # of a view, those that it shows
        self._checked: set[int] = set()
        self._opened = functools.lru_cache(OPEN)(self._open)  # with the hashes checked, shared by all views

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return (images, crop, crop, 3)."""
        return (len(self), *self._index.image)

    @property
    def nbytes(self) -> int:
        """Return the size of the pixels."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, chosen: "slice | int | np.ndarray | list[int]") -> "Parts | np.ndarray":
        """Return a view for a slice, pixels [crop, crop, 3] for a place, [M, crop, crop, 3] for several."""
        if isinstance(chosen, slice):
            view = copy.copy(self)
            view._places = self._places[chosen]
            return view
        places = np.asarray(chosen)
        if places.size and places.dtype.kind not in "iu":
            raise IndexError(f"images are chosen by whole numbers, not by {places.dtype}")
        if places.size and not -len(self) <= places.min() <= places.max() < len(self):
            raise IndexError(f"there are {len(self)} images, and one beyond them was chosen")
        within = np.where(places < 0, places + len(self), places).astype(np.intp)
        rows = self._rows(self._places.start + self._places.step * within.reshape(-1))
        return rows.reshape(*places.shape, *self._index.image)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """Return all of them, always read anew."""
        if copy is False:
            raise ValueError("parts are read into memory, which is a copy")
        return self._rows(np.asarray(self._places, np.intp)).astype(dtype or self.dtype, copy=False)

    def _rows(self, places: np.ndarray) -> np.ndarray:
        """Return the pixels at places of the whole store, int [M]."""
        rows, numbers = np.empty((len(places), *self._index.image), np.uint8), np.searchsorted(self._starts, places, side="right") - 1
        for number in np.unique(numbers):
            here = numbers == number
            rows[here] = self._opened(int(number))[places[here] - self._starts[number]]
        return rows

    def _open(self, number: int) -> np.ndarray:
        part = self._index.parts[number]
        path = self._folder / part.file
        if number not in self._checked:
            if not path.is_file() or sha256(path) != part.sha256:
                raise UserError(
                    f"{part.file} is not the file that {Data.file_name()} was written for: run {Data.STEP} again (helpers.run: --force)."
                )
            self._checked.add(number)
        return np.load(path, mmap_mode="r", allow_pickle=False)


def open_pixels(path: Path) -> np.ndarray | Parts:
    """Return the prepared images, uint8 [N, crop, crop, 3], of a store that is one file or in parts; neither is read yet."""
    return Parts(path) if path.name == INDEX else np.load(path, mmap_mode="r", allow_pickle=False)


def damaged(path: Path) -> list[Path]:
    """Return the parts of an index that are missing or others by now, as far as that is told without reading what nobody wrote since.

    A part of another size is; of those that were written after the index the hash is taken.
    """
    parts = {path.parent / part.file: part for part in Index.model_validate_json(path.read_bytes()).parts}
    states = {part: part.stat() for part in parts if part.is_file()}
    later = files.sha256_many([part for part, state in states.items() if state.st_mtime_ns > path.stat().st_mtime_ns])
    whole = {part for part, state in states.items() if state.st_size == parts[part].bytes}
    return [part for part, said in parts.items() if part not in whole or later.get(part, said.sha256) != said.sha256]


def sha256(path: Path) -> str:
    """Return the hash of a part; not by `files`, whose cache is rewritten with each file and belongs to one host."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
