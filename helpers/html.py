"""Executed notebook -> one self-contained HTML file; all runs -> one index. No script, no network reference."""

from pathlib import Path
from urllib.parse import quote

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from traitlets.config import Config

from helpers import files, records, steps
from helpers.errors import UserError
from helpers.formats import times

TEMPLATES = Path(__file__).parent / "templates"


def render(notebook: Path, page: Path) -> None:
    """Write the HTML page of an executed notebook; cells tagged `skip` are left out, code of cells tagged `hide` too."""
    executed = nbformat.read(notebook, as_version=4)
    heading = next(cell.source for cell in executed.cells if cell.cell_type == "markdown")
    skipped = {tag for cell in executed.cells for tag in cell.metadata.get("tags", []) if "skip" in cell.metadata.tags}
    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = {"skip", "papermill-error-cell-tag"}
    if "parameters" in skipped:
        config.TagRemovePreprocessor.remove_cell_tags |= {"injected-parameters"}
    config.TagRemovePreprocessor.remove_input_tags = {"hide"}
    exporter = HTMLExporter(
        config=config,
        template_name="report",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_anchor_links=True,
    )
    resources = {
        "title": heading.splitlines()[0].lstrip("# "),
        "style": (TEMPLATES / "style.css").read_text(encoding="utf-8"),
        "footer": f"Run {notebook.parent.name}, notebook {notebook.stem}. This page holds no script and loads nothing.",
    }
    text, _ = exporter.from_notebook_node(executed, resources=resources)
    files.write_text(page, text)


def write_index(reports: Path) -> None:
    """Write `index.html`: one row for each run below a folder, made from the records alone."""
    rows = [_index_row(path.parent) for path in reports.glob("*/data.json")]
    rows.sort(key=lambda row: row["texts"][0], reverse=True)
    jinja = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    page = jinja.get_template("index_of_runs.html.j2")
    files.write_text(reports / "index.html", page.render(rows=rows, style=(TEMPLATES / "style.css").read_text(encoding="utf-8")))


def _index_row(run: Path) -> dict:
    """Return what the index says of one run; a record that is missing or of another version leaves its cells empty."""
    data, _, accuracy, sweep, report = (_record(kind, run) for kind in records.KINDS)
    candidate = sweep.one("candidate") if sweep else None
    points = (
        [(row.regions[sweep.region].images_per_second, row.batch) for row in candidate.rows if sweep.region in row.regions] if sweep else []
    )
    best, batch = max(points, default=(None, ""))
    top1 = accuracy.results[0].top1_pct if accuracy else None
    simulated = " (simulated device)" if candidate and candidate.kind == "simulated" else ""
    return {
        "run": run.name,
        "link": quote(f"{run.name}/report.html") if (run / "report.html").is_file() else "",
        "texts": [
            (report or data).created_utc[:16].replace("T", " ") if report or data else "",
            candidate.name if candidate else "",
            f"{candidate.device}{simulated}" if candidate else "",
        ],
        "numbers": [
            f"{best:.1f}" if best else "",
            batch,
            times(sweep.geomean_ratio) if sweep and sweep.geomean_ratio else "",
            f"{top1:.2f} %" if top1 is not None else "",
        ],
        "verdict": report.verdict.replace("NONE", "no verdict") if report else "not finished",
    }


def _record(kind: type[records.Record], run: Path) -> records.Record | None:
    try:
        return steps.load(kind, run)
    except UserError:
        return None
