"""Executed notebook -> one self-contained HTML file; all runs -> one index. No script, no network reference."""

from html import escape
from pathlib import Path
from urllib.parse import quote

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from helpers import embedded, files, formats, records, steps, table_files
from helpers.errors import UserError
from helpers.redact import Redaction

TEMPLATES = Path(__file__).parent / "templates"


def render(notebook: Path, page: Path, title: str = "", identify: bool = False) -> None:
    """Write the HTML page of an executed notebook and its tables; cells tagged `skip` are left out, code of cells tagged `hide` too.

    `title` takes the place of the notebook's own heading. Unless `identify`, places and names of this machine are left out. A finished
    report carries the run's records.
    """
    executed, folder = nbformat.read(notebook, as_version=4), notebook.parent
    first = next(cell for cell in executed.cells if cell.cell_type == "markdown")
    heading, _, rest = first.source.partition("\n")
    title = title or heading.lstrip("# ")
    first.source = f"# {escape(title)}\n{rest}"
    text = export(executed, title, f"Run {folder.name}, notebook {notebook.stem}. This page holds no script and loads nothing.")
    if not identify:
        text = Redaction(str(folder.resolve()), executed.metadata.get("papermill", {}).get("parameters", {})).page(text)
    if notebook.stem == records.Report.STEP and (folder / records.Report.file_name()).is_file():
        body, end, rest = text.rpartition("</body>")
        text = f'{body}<pre hidden id="{embedded.ID}">{embedded.pack(folder, identify)}</pre>\n{end}{rest}'
    files.write_text(page, text)
    table_files.write(page)


def export(executed: NotebookNode, title: str, footer: str) -> str:
    """Return the HTML page of a notebook by our template."""
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
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    text, _ = exporter.from_notebook_node(executed, resources={"title": title, "style": style, "footer": footer})
    return text


def write_index(reports: Path) -> None:
    """Write `index.html`: one row for each run below a folder, made from the records alone."""
    rows = [_index_row(path.parent) for path in reports.glob("*/1_prepare_data.html")]
    rows.sort(key=lambda row: row["texts"][0], reverse=True)
    jinja = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    page = jinja.get_template("index_of_runs.html.j2")
    files.write_text(reports / "index.html", page.render(rows=rows, style=(TEMPLATES / "style.css").read_text(encoding="utf-8")))


def _index_row(run: Path) -> dict:
    """Return what the index says of one run; records that are missing, foreign or not made from each other leave it empty."""
    try:
        _, _, accuracy, sweep = steps.load_inputs(records.Report, run)
        report = steps.load(records.Report, run)
    except UserError:
        return {"run": run.name, "link": "", "texts": [""] * 3, "numbers": [""] * 4, "verdict": "not finished"}
    candidate, top1 = sweep.one("candidate"), accuracy.results[0].top1_pct
    points = [(row.regions[sweep.region], row.batch) for row in candidate.rows if sweep.region in row.regions]
    best, batch = max(points, key=lambda point: point[0].images_per_second, default=(None, ""))
    return {
        "run": run.name,
        "link": quote(f"{run.name}/report.html"),
        "texts": [report.created_utc[:16].replace("T", " "), candidate.name, candidate.device],
        "numbers": [
            formats.fps(best) or "",
            batch,
            formats.times(sweep.geomean_ratio) if sweep.geomean_ratio else "",
            f"{top1:.2f} %" if top1 is not None else "",
        ],
        "verdict": report.verdict.replace("NONE", "no verdict"),
    }
