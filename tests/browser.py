"""A real browser and a real run for the tests that look at pages; conftest.py makes the fixtures known to all of them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from helpers import ROOT, run

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Path:
    """The folder of a small finished run of the demo; its parent holds no other run."""
    folder = tmp_path_factory.mktemp("reports") / "demo"
    values = yaml.safe_load((ROOT / "params" / "demo.yaml").read_text())
    values |= {"run": str(folder), "subset": 200, "batch_sizes": [1, 4], "profile": "quick"}
    params = tmp_path_factory.mktemp("params") / "demo.yaml"
    params.write_text(yaml.safe_dump(values))
    assert run.main([str(params)]) == 0
    return folder


@pytest.fixture(scope="module")  # not the session: while it runs, asyncio takes this thread for its own
def chromium() -> Iterator:
    """Debian's Chromium, headless; tests are skipped where it or playwright is missing."""
    if not CHROMIUM:
        pytest.skip("chromium is not installed: apt-get install chromium fonts-noto-cjk")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()
