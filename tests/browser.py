"""A real browser and a real run for the tests that look at pages; conftest.py makes the fixtures known to all of them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from helpers import ROOT, run


@pytest.fixture(scope="session")
def executable() -> str:
    """Debian's Chromium; tests that need it are skipped where it or playwright is missing, before anything else is made."""
    pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
    return shutil.which("chromium") or pytest.skip("chromium is not installed: apt-get install chromium fonts-noto-cjk")


@pytest.fixture(scope="session")
def finished_run(executable, tmp_path_factory) -> Path:
    """The folder of a small finished run of the demo; its parent holds no other run."""
    folder = tmp_path_factory.mktemp("reports") / "demo"
    values = yaml.safe_load((ROOT / "params" / "demo.yaml").read_text())
    values |= {"run": str(folder), "subset": 200, "batch_sizes": [1, 4], "profile": "quick"}
    params = tmp_path_factory.mktemp("params") / "demo.yaml"
    params.write_text(yaml.safe_dump(values))
    assert run.main([str(params)]) == 0
    return folder


@pytest.fixture(scope="module")  # not the session: while it runs, asyncio takes this thread for its own
def chromium(executable) -> Iterator:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        yield browser
        browser.close()
