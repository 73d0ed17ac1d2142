"""ONNX Runtime's CANN provider, by a stand-in for its wheel: what it runs on is asked, never believed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from helpers import ROOT, export
from helpers.errors import ParameterError
from helpers.params import Target, check
from tests import models, simulators

LOAD = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from helpers import backends
from helpers.errors import UserError
from helpers.params import Target, check
folder, options, precision = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
model = SimpleNamespace(stage=lambda format: SimpleNamespace(file="m.onnx", precision="fp32"))
try:
    target = check(Target, provider="CANNExecutionProvider", provider_options=options, precision=precision)
    backend = backends.load(folder, model, target)
    answers = backend(np.load(folder / "images.npy"))
    print(json.dumps([backend.identity, backend.device, backend.region, backend.simulated, answers.argmax(axis=1).tolist()]))
except UserError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def load(tmp_path):
    """Return a function that loads the linear digits with the stand-in and returns the last line that was printed."""
    images = np.random.default_rng(0).random((4, 3, 8, 8), np.float32)
    np.save(tmp_path / "images.npy", images)
    export.adopt(models.write_onnx(tmp_path / "given.onnx"), tmp_path / "m.onnx", images[:1], "logits")

    def run(options=None, precision="auto", **switches) -> str:
        path = os.pathsep.join([str(simulators.CANN), str(simulators.SITE), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": path, **switches}
        command = [sys.executable, "-c", LOAD, str(tmp_path), json.dumps(options or {}), precision]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    return run


def test_a_working_provider_runs_in_fp16_and_says_that_it_is_simulated(load, tmp_path):
    identity, device, region, simulated, answers = json.loads(load(ASCEND_SIM_CANN="ok"))
    assert identity == "onnxruntime fp16 on CANNExecutionProvider (simulated device)"
    assert (device, region, simulated) == ("Ascend by CANN (simulated device)", "device", True)
    weights, bias = models.linear_digits()
    assert answers == (np.load(tmp_path / "images.npy").reshape(4, 192) @ weights + bias).argmax(axis=1).tolist()


def test_a_silent_fall_back_to_the_cpu_is_an_error(load):
    said = load()
    assert said.startswith("UserError: CANNExecutionProvider was asked for but CPUExecutionProvider runs: source /usr/local/Ascend/")


def test_its_precision_is_what_its_options_make(load):
    said = load({"precision_mode": "must_keep_origin_dtype", "device_id": 0}, "fp32", ASCEND_SIM_CANN="ok")
    assert json.loads(said)[0].startswith("onnxruntime fp32 on CANNExecutionProvider (simulated device) (device_id 0, ")
    wrong = load({}, "fp32", ASCEND_SIM_CANN="ok")
    assert wrong.startswith("ParameterError: precision is fp32, but with these provider_options CANN computes in fp16")


def test_the_documented_name_that_the_library_does_not_know_is_refused(load):
    said = load({"optypelist_for_impl_mode": "Gelu"}, ASCEND_SIM_CANN="ok")
    assert said.startswith("ParameterError: provider_options of CANNExecutionProvider are device_id,")
    assert said.endswith("not optypelist_for_impl_mode.")


def test_without_its_wheel_the_provider_is_a_wrong_parameter():
    from helpers.backends import onnxruntime

    with pytest.raises(ParameterError, match="CANNExecutionProvider is not in the installed onnxruntime: choose among"):
        onnxruntime.Backend.check(check(Target, provider="CANNExecutionProvider"))


def test_its_requirements_replace_onnxruntime_and_keep_numpy_below_2():
    lines = (ROOT / "requirements-cann.txt").read_text().splitlines()
    assert not [line for line in lines if line.startswith("onnxruntime=") or line.startswith("onnxruntime>")]
    assert "numpy>=1.26,<2" in lines
