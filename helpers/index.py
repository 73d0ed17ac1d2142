"""All runs -> one table, one page for each order of it: made from the records alone, no script, no network reference."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader

from helpers import files, formats, history, run_folders, summaries, table_files
from helpers.summaries import Summary
from helpers.table_files import Shown

TEMPLATES = Path(__file__).parent / "templates"
MOST_CHARACTERS = 60  # of a name; the whole of it is its title


@dataclass(frozen=True)
class Order:
    """One order of the table and the page that has it; runs without the figure come last."""

    page: str
    column: str
    words: str
    direction: str  # as aria-sort has it
    key: Callable[[Summary], tuple]


ORDERS = (
    Order("index.html", "when (UTC)", "newest first", "descending", lambda run: ()),
    Order("index_by_model.html", "model", "by model and device", "ascending", lambda run: (not run.model, run.model, run.runs_on)),
    Order("index_by_fps.html", "best FPS", "fastest first", "descending", lambda run: _falling(run.fps)),
    Order("index_by_ratio.html", "ratio", "highest ratio first", "descending", lambda run: _falling(run.ratio)),
    Order("index_by_top1.html", "top-1", "highest top-1 first", "descending", lambda run: _falling(run.top1_pct)),
)
COLUMNS = {  # how wide each is; the rest goes to those that have text of the run's own
    "run": "auto",
    "when (UTC)": "8.4rem",
    "model": "9rem",
    "runs on": "auto",
    "best FPS": "4.2rem",
    "batch": "3.6rem",
    "ratio": "3.8rem",
    "top-1": "5rem",
    "verdict": "7.5rem",
}


def write_index(reports: Path) -> None:
    """Write `index.html` and a page for every other order: one row for each run below a folder, a section for each folder of runs."""
    runs = sorted((summaries.read(run) for run in run_folders.below(reports)), key=lambda run: run.created_utc, reverse=True)
    jinja = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    jinja.filters["address"] = _address
    jinja.globals |= {
        "counted": formats.counted,
        "most": MOST_CHARACTERS,
        "orders": ORDERS,
        "columns": list(COLUMNS),
        "widths": list(COLUMNS.values()),
    }
    template, style = jinja.get_template("index_of_runs.html.j2"), (TEMPLATES / "style.css").read_text(encoding="utf-8")
    common = {"style": style, "total": len(runs), "tally": _tally(runs), "history": history.lines(runs)}
    for order in ORDERS:
        page = template.render(order=order, folders=_folders(reports, sorted(runs, key=order.key)), **common)
        files.write_text(reports / order.page, page)
    table_files.save(reports / ORDERS[0].page, _tables(reports, runs, common["history"]) if runs else [])


def _tables(reports: Path, runs: list[Summary], found: dict[tuple[str, ...], list[history.Line]]) -> list[Shown]:
    """Return the tables of the page for its files, each run by its path below `reports`."""
    rows = []
    for run in runs:
        name = formats.visible(run.run.relative_to(reports).as_posix())
        figures = (
            [run.created_utc, run.model, run.runs_on, *run.cells.values(), run.verdict] if not run.reason else ["–"] * 7 + ["not finished"]
        )
        rows.append([name, *figures, run.reason or "–"])
    lines = [[*key, str(line.batch), str(len(line.points)), *line.facts().values()] for key, several in found.items() for line in several]
    of_lines = ["model", "runs on", "precision", "region", "batch", "runs", "first", "last", "lowest", "highest"]
    tables = [Shown("Inference reports", "Every run, newest first", [*COLUMNS, "why it is not finished"], rows)]
    return tables + ([Shown("Images per second over time", "", of_lines, lines)] if lines else [])


def _falling(value: float | None) -> tuple[bool, float]:
    return value is None, -(value or 0.0)


def _address(path: str) -> str:
    """Return a relative path as it stands in a link; names that are no text are kept byte by byte."""
    return quote(os.fsencode(path))


def _tally(runs: list[Summary]) -> str:
    """Return how many runs have which verdict, the most frequent first."""
    names = {"NONE": "without a verdict", "": "not finished"}
    return ", ".join(f"{count:,} {names.get(verdict, verdict)}" for verdict, count in Counter(run.verdict for run in runs).most_common())


def _folders(reports: Path, runs: list[Summary]) -> list[dict]:
    """Return each folder that holds runs: its path, the parts of its path as (name, path) and its rows in the order given."""
    found = defaultdict(list)
    for run in runs:
        path = run.run.relative_to(reports)
        found[path.parent.as_posix()].append({"run": run, "name": formats.visible(path.name), "page": f"{path.as_posix()}/{run.page}"})
    return [{"path": path, "parts": _parts(path), "rows": rows} for path, rows in sorted(found.items(), key=lambda pair: _parts(pair[0]))]


def _parts(path: str) -> list[tuple[str, str]]:
    names = [name for name in path.split("/") if name != "."]
    return [(formats.visible(name), "/".join(names[: at + 1])) for at, name in enumerate(names)]
