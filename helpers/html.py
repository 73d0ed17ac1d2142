"""Executed notebook -> one self-contained HTML file. No script, no network reference."""

import json
from html import escape
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from helpers import embedded, files, records, redact, table_files, translation
from helpers.redact import Redaction

TEMPLATES = Path(__file__).parent / "templates"


def render(notebook: Path, page: Path, title: str = "", identify: bool = False, language: str = "en") -> None:
    """Write the HTML page of an executed notebook and its tables; cells tagged `skip` are left out, code of cells tagged `hide` too.

    `title` takes the place of the notebook's own heading. Unless `identify`, places and names of this machine are left out. Its fixed
    texts are in the language. A finished report carries the run's records.
    """
    executed, folder = nbformat.read(notebook, as_version=4), notebook.parent
    first = next(cell for cell in executed.cells if cell.cell_type == "markdown")
    heading, _, rest = first.source.partition("\n")
    title = " ".join(title.split()) or heading.lstrip("# ")
    first.source = f"<h1>{escape(title)}</h1>\n\n{rest}"  # as HTML: Markdown would make links and pictures of what a title says
    text = export(executed, title, f"Run {folder.name}, notebook {notebook.stem}. This page holds no script and loads nothing.")
    if not identify:
        written = [path for path in (folder / kind.file_name() for kind in records.KINDS) if path.is_file()]
        parameters = executed.metadata.get("papermill", {}).get("parameters", {})
        hosts = redact.hosts([parameters, *(json.loads(path.read_bytes()) for path in written)])
        text = Redaction(str(folder.resolve()), parameters, hosts=hosts).page(text)
    text = translation.translated(text, language)
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
