"""Notebooks checked without a kernel: small, in order, told in prose as much as in code, committed without outputs."""

import ast

import nbformat
import pytest

from helpers import ROOT
from helpers.params import STEPS

EXPLORES = "0_overview"  # is no step of the chain: it reads several runs and writes no record
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def codes(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_is_a_notebook_for_each_step_and_one_that_explores():
    assert [path.stem for path in PATHS] == [EXPLORES, *STEPS]


def test_size(notebook):
    code = codes(notebook)
    assert len(notebook.cells) <= 16
    assert len(code) <= 8
    assert len(notebook.cells) - len(code) >= len(code)
    for cell in code:
        limit = 15 if "parameters" in cell.metadata.get("tags", []) else 8
        assert len(cell.source.splitlines()) <= limit, cell.id


def test_order(path, notebook):
    first, second = notebook.cells[0], notebook.cells[1]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "parameters" in second.metadata.tags
    assert second.source.startswith("runs: list = []" if path.stem == EXPLORES else 'run: str = "dev"')
    headings = [
        line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines() if line.startswith("# ")
    ]
    assert len(headings) == 1
    imports = [index for index, cell in enumerate(codes(notebook)) if "import " in cell.source]
    assert imports == [1]


def test_logic_lives_in_helpers(notebook):
    forbidden = (ast.FunctionDef, ast.ClassDef, ast.Try, ast.While, ast.Lambda)
    for cell in codes(notebook):
        assert "%" not in [line.strip()[:1] for line in cell.source.splitlines()], "no magics"
        tree = ast.parse(cell.source)
        assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)], cell.id
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not names & {"chdir", "path", "system"}, cell.id
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)], cell.id
        assert all(module.split(".")[0] == "helpers" for module in modules)


def test_exactly_one_record_is_saved_and_none_by_the_overview(path, notebook):
    source = "\n".join(cell.source for cell in codes(notebook))
    assert source.count("step.save(") == (path.stem != EXPLORES)
    assert ("steps." in source) == (path.stem != EXPLORES)


def test_no_outputs_and_ids_in_words(notebook):
    for cell in notebook.cells:
        assert cell.id.replace("-", "").isalpha(), cell.id
        assert set(cell.metadata.get("tags", [])) <= {"parameters", "hide", "skip"}
    for cell in codes(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
