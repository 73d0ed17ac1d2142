"""Finished points of a sweep, written one by one, so that an interrupted sweep continues and every block's time is kept."""

import json
import os
from pathlib import Path

from pydantic import ValidationError

from helpers import files
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
        files.write_text(self._partial, "".join(f"{line}\n" for line in kept))

    def __contains__(self, batch: int) -> bool:
        return batch in self._rows

    def rows(self, at: int) -> list[Row]:
        """Return the rows of one line of the chart in order of batch size."""
        return [rows[at] for _, rows in sorted(self._rows.items()) if rows[at]]

    def add(self, batch: int, rows: list[Row | None], points: list[Point | None]) -> None:
        """Write a finished batch size: for each line of the chart, in their order, its row and its point."""
        line = {
            "fingerprint": self._fingerprint,
            "batch": batch,
            "rows": [row and row.model_dump(mode="json") for row in rows],
            "points": [point and _blocks(point) for point in points],
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
        """Take a line in; False when it was cut off, is of another sweep, or has an error, which may not come again."""
        try:
            read = json.loads(line)
            if read["fingerprint"] != self._fingerprint:
                return False
            rows = [row and Row.model_validate(row) for row in read["rows"]]
            if any(row and row.error for row in rows):
                return False
            self._rows[read["batch"]] = rows
        except (ValueError, KeyError, TypeError, ValidationError):
            return False
        return True


def _blocks(point: Point) -> dict:
    """Return every block's wall time and, where the execution is told apart, its execution; seconds."""
    executed = [sum(part.compute for part in block.parts) for block in point.blocks if block.parts]
    return {
        "images_per_block": point.batch * point.calls_per_block,
        "processes_start_at": point.starts,
        "block_seconds": point.seconds.tolist(),
        "block_execution_seconds": executed or None,
    }
