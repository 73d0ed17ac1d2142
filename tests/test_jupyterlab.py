"""The third way to use the project, for real: JupyterLab in a browser, a notebook run cell by cell, a parameter changed."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import ROOT

NOTEBOOKS = ("0_overview.ipynb", "5_report.ipynb")
PATIENCE = 60  # seconds that a page, a kernel or a cell may take on a busy machine
REST = "strict: bool = False\nidentify: bool = False\nlanguage: str = 'en'"  # of the parameters of 5_report
OUTPUT = ".jp-OutputArea-output"


@pytest.fixture(scope="module")
def lab(tmp_path_factory, finished_run):
    """JupyterLab in a folder of its own with copies of the notebooks and settings of nobody: an address that opens a notebook in it."""
    folder, own = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("settings")
    for name in NOTEBOOKS:
        shutil.copy(ROOT / "notebooks" / name, folder)
    token, log = secrets.token_hex(16), (own / "log").open("w+")
    places = {f"JUPYTER_{kind}_DIR": str(own / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    places |= {f"JUPYTERLAB_{kind}_DIR": str(own / kind.lower()) for kind in ("SETTINGS", "WORKSPACES")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1"]
    options = [f"--IdentityProvider.token={token}", "--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    server = subprocess.Popen([*command, *options], cwd=folder, env={**os.environ, **places}, stdout=log, stderr=log)
    try:
        port = _port(own / "runtime", server, Path(log.name))
        yield lambda name: f"http://127.0.0.1:{port}/lab/workspaces/{Path(name).stem}/tree/{name}?token={token}"  # no other tabs
    finally:
        server.terminate()
        server.wait(PATIENCE)


def _port(runtime: Path, server: subprocess.Popen, log: Path) -> int:
    """Return the port that the server chose, once it has said so."""
    for _ in range(10 * PATIENCE):
        said = [path for path in runtime.glob("jpserver-*.json") if path.stat().st_size]
        if said:
            return json.loads(said[0].read_text())["port"]
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture
def opened(chromium, lab):
    """Return a function that opens a notebook of the lab."""
    contexts = []

    def opens(name):
        context = chromium.new_context(viewport={"width": 1200, "height": 4000})  # cells out of sight are not drawn
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(lab(name))
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # before that, running a cell asks which kernel to use
        return page

    yield opens
    for context in contexts:
        context.close()


def write_parameters(page, source):
    """Put other parameters in the place of those that the notebook has, as a user would."""
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(source)


def run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def test_the_overview_shows_the_runs_that_are_named_and_those_alone(opened, finished_run):
    page = opened("0_overview.ipynb")
    run_all(page)
    page.locator(f"{OUTPUT} table").first.wait_for()  # the newest runs, whichever there are
    write_parameters(page, f"runs: list = [{str(finished_run)!r}, '/nowhere/at/all']\nnewest: int = 5")
    run_all(page)
    chart = page.locator(f"{OUTPUT} figure img[alt^='Fastest: demo, ']")
    chart.wait_for()
    assert "demo, compute time: batch 1 " in chart.get_attribute("alt")
    assert chart.evaluate("image => image.naturalWidth") > 0
    page.get_by_text("data.json is not in run all: run 1_prepare_data first.").wait_for()
    page.locator(f"{OUTPUT} figure img[alt^='Highest top-1: demo, ']").wait_for()
    write_parameters(page, "runs: list = ['two words']\nnewest: int = 5")
    run_all(page)
    page.get_by_text("ParameterError: runs.0: 'two words' is neither a name").wait_for()


def test_the_report_is_made_of_the_run_that_the_parameters_name(opened, finished_run, tmp_path):
    own = shutil.copytree(finished_run, tmp_path / "mine")
    page = opened("5_report.ipynb")
    write_parameters(page, f"run: str = {str(tmp_path)!r}\ntitle: str = 'x'\n{REST}")
    run_all(page)
    page.get_by_text(f"UserError: data.json is not in run {tmp_path.name}: run 1_prepare_data first.").wait_for()
    write_parameters(page, f"run: str = {str(own)!r}\ntitle: str = 'In the lab'\n{REST}")
    run_all(page)
    page.get_by_text("python -m helpers.run params/again.yaml").wait_for()
    chart = page.locator(f"{OUTPUT} figure img[alt^='onnxruntime fp32 runs at']")
    assert "batch 4" in chart.get_attribute("alt")
    assert chart.evaluate("image => image.naturalWidth") > 0
    assert json.loads((own / "report.json").read_text())["title"] == "In the lab"
