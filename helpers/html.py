"""Executed notebook -> one self-contained HTML file. No script, no network reference."""

from html import escape
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from traitlets.config import Config

from helpers import files

TEMPLATES = Path(__file__).parent / "templates"


def render(notebook: Path, page: Path, title: str = "") -> None:
    """Write the HTML page of an executed notebook; cells tagged `skip` are left out, code of cells tagged `hide` too.

    `title` takes the place of the notebook's own heading.
    """
    executed = nbformat.read(notebook, as_version=4)
    first = next(cell for cell in executed.cells if cell.cell_type == "markdown")
    heading, _, rest = first.source.partition("\n")
    title = title or heading.lstrip("# ")
    first.source = f"# {escape(title)}\n{rest}"
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
        "title": title,
        "style": (TEMPLATES / "style.css").read_text(encoding="utf-8"),
        "footer": f"Run {notebook.parent.name}, notebook {notebook.stem}. This page holds no script and loads nothing.",
    }
    text, _ = exporter.from_notebook_node(executed, resources=resources)
    files.write_text(page, text)
