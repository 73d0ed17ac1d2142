"""Finished points of a sweep, written one by one, so that an interrupted sweep continues and every block's time is kept."""

import json
import os
from pathlib import Path

from pydantic import ValidationError

from helpers.records import Row
from helpers.timing import Point

NAME = "sweep_blocks.jsonl"


class Journal:
    """The points of one sweep, by batch size: for each line of the chart its row and its blocks.

    Each line of the file is one batch size. Until the sweep is finished its name ends in `.partial`; of another fingerprint it is dropped.
    """

    def __init__(self, folder: Path, fingerprint: str):
        self._path, self._partial = folder / NAME, folder / f"{NAME}.partial"
        self._fingerprint = fingerprint
        self._rows: dict[int, list[Row | None]] = {}
        kept = [line for line in self._lines() if self._read(line)]
        folder.mkdir(parents=True, exist_ok=True)
        self._partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def __contains__(self, batch: int) -> bool:
        return batch in self._rows

    def rows(self, at: int) -> list[Row]:
        """Return the rows of one line of the chart in order of batch size."""
        return [rows[at] for _, rows in sorted(self._rows.items()) if rows[at]]

    def add(self, batch: int, rows: list[Row | None], points: dict[str, Point]) -> None:
        """Write a finished batch size; `points` by the name of their line."""
        blocks = {name: {"seconds": point.seconds.tolist(), "processes": point.starts} for name, point in points.items()}
        images = {name: point.batch * point.calls_per_block for name, point in points.items()}
        line = {
            "fingerprint": self._fingerprint,
            "batch": batch,
            "rows": [row and row.model_dump(mode="json") for row in rows],
            "images_per_block": images,
            "blocks": blocks,
        }
        with self._partial.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._rows[batch] = rows

    def finish(self) -> Path:
        """Return the file of a sweep that is done."""
        os.replace(self._partial, self._path)
        return self._path

    def _lines(self) -> list[str]:
        return self._partial.read_text(encoding="utf-8").splitlines() if self._partial.is_file() else []

    def _read(self, line: str) -> bool:
        """Take a line in; False when it was cut off, or is of another sweep."""
        try:
            read = json.loads(line)
            if read["fingerprint"] != self._fingerprint:
                return False
            self._rows[read["batch"]] = [row and Row.model_validate(row) for row in read["rows"]]
        except (ValueError, KeyError, TypeError, ValidationError):
            return False
        return True
