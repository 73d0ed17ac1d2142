"""Tables as CSV files that a spreadsheet opens and never runs."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from helpers import files

NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?( to [-+]?[\d.,]+)?\s?%?", re.IGNORECASE)  # a range is no formula either
FORMULA = re.compile(r"""(^|[,;|\t\r\n"'])(\s*[=+\-@＝＋－＠])""")  # full-width signs begin a formula too


def write(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a header and rows in UTF-8; text that a spreadsheet would run gets an apostrophe before it, None is empty."""
    with files.whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8-sig") as file:  # Excel needs the mark
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)


def harmless(text: str) -> str:
    """Return text that no spreadsheet runs: an apostrophe is put before = + - @ at its beginning or after a separator in it.

    A text that is a number or a range stays.
    """
    return text if NUMBER.fullmatch(text) else FORMULA.sub(r"\1'\2", text)
