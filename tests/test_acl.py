"""The runtime of the device behind one class: its answers, its times, its failures in a sentence, and what it must not leave behind."""

import faulthandler
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from helpers import ROOT, backends, export, files, params
from helpers.ascend import HANG_LOGS, atc, atc_options, om
from helpers.errors import ParameterError, UserError
from helpers.params import Target
from helpers.preprocess import Preprocess, to_tensor
from helpers.records import Stage, TensorSpec
from tests import simulators
from tests.models import PREPROCESS, write_onnx

ERAS = ["V1", "V1b", "V2", "V3", "V4"]
OURS = re.compile(r"(aclruntime|ascend_simulator|helpers\.ascend\.acl|helpers\.backends\.ascend)(\..*)?")
HOW = Preprocess(**{**PREPROCESS, "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]})
RANDOM = np.random.default_rng(0)
FOUR = RANDOM.random((4, 3, 8, 8), np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder with m.onnx and what atc makes of it, and of models that are no classifiers."""
    folder = tmp_path_factory.mktemp("models")
    environment = {**os.environ, **simulators.install(tmp_path_factory.mktemp("ascend"))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "HASH_CACHE", folder / "hashes.json")
        export.adopt(write_onnx(folder / "theirs.onnx"), folder / "m.onnx", FOUR[:1], "logits")
    (folder / "aipp.cfg").write_text(om.aipp_config(HOW))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("input", "other", "sum")]
    graph = helper.make_graph([helper.make_node("Add", ["input", "other"], ["sum"])], "g", values[:2], values[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "two.onnx")
    for name, source, batches, extra in (
        ("bs1", "m", [1], []),
        ("bs4", "m", [4], []),
        ("half", "m", [4], ["--output_type=FP16"]),
        ("gears", "m", [1, 4, 8], []),
        ("aipp", "m", [4], ["--insert_op_conf=aipp.cfg"]),
        ("two", "two", [1], []),
    ):
        flags = [*atc_options.Atc().flags("Ascend310P3", None), *extra]
        command = atc.command(folder / f"{source}.onnx", folder / f"{name}.om", (3, 8, 8), batches, flags)
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    (folder / "cut.om").write_bytes((folder / "bs4.om").read_bytes()[:-1])
    (folder / "other.om").write_bytes(b"no model at all")
    return folder


@pytest.fixture
def anew(ascend, monkeypatch):
    """Return a function that imports a module anew over a simulated aclruntime, under switches such as ERA="V1"."""

    def forget() -> None:
        for name in filter(OURS.fullmatch, list(sys.modules)):
            parent, _, last = name.rpartition(".")
            if parent in sys.modules:
                vars(sys.modules[parent]).pop(last, None)
            del sys.modules[name]

    def load(name: str = "helpers.ascend.acl", **switches: str):
        forget()
        for switch, value in switches.items():
            monkeypatch.setenv(f"ASCEND_SIM_{switch}", value)
        return import_module(name)

    yield load
    forget()


@pytest.fixture
def opened(anew, models, tmp_path):
    """Return a function that opens a model by its name, for the gear and under the switches given; all are closed at the end."""
    sessions = []

    def session(name: str = "bs4", gear: int | None = None, device: int = 0, **switches: str):
        acl = anew(**switches)
        sessions.append(acl.Session(models / f"{name}.om", device, gear, tmp_path / "ascend.log", 60))
        return sessions[-1]

    yield session
    for session in sessions:
        if not session._prints._file.closed:
            session.close()


def onnx_runtime(models: Path, batch: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(models / "m.onnx", providers=["CPUExecutionProvider"]).run(None, {"input": batch})[0]


def hang_logs(folder: Path) -> list[str]:
    """Return what the logs of hanging calls say."""
    return [path.read_text() for path in folder.glob(HANG_LOGS)]


def log_of(folder: Path) -> list[str]:
    return (folder / "ascend.log").read_text().splitlines()


def executes() -> int:
    """Return how often the simulated chip executed anything."""
    return sys.modules["ascend_simulator.process"].Process.executes


# answers


@pytest.mark.parametrize("era", ERAS)
def test_the_answers_are_those_of_onnx_runtime(opened, models, era):
    answers, _ = opened("bs4", ERA=era)(FOUR)
    assert (answers.dtype, answers.shape) == (np.float32, (4, 10))
    np.testing.assert_allclose(answers, onnx_runtime(models, FOUR), atol=1e-6)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("gear", [1, 4, 8])
def test_a_gear_answers_as_onnx_runtime_does(opened, models, gear, era):
    batch = np.resize(FOUR, (gear, 3, 8, 8))
    answers, _ = opened("gears", gear, ERA=era)(batch)
    np.testing.assert_allclose(answers, onnx_runtime(models, batch), atol=1e-6)


@pytest.mark.parametrize("era", ERAS)
def test_a_model_that_normalises_takes_pixels(opened, models, era):
    pixels = RANDOM.integers(0, 256, (4, 8, 8, 3), np.uint8)
    answers, _ = opened("aipp", ERA=era)(pixels)
    np.testing.assert_allclose(answers, onnx_runtime(models, to_tensor(pixels, HOW)), atol=5e-3)  # it normalises in fp16


def test_each_call_answers_its_own_batch(opened, models):
    session = opened()
    first, second = session(FOUR)[0], session(FOUR[::-1])[0]
    np.testing.assert_allclose(first, onnx_runtime(models, FOUR), atol=1e-6)
    np.testing.assert_allclose(second, first[::-1], atol=1e-6)


def test_a_view_with_strides_is_answered_as_a_copy_is(opened, models):
    flipped = FOUR[..., ::-1]
    np.testing.assert_allclose(opened()(flipped)[0], onnx_runtime(models, flipped.copy()), atol=1e-6)


def test_answers_in_half_precision_become_float32(opened, models):
    answers, _ = opened("half")(FOUR)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers, onnx_runtime(models, FOUR), atol=1e-3)


def test_the_second_device_answers_too(opened, models):
    answers, _ = opened(device=1, SMI="duo")(FOUR)
    np.testing.assert_allclose(answers, onnx_runtime(models, FOUR), atol=1e-6)


# times


@pytest.mark.parametrize("era", ERAS)
def test_every_part_of_a_call_takes_time(opened, era):
    _, times = opened(ERA=era)(FOUR)
    assert min(times.to_device, times.compute, times.to_host) > 0


@pytest.mark.parametrize("era", ["V2", "V3", "V4"])
def test_compute_is_what_the_runtime_states_for_the_call(opened, era):
    session = opened(ERA=era)
    stated = [session(FOUR)[1].compute for _ in range(3)]
    assert stated == pytest.approx([0.9605e-3, 0.962831e-3, 0.957760e-3], rel=5e-4)  # 19.21 ms at a scale of 0.05, with its jitter


@pytest.mark.parametrize("era", ["V2", "V3", "V4"])
def test_compute_of_a_gear_is_that_of_its_batch_size(opened, era):
    assert opened("gears", 1, ERA=era)(FOUR[:1])[1].compute == pytest.approx(0.351e-3, rel=5e-4)


@pytest.mark.parametrize(("entry", "milliseconds"), [(0.5, 0.5), (3, 3.0), ((1.5, 2.25), 0.75), ([10.0, 12.0], 2.0)])
def test_an_entry_of_the_runtimes_list_is_a_time_or_a_pair(anew, entry, milliseconds):
    assert anew().duration_ms(entry) == milliseconds


# what is refused before the runtime sees it


@pytest.mark.parametrize(
    ("name", "gear", "batch", "said"),
    [
        ("bs4", None, FOUR.transpose(0, 2, 3, 1), "float32 [4, 3, 8, 8] and was given float32 [4, 8, 8, 3]"),
        ("bs4", None, FOUR[:2].astype(np.float64), "float32 [4, 3, 8, 8] and was given float64 [2, 3, 8, 8]"),
        ("bs4", None, FOUR.view(np.int32), "float32 [4, 3, 8, 8] and was given int32 [4, 3, 8, 8]"),
        ("bs4", None, FOUR.reshape(4, 192), "float32 [4, 3, 8, 8] and was given float32 [4, 192]"),
        ("bs4", None, FOUR[:3], "float32 [4, 3, 8, 8] and was given float32 [3, 3, 8, 8]"),
        ("gears", 4, FOUR[:1], "float32 [4, 3, 8, 8] and was given float32 [1, 3, 8, 8]"),
        ("gears", None, np.resize(FOUR, (8, 3, 8, 8)), "float32 [-1, 3, 8, 8] and was given float32 [8, 3, 8, 8]"),
        ("aipp", None, np.zeros((4, 3, 8, 8), np.uint8), "uint8 [4, 8, 8, 3] and was given uint8 [4, 3, 8, 8]"),
        ("aipp", None, FOUR.transpose(0, 2, 3, 1), "uint8 [4, 8, 8, 3] and was given float32 [4, 8, 8, 3]"),
    ],
    ids=["nhwc", "float64", "int32", "flat", "short", "gear", "no gear", "nchw pixels", "float pixels"],
)
def test_another_shape_or_dtype_never_reaches_the_runtime(opened, name, gear, batch, said):
    session = opened(name, gear)
    with pytest.raises(UserError, match=f"^{re.escape(f'{name}.om takes {said}: run 2_convert with the same parameters.')}$"):
        session(batch)
    assert executes() == 0


def test_a_batch_that_was_refused_does_not_disturb_the_next(opened, models):
    session = opened()
    with pytest.raises(UserError):
        session(FOUR[:2])
    np.testing.assert_allclose(session(FOUR)[0], onnx_runtime(models, FOUR), atol=1e-6)


def test_a_model_with_two_inputs_is_no_classifier(opened):
    with pytest.raises(UserError, match="^two.om has 2 inputs: a classifier has one; convert the model that 2_convert exported.$"):
        opened("two")


# failures of the runtime

LOG = "the whole text is in artefacts/ascend.log."
RUN_AGAIN = "the .om is damaged, for another chip, or by a newer CANN than the driver: run 2_convert again here."
BUSY = "another process holds the device, or this user may not open it: see npu-smi info and the group HwHiAiUser."


def not_loaded(path: Path) -> str:
    return (
        f"aclruntime could not load {path.name} on device 0: [ERROR] load model from file failed, model file is {path} "
        "[WARN] Check failed:processModel->LoadModelFromFile(modelPath), ret:1 [WARN] no model had been loaded, unload failed "
        f"[1][ACL: invalid parameter]; {RUN_AGAIN}"
    )


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("name", "switches"),
    [("missing", {}), ("cut", {}), ("other", {}), ("bs4", {"CHIP": "310B1"}), ("bs4", {"FAULT": "load-fail"})],
    ids=["missing", "cut", "foreign", "wrong chip", "refused"],
)
def test_a_model_that_does_not_load_is_a_sentence(opened, models, name, switches, era):
    with pytest.raises(UserError, match=f"^{re.escape(not_loaded(models / f'{name}.om'))}$"):
        opened(name, ERA=era, **switches)


def test_a_device_that_is_busy_is_a_sentence(opened):
    said = f"aclruntime could not load bs4.om on device 0: [ERROR] acl open device 0 failed [507033][Error code unknown]; {BUSY}"
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        opened(FAULT="device-busy")


def test_a_device_that_is_not_there_is_a_sentence(opened):
    said = f"aclruntime could not load bs4.om on device 3: [ERROR] acl open device 3 failed [107001][Error code unknown]; {BUSY}"
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        opened(device=3)


def test_a_gear_that_the_model_lacks_is_a_sentence(opened):
    said = (
        "aclruntime could not load gears.om on device 0: [ERROR] the dymBatch parameter is not correct "
        "[ERROR] model has dynamic batch size:{[1][4][8]}, please set correct dynamic batch size "
        "[WARN] Check failed:processModel->CheckDynamicBatchSize(batchsize, is_dymbatch), ret:1 [1][ACL: invalid parameter]; "
        "the model has no gear for this batch size: run 2_convert with the same batch_sizes."
    )
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        opened("gears", 2)


def test_a_gear_of_a_static_model_is_a_sentence(opened):
    said = (
        "aclruntime could not load bs4.om on device 0: "
        "[ERROR] the dynamic_batch_size parameter is not specified for model conversion "
        "[WARN] Check failed:processModel->CheckDynamicBatchSize(batchsize, is_dymbatch), ret:1 [1][ACL: invalid parameter]; "
    )
    with pytest.raises(UserError, match=f"^{re.escape(said)}"):
        opened(gear=4)


def test_a_model_with_gears_of_which_none_is_set_is_a_sentence(opened):
    session = opened("gears")
    session._shape = (8, 3, 8, 8)  # else the batch would be refused before the runtime sees it
    said = (
        "aclruntime could not run gears.om: [WARN] check failed dym gearcount:3 but dymtype:0 not set "
        "[ERROR] Set InputsData failed ret:-1 [-1][ACL: general failure]; the model has gears "
        "and was given no batch size: run 2_convert with the same parameters."
    )
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        session(np.resize(FOUR, (8, 3, 8, 8)))


@pytest.mark.parametrize("era", ERAS)
def test_an_execution_that_fails_is_a_sentence(opened, era):
    session = opened(ERA=era, FAULT="run-fail:2")
    session(FOUR)
    said = (
        "aclruntime could not run bs4.om: [ERROR] execute model failed, modelId is 1 [ERROR] acl execute failed:1 "
        "[ERROR] Execute Infer failed ret:-1 [-1][ACL: general failure]; "
        "see npu-smi info for the chip's health and memory, and try a smaller batch size."
    )
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        session(FOUR)


def test_after_an_execution_that_failed_the_session_goes_on(opened, models):
    session = opened(FAULT="run-fail:1")
    with pytest.raises(UserError):
        session(FOUR)
    np.testing.assert_allclose(session(FOUR)[0], onnx_runtime(models, FOUR), atol=1e-6)


def test_an_output_of_no_size_is_a_sentence(opened):
    said = (
        "aclruntime could not run bs4.om: [ERROR] out i:0 size is zero [ERROR] create outmemory data failed:3011 "
        "[ERROR] Set InputsData failed ret:3011 [3011][Infer: find outputsize is zero please check outputsize is set correct]; "
    )
    with pytest.raises(UserError, match=f"^{re.escape(said)}"):
        opened(FAULT="output-size-zero")(FOUR)


def test_an_input_of_another_size_is_a_sentence(opened):
    session = opened()
    session._shape = (2, 3, 8, 8)  # else the batch would be refused before the runtime sees it
    said = (
        "aclruntime could not run bs4.om: [ERROR] Check i:0 name:input in size:1536 needsize:3072 not match "
        f"[ERROR] Check InVector failed ret:-1 [-1][ACL: general failure]; {LOG}"
    )
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        session(FOUR[:2])


# what C code prints


@pytest.mark.parametrize("era", ["V1", "V2", "V3", "V4"])
def test_what_the_runtime_prints_goes_to_the_log(opened, models, tmp_path, capfd, era):
    session = opened(ERA=era)
    session(FOUR)
    session.close()
    assert capfd.readouterr().out == ""
    assert log_of(tmp_path) == [
        "[INFO] acl init success",
        "[INFO] open device 0 success",
        f"[INFO] load model {models}/bs4.om success",
        "[INFO] create model description success",
        "[INFO] unload model success, model Id is 1",
    ]


def test_what_a_failure_prints_goes_to_the_log(opened, tmp_path, capfd):
    with pytest.raises(UserError):
        opened(FAULT="device-busy")
    assert capfd.readouterr().out == ""
    assert log_of(tmp_path)[-2:] == ["[ERROR] acl open device 0 failed", "SetDevice failed.ret=507033"]


def test_stdout_is_ours_again_after_every_block(opened, capfd):
    session = opened(FAULT="run-fail:2")
    os.write(1, b"loaded\n")
    session(FOUR)
    os.write(1, b"run\n")
    with pytest.raises(UserError):
        session(FOUR)
    os.write(1, b"failed\n")
    session.close()
    os.write(1, b"closed\n")
    assert capfd.readouterr().out == "loaded\nrun\nfailed\nclosed\n"


PRINTS = """
import ctypes, sys
from pathlib import Path
from helpers.ascend import acl
libc, prints = ctypes.CDLL(None), acl.Prints(Path(sys.argv[1]))
libc.printf(b"before ")
with prints:
    libc.printf(b"during")
libc.printf(b"after")
"""


def test_what_c_holds_back_lands_where_it_was_printed(ascend, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # which would unbuffer C too
    command = [sys.executable, "-c", PRINTS, str(tmp_path / "ascend.log")]
    done = subprocess.run(command, env={**environment, "PYTHONPATH": f"{simulators.SITE}:{ROOT}"}, capture_output=True, text=True)
    assert done.stdout == "before after"
    assert (tmp_path / "ascend.log").read_text() == "during"


def test_only_the_last_block_is_quoted(anew, tmp_path):
    (tmp_path / "ascend.log").write_text("[ERROR] of another session\n")
    prints = anew().Prints(tmp_path / "ascend.log")
    for text in (b"[ERROR] of the first block\n", b"[INFO] fine\n\rloop (1/2)\r[ERROR] second\nEE9999: Inner\n  [WARN] last \n"):
        with prints:
            os.write(1, text)
    prints.close()
    assert prints.problems() == "[ERROR] second [WARN] last"


def test_a_block_without_problems_has_nothing_to_quote(anew, tmp_path):
    prints = anew().Prints(tmp_path / "ascend.log")
    with prints:
        os.write(1, b"[ERROR] once\n")
    with prints:
        os.write(1, b"[INFO] fine\n")
    prints.close()
    assert prints.problems() == ""


def test_a_failure_does_not_quote_an_earlier_one(opened):
    session = opened(FAULT="run-fail:1")
    with pytest.raises(UserError):
        session(FOUR)
    session._shape = (2, 3, 8, 8)
    with pytest.raises(UserError, match=f"^{re.escape('aclruntime could not run bs4.om: [ERROR] Check i:0 name:input')}"):
        session(FOUR[:2])


def test_a_log_that_is_no_text_can_be_quoted(anew, tmp_path):
    prints = anew().Prints(tmp_path / "ascend.log")
    with prints:
        os.write(1, b"[ERROR] \xff\n")
    prints.close()
    assert prints.problems() == "[ERROR] �"


# what is left behind


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_fifty_sessions_leave_no_descriptor_open(anew, models, tmp_path):
    acl = anew()
    before = descriptors()
    for _ in range(50):
        session = acl.Session(models / "bs1.om", 0, None, tmp_path / "ascend.log", 60)
        session(FOUR[:1])
        session.close()
    assert descriptors() == before


@pytest.mark.parametrize(("name", "gear"), [("missing", None), ("cut", None), ("bs4", 4), ("two", None)])
def test_sessions_that_do_not_open_leave_no_descriptor_open(anew, models, tmp_path, name, gear):
    acl = anew()
    before = descriptors()
    for _ in range(10):
        with pytest.raises(UserError):
            acl.Session(models / f"{name}.om", 0, gear, tmp_path / "ascend.log", 60)
    assert descriptors() == before


def test_calls_that_fail_leave_no_descriptor_open(opened):
    session = opened(FAULT="output-size-zero")
    before = descriptors()
    for _ in range(10):
        with pytest.raises(UserError):
            session(FOUR)
    assert descriptors() == before


def loads_and_unloads(folder: Path) -> list[str]:
    return re.findall(r"^\[INFO\] (unload model|load model) .*success", (folder / "ascend.log").read_text(), re.M)


@pytest.mark.parametrize("era", ERAS)
def test_closing_unloads_the_model(opened, tmp_path, era):
    session = opened(ERA=era)
    assert loads_and_unloads(tmp_path) == ["load model"]
    session.close()
    assert loads_and_unloads(tmp_path) == ["load model", "unload model"]


@pytest.mark.parametrize("era", ERAS)
def test_a_session_whose_call_failed_unloads_the_model(opened, tmp_path, era):
    session = opened(ERA=era, FAULT="run-fail:1")
    with pytest.raises(UserError):
        session(FOUR)
    session.close()
    assert loads_and_unloads(tmp_path) == ["load model", "unload model"]


@pytest.mark.parametrize(("name", "gear"), [("bs4", 4), ("gears", 3), ("two", None)])
def test_a_model_that_is_loaded_but_not_usable_is_unloaded(opened, tmp_path, name, gear):
    with pytest.raises(UserError):
        opened(name, gear)
    assert loads_and_unloads(tmp_path) == ["load model", "unload model"]


# the watchdog

HANGS = """
import sys
from pathlib import Path
import numpy as np
from helpers.ascend import acl
session = acl.Session(Path(sys.argv[1]), 0, None, Path(sys.argv[2]), 1)
session(np.zeros((4, 3, 8, 8), np.float32))
print("first", flush=True)
session(np.zeros((4, 3, 8, 8), np.float32))
print("second", flush=True)
"""


@pytest.mark.parametrize("era", ["V1", "V4"])  # one lets other threads run while it hangs, the other does not
def test_a_call_that_hangs_ends_the_process_and_leaves_word(ascend, models, tmp_path, era):
    environment = {**os.environ, "ASCEND_SIM_FAULT": "run-hang:2", "ASCEND_SIM_ERA": era, "PYTHONPATH": f"{simulators.SITE}:{ROOT}"}
    command = [sys.executable, "-c", HANGS, str(models / "bs4.om"), str(tmp_path / "ascend.log")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGALRM, "first\n")
    [said] = hang_logs(tmp_path)
    assert re.search(r'File ".*/helpers/ascend/acl.py", line \d+ in _execute', said)


TWO_SESSIONS = """
import sys
from pathlib import Path
import numpy as np
from helpers.ascend import acl
om, log = map(Path, sys.argv[1:])
session, other = (acl.Session(om, 0, None, log, 1) for _ in range(2))
other(np.zeros((4, 3, 8, 8), np.float32))
other.close()
session(np.zeros((4, 3, 8, 8), np.float32))
"""


def test_a_call_that_hangs_after_another_session_was_closed_leaves_word(ascend, models, tmp_path):
    environment = {**os.environ, "ASCEND_SIM_FAULT": "run-hang:2", "PYTHONPATH": f"{simulators.SITE}:{ROOT}"}
    command = [sys.executable, "-c", TWO_SESSIONS, str(models / "bs4.om"), str(tmp_path / "ascend.log")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGALRM
    assert ["in _execute" in said for said in hang_logs(tmp_path)] == [True]


def test_a_session_that_ends_well_leaves_no_word_of_a_hang(opened, tmp_path):
    session = opened()
    session(FOUR)
    assert hang_logs(tmp_path) == [""]
    session.close()
    assert hang_logs(tmp_path) == []


def test_a_session_that_does_not_open_leaves_no_word_of_a_hang(opened, tmp_path):
    with pytest.raises(UserError):
        opened("missing")
    assert hang_logs(tmp_path) == []


def test_the_alarm_is_set_within_a_block_only(anew, tmp_path):
    watchdog = anew().Watchdog(tmp_path, 3600)
    with watchdog:
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert not faulthandler.unregister(signal.SIGALRM)  # it was not registered any more
    watchdog.close()


def test_a_block_that_fails_leaves_no_alarm(opened):
    with pytest.raises(UserError):
        opened(FAULT="output-size-zero")(FOUR)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_no_timeout_is_no_limit(anew, tmp_path):
    watchdog = anew().Watchdog(tmp_path, 0)
    with watchdog:
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    watchdog.close()


# the backend


def stage_of(
    name: str, batch: int | None = 4, gears=(), soc: str = "Ascend310P3", dtype: str = "float32", precision: str = "fp16"
) -> Stage:
    axis = batch or "batch"
    shape = [axis, 8, 8, 3] if dtype == "uint8" else [axis, 3, 8, 8]
    return Stage(
        name=name,
        format="om",
        file=f"artefacts/{name}.om",
        sha256=None,
        bytes=None,
        command="",
        seconds=0.0,
        input=TensorSpec(name="input", shape=shape, dtype=dtype),
        output=TensorSpec(name="probs", shape=[axis, 10], dtype="float32"),
        precision=precision,
        soc=soc,
        batch=batch,
        gears=list(gears),
        aipp=dtype == "uint8",
    )


BS1, BS4 = stage_of("bs1", 1), stage_of("bs4", 4)
ONNX = stage_of("m", None).model_copy(update={"format": "onnx", "file": "artefacts/m.onnx", "precision": "fp32", "soc": None})
GEARS, AIPP = stage_of("gears", None, [1, 4, 8]), stage_of("aipp", dtype="uint8")


@pytest.fixture
def loaded(anew, models, tmp_path):
    """Return a function that loads the backend with these offline models in a run folder; all are closed at the end."""
    shutil.copytree(models, tmp_path / "artefacts")
    found = []

    def load(*stages: Stage, switches=None, **target):
        anew(**(switches or {}))
        model = SimpleNamespace(stages=[ONNX, *stages])  # as much of model.json as the backend reads
        found.append(backends.load(tmp_path, model, Target(backend="ascend", **target)))
        return found[-1]

    yield load
    for backend in found:
        backend.close()


def test_a_batch_size_runs_on_its_own_model(loaded, models):
    backend = loaded(BS1, BS4)
    for batch in (FOUR, FOUR[:1]):
        np.testing.assert_allclose(backend(batch), onnx_runtime(models, batch), atol=1e-6)
        assert backend.times.compute > 0


def test_a_batch_size_runs_on_its_gear(loaded, models):
    backend = loaded(GEARS)
    for batch in (FOUR, FOUR[:1]):
        np.testing.assert_allclose(backend(batch), onnx_runtime(models, batch), atol=1e-6)


def test_one_session_is_open_at_a_time(loaded, tmp_path):
    backend = loaded(BS1, BS4)
    for batch in (FOUR, FOUR, FOUR[:1], FOUR):
        backend(batch)
    assert loads_and_unloads(tmp_path / "artefacts") == ["load model", "unload model"] * 2 + ["load model"]
    backend.close()
    assert loads_and_unloads(tmp_path / "artefacts") == ["load model", "unload model"] * 3


def test_a_gear_has_a_session_of_its_own(loaded, tmp_path):
    backend = loaded(GEARS)
    backend(FOUR)
    backend(FOUR[:1])
    assert loads_and_unloads(tmp_path / "artefacts") == ["load model", "unload model", "load model"]


def test_a_backend_may_be_closed_twice_and_used_again(loaded, models):
    backend = loaded(BS4)
    backend(FOUR)
    backend.close()
    backend.close()
    np.testing.assert_allclose(backend(FOUR), onnx_runtime(models, FOUR), atol=1e-6)


def test_a_backend_whose_model_does_not_load_can_run_another(loaded, models, tmp_path):
    backend = loaded(BS1, BS4)
    (tmp_path / "artefacts" / "bs4.om").unlink()
    with pytest.raises(UserError, match="could not load bs4.om"):
        backend(FOUR)
    np.testing.assert_allclose(backend(FOUR[:1]), onnx_runtime(models, FOUR[:1]), atol=1e-6)


def test_a_model_for_another_chip_is_refused_before_it_is_loaded(loaded, tmp_path):
    said = "bs4.om was made for Ascend310P1 and device 0 is Ascend310P3: run 2_convert on this machine, or correct atc.soc_version."
    with pytest.raises(UserError, match=f"^{said}$"):
        loaded(stage_of("bs4", soc="Ascend310P1"))
    assert not (tmp_path / "artefacts" / "ascend.log").exists()


def test_the_latest_chips_are_known_by_their_short_name(loaded):
    assert loaded(stage_of("bs4", soc="Ascend910_9392"), switches={"SMI": "a3"}).provider == "Ascend910_9392"


@pytest.mark.parametrize(("machine", "there"), [("310p", "0"), ("duo", "0, 1")])
def test_an_unknown_device_names_those_there_are(loaded, tmp_path, machine, there):
    said = f"there is no device 5, npu-smi lists {there}: choose one of these as device_id."
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        loaded(BS4, switches={"SMI": machine}, provider_options={"device_id": 5})
    assert not (tmp_path / "artefacts" / "ascend.log").exists()


def test_the_device_that_was_asked_for_is_opened(loaded, tmp_path):
    loaded(BS4, switches={"SMI": "duo"}, provider_options={"device_id": 1})(FOUR)
    assert "[INFO] open device 1 success" in log_of(tmp_path / "artefacts")


OPTIONS = "provider_options of backend ascend are device_id, timeout_seconds, numbers from 0 on; not"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device_id": -1}, "device_id: -1"),
        ({"device_id": "0"}, "device_id: 0"),
        ({"device_id": 0.0}, "device_id: 0.0"),
        ({"timeout_seconds": -0.5}, "timeout_seconds: -0.5"),
        ({"timeout_seconds": "60"}, "timeout_seconds: 60"),
        ({"device_id": 0, "device": 0}, "device: 0"),
        ({"device_id": True}, "device_id: True"),
        ({"timeout_seconds": True}, "timeout_seconds: True"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds: nan"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds: inf"),
    ],
)
def test_options_that_can_not_be_right_are_a_parameter_error(loaded, options, said):
    with pytest.raises(ParameterError, match=f"^{re.escape(f'{OPTIONS} {said}.')}$"):
        loaded(BS4, provider_options=options)


def test_another_provider_is_a_parameter_error(loaded):
    with pytest.raises(ParameterError, match="^provider cpu: backend ascend runs on npu.$"):
        loaded(BS4, provider="cpu")


def test_the_npu_may_be_named_as_provider(loaded):
    assert loaded(BS4, provider="npu").provider == "Ascend310P3"


def test_the_time_limit_is_the_one_that_was_asked_for(loaded, monkeypatch):
    backend = loaded(BS4, provider_options={"timeout_seconds": 2.5})
    asked = []
    monkeypatch.setattr(signal, "setitimer", lambda _, seconds: asked.append(seconds))
    backend.prepare(4)
    backend.close()
    assert asked == [2.5, 0]


def test_a_batch_size_without_a_model_is_a_sentence(loaded):
    with pytest.raises(UserError, match="^this run has no .om for batch size 2: run 2_convert with it in batch_sizes.$"):
        loaded(BS1, BS4)(FOUR[:2])


def test_a_run_without_offline_models_is_a_sentence(loaded):
    with pytest.raises(UserError, match="^this run has no .om: run 2_convert with backend ascend.$"):
        loaded()


def test_another_precision_than_the_models_is_a_sentence(loaded):
    said = "precision fp32 was asked for but atc made fp16: say auto or change atc."
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        loaded(BS4, precision="fp32")


def test_conversion_refuses_a_precision_that_its_flags_do_not_make(ascend):
    said = "precision is fp32, but with these flags atc makes fp16: say auto or change atc."
    with pytest.raises(ParameterError, match=f"^{re.escape(said)}$"):
        params.check(params.Convert, backend="ascend", precision="fp32")


def test_a_simulated_device_is_never_named_without_saying_so(loaded):
    backend = loaded(BS4, precision="fp16")
    assert (backend.device, backend.simulated) == ("Ascend 310P3 (simulated device)", True)
    assert backend.describe() == "ascend (aclruntime 0.0.2+simulated), Ascend310P3, fp16"
    assert backend.identity == "ascend fp16 on Ascend310P3 (simulated device)"


def test_a_model_that_normalises_is_another_one(loaded):
    backend = loaded(AIPP)
    assert backend.describe() == "ascend (aclruntime 0.0.2+simulated), Ascend310P3, fp16, AIPP"
    assert backend.identity == "ascend fp16 on Ascend310P3 (simulated device) (aipp True)"


def test_a_model_that_normalises_is_given_pixels(loaded):
    assert loaded(AIPP).expects(HOW) == om.pixels(HOW)


def test_a_model_that_does_not_normalise_is_given_what_the_run_prepared(loaded):
    assert loaded(BS4).expects(HOW) == HOW


@pytest.mark.parametrize(("stages", "sizes"), [([BS1, BS4], [1, 4]), ([BS4], [4]), ([GEARS], [1, 4, 8])])
def test_only_batch_sizes_with_a_model_are_run(loaded, stages, sizes):
    assert loaded(*stages).sizes([1, 2, 4, 8]) == sizes


def test_the_model_without_aipp_is_none_of_those_that_normalise(loaded):
    assert loaded(AIPP, BS1).sizes([1, 3, 4]) == [4]
