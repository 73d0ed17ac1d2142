"""Tiny data and models that the tests share: nothing here needs a network, a GPU or minutes."""

import io
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from helpers import ROOT, environment, files, host_lock
from tests import simulators
from tests.browser import chromium, executable, finished_run  # noqa: F401, fixtures


@pytest.fixture(autouse=True, scope="session")
def machine_as_it_is():
    """Ask for the machine once, before a test pretends another number of cores: the answer is kept for the process."""
    environment.machine()


@pytest.fixture(autouse=True)
def own_hash_cache(tmp_path_factory, monkeypatch):
    """Keep the tests' hashes out of reports/."""
    monkeypatch.setattr(files, "HASH_CACHE", tmp_path_factory.getbasetemp() / "hashes.json")


@pytest.fixture(autouse=True, scope="session")
def own_host_lock(tmp_path_factory):
    """Give each test process a lock of its own, its kernels and workers included: tests that run side by side don't wait for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(host_lock.VARIABLE, str(tmp_path_factory.getbasetemp() / "sweep.lock"))
        yield


@pytest.fixture
def ascend(tmp_path_factory, monkeypatch):
    """Simulated atc, npu-smi, ais_bench and aclruntime on PATH and PYTHONPATH, twenty times as fast as they state."""
    for name, value in simulators.install(tmp_path_factory.mktemp("ascend")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ASCEND_SIM_SCALE", "0.05")
    monkeypatch.syspath_prepend(simulators.SITE)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Twenty small JPEGs of random size, no two alike."""
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(20):
        height, width = random.integers(30, 60, 2)
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(folder / f"image_{number:02d}.JPEG")
    return folder


@pytest.fixture
def label_file(tmp_path: Path, image_folder: Path) -> Path:
    """Labels 0, 1, 2, 0, ... of the image folder."""
    path = tmp_path / "val_label.txt"
    names = sorted(file.name for file in image_folder.iterdir())
    path.write_text("".join(f"{name} {index % 3}\n" for index, name in enumerate(names)))
    return path


@pytest.fixture
def run_file(tmp_path: Path):
    """Return a function that writes a parameter file with a run folder below tmp_path and returns its path."""

    def write(name: str = "run", base: str = "demo", **values) -> Path:
        content = yaml.safe_load((ROOT / "params" / f"{base}.yaml").read_text())
        content.update({"run": str(tmp_path / name), **values})
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def png(pixels: np.ndarray, **options) -> bytes:
    """Return an encoded PNG."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", **options)
    return encoded.getvalue()
