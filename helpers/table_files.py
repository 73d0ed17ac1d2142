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
    save(page, of(page.read_text(encoding="utf-8")))


def save(page: Path, tables: list[Shown]) -> None:
    """Write the files of a page whose tables are known, as `write` does."""
    remove(page)
    if tables:
        files.write_text(_all_of(page), json.dumps([asdict(one) for one in tables], indent=1, ensure_ascii=False) + "\n")
    for number, table in enumerate(tables, 1):
        csv_files.write(_one_of(page, number, table), table.headers, table.rows)


def remove(page: Path) -> None:
    """Remove the files of a page's tables, which its JSON file lists: another page's name may begin with this one's."""
    try:
        tables = [Shown(**one) for one in json.loads(_all_of(page).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):  # none, or none of ours
        return
    for path in (*(_one_of(page, number, table) for number, table in enumerate(tables, 1)), _all_of(page)):
        path.unlink(missing_ok=True)


def _all_of(page: Path) -> Path:
    return page.parent / "tables" / f"{page.stem}.json"


def _one_of(page: Path, number: int, table: Shown) -> Path:
    return page.parent / "tables" / f"{page.stem}_{number}_{_slug(table.heading or table.caption)}.csv"


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
