"""The device's own host: notebooks run on what was made elsewhere, without torch, mmcls and openvino."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from helpers import ROOT, run, steps
from helpers.records import Accuracy, Model, Sweep
from tests import models
from tests.test_run import QUICK, write_params

ABSENT = ("torch", "mmcls", "mmcv", "openvino", "onnxscript", "onnxslim", "skimage", "sklearn", "cv2", "torchvision")
HIDE = f"""
import importlib.machinery as machinery
find = machinery.PathFinder.find_spec
def find_spec(cls, name, path=None, target=None):
    return None if name.partition(".")[0] in {ABSENT} else find(name, path, target)
machinery.PathFinder.find_spec = classmethod(find_spec)
"""


@pytest.fixture
def bare(tmp_path, ascend) -> dict[str, str]:
    """The environment of a Python that has none of the absent packages."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(HIDE)
    return {**os.environ, "PYTHONPATH": f"{tmp_path / 'bare'}{os.pathsep}{os.environ['PYTHONPATH']}"}


def test_what_the_device_needs_is_in_no_extra_that_it_does_not_take():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = " ".join(project["dependencies"] + project["optional-dependencies"]["device"])
    assert not [name for name in ("torch", "mmcls", "mmcv", "openvino") if name in needed]
    assert "aclruntime" not in needed  # the vendor's wheel, given by its file: whoever took its name on PyPI would be installed


def test_modules_are_importable_without_the_absent_packages(bare):
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in (ROOT / "helpers").rglob("*.py")]
    names = [name.removesuffix(".__init__") for name in names if name not in ("helpers.backends.torch", "helpers.backends.openvino")]
    script = (
        f"import importlib\nfor name in {names}: importlib.import_module(name)\nimport sys; print(sorted({ABSENT} & sys.modules.keys()))"
    )
    script = script.replace(f"sorted({ABSENT} &", f"sorted(set({ABSENT}) &")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_notebooks_run_on_an_onnx_file_and_a_tensor_store_made_elsewhere(tmp_path, bare):
    images, labels = models.write_digits(tmp_path, 60)
    model = models.write_onnx(tmp_path / "digits.onnx")
    values = {"images": str(images), "labels": str(labels), "model": str(model), "preprocess": models.PREPROCESS, **QUICK}
    params = write_params(tmp_path / "p.yaml", run=str(tmp_path / "run"), backend="ascend", **values)
    assert run.main([str(params), "-p", "backend", "onnxruntime", "--only", "1"]) == 0
    shutil.rmtree(images)
    labels.unlink()
    command = [sys.executable, "-m", "helpers.run", str(params), "--from", "2"]

    refused = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True)
    assert (refused.returncode, refused.stderr) == (2, "1_prepare_data was not run with these parameters: use --from 1.\n")

    record = json.loads((tmp_path / "run" / "data.json").read_text())
    record["environment"]["cpu"] = "of another machine"
    (tmp_path / "run" / "data.json").write_text(json.dumps(record))
    done = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1_prepare_data   made on another machine, taken as it is" in done.stdout
    converted, accuracy, sweep = (steps.load(kind, tmp_path / "run") for kind in (Model, Accuracy, Sweep))
    assert [stage.format for stage in converted.stages] == ["onnx", "onnx", "om", "om"]
    assert accuracy.results[0].top1_pct > 85
    assert set(sweep.one("candidate").rows[0].regions) == {"device", "compute", "host"}

    other = subprocess.run([*command, "-p", "seed", "3"], cwd=ROOT, env=bare, capture_output=True, text=True)
    assert other.returncode == 2  # with other parameters it is not what was brought


def test_a_missing_runtime_is_one_sentence(tmp_path, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None if name == "aclruntime" else find(name, package))
    params = write_params(tmp_path / "p.yaml", "demo", run=str(tmp_path / "run"), backend="ascend")
    assert run.main([str(params)]) == 2
    said = capsys.readouterr().err
    assert "backend ascend is not installed: fetch the vendor's wheel (docs/ascend.md) or use --kit, or choose another" in said
