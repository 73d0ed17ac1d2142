"""Every table of a page beside it, for who wants the numbers: one CSV file each, and all of a page in one JSON file."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from helpers import csv_files, files

SLUG_LETTERS = 40


@dataclass(frozen=True)
class Shown:
    """A table as its page shows it: the heading that it stands under, its caption, headers and rows of cells."""

    heading: str
    caption: str
    headers: list[str]
    rows: list[list[str]]


def write(page: Path) -> None:
    """Write `tables/<page>_<n>_<slug of heading or caption>.csv` and `tables/<page>.json` beside a page; older ones of it are removed.

    Cells are the texts shown, "–" where there is nothing. What a spreadsheet would run is defused in the CSV file, and not in JSON.
    """
    remove(page)
    tables = of(page.read_text(encoding="utf-8"))
    folder = page.parent / "tables"
    for number, table in enumerate(tables, 1):
        path = folder / f"{page.stem}_{number}_{_slug(table.heading or table.caption)}.csv"
        csv_files.write(path, table.headers, table.rows)
    if tables:
        files.write_text(folder / f"{page.stem}.json", json.dumps([asdict(one) for one in tables], indent=1, ensure_ascii=False) + "\n")


def remove(page: Path) -> None:
    """Remove the files of a page's tables."""
    for path in (page.parent / "tables").glob(f"{page.stem}*"):
        if re.fullmatch(rf"{re.escape(page.stem)}(_\d+_\w+\.csv|\.json)", path.name):
            path.unlink(missing_ok=True)


def of(text: str) -> list[Shown]:
    """Return the tables of an HTML page in their order."""
    return [_shown(table) for table in BeautifulSoup(text, "html.parser").find_all("table")]


def _shown(table: Tag) -> Shown:
    heading, rows = table.find_previous(["h1", "h2", "h3"]), [_cells(row) for row in table.find_all("tr")]
    head = 1 if table.thead else 0
    return Shown(_text(heading), _text(table.caption), *(rows[:head] or [[]]), rows[head:])


def _cells(row: Tag) -> list[str]:
    return [_text(cell) for cell in row.find_all(["th", "td"])]


def _text(element: Tag | None) -> str:
    return element.get_text().replace("\u00a0", " ") if element else ""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower())[:SLUG_LETTERS].strip("_") or "table"
