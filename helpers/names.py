"""Names of images, ten million of them if need be: kept as bytes in Arrow, made text one at a time."""

import itertools
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

KIND = pa.large_binary()  # with offsets of 64 bits: ten million long names are more than 2 GB
ERRORS = "surrogateescape"
CHUNK = 65_536  # names that are Python objects at a time


class Names(Sequence[str]):
    """Names as text, from a column of their bytes; one that is no UTF-8 comes with surrogates, as from os.fsdecode.

    They equal any other sequence of the same names. A slice shares their memory.
    """

    def __init__(self, column: pa.ChunkedArray):
        self._column = column

    @classmethod
    def of(cls, names: Iterable[str]) -> "Names":
        """Return the names that an iterable yields."""
        if isinstance(names, cls):
            return names
        given = iter(names)
        chunks = iter(lambda: _column(itertools.islice(given, CHUNK)), _column([]))
        return cls(pa.chunked_array(list(chunks), KIND))

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "Names": ...
    def __getitem__(self, place):
        return Names(self._column[place]) if isinstance(place, slice) else self._column[int(place)].as_py().decode(errors=ERRORS)

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), CHUNK):
            yield from [name.decode(errors=ERRORS) for name in self._column[first : first + CHUNK].to_pylist()]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Names):
            return self._column.equals(other._column)
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    def __repr__(self) -> str:
        return f"Names({list(self[:3])}{', ...' if len(self) > 3 else ''})"

    def take(self, places: Sequence[int]) -> "Names":
        """Return the names at places, int [M], in that order."""
        wanted = np.ascontiguousarray(places, np.int64)
        return Names(self._column.take(pa.Array.from_buffers(pa.int64(), len(wanted), [None, pa.py_buffer(wanted)])))

    def among(self, others: Iterable[str]) -> set[str]:
        """Return which of a few others are there too."""
        there = pc.is_in(self._column, _column(others))
        return set(Names(self._column.filter(there)))

    def repeated(self) -> str | None:
        """Return the first name that is there more than once, None where there is none."""
        hashes = np.fromiter(map(hash, self), np.int64, len(self))
        values, counts = np.unique(hashes, return_counts=True)
        doubtful = self.take(np.flatnonzero(np.isin(hashes, values[counts > 1])))
        return next((name for name, count in Counter(doubtful).items() if count > 1), None)


def _column(names: Iterable[str]) -> pa.Array:
    """Return the names' bytes; made of buffers, since pa.array imports pandas first, where that is installed."""
    encoded = [name.encode(errors=ERRORS) for name in names]
    ends = np.cumsum([0, *map(len, encoded)])
    return pa.Array.from_buffers(KIND, len(encoded), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])
