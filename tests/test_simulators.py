"""The simulated Ascend tools do what the real ones were seen to do."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.models import write_onnx
from tests.simulators import CANN, HERE, SITE, install

OURS = re.compile(r"(atc|atc_flags|atc_shapes|aipp|aclruntime|ais_bench|ascend_simulator)(\..*)?")
FAILED = "ATC run failed, Please check the detail log, Try 'atc --help' for more information"
IMAGE = 3 * 8 * 8 * 4


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    return {**os.environ, **install(tmp_path_factory.mktemp("ascend")), "ASCEND_SIM_SCALE": "0.01"}


@pytest.fixture
def load(environment, monkeypatch):
    """Return a function that imports a module of the simulators anew, under switches such as ERA="V1"."""
    monkeypatch.setattr(sys, "path", [str(SITE), str(HERE), *sys.path])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def forget() -> None:
        for name in filter(OURS.fullmatch, list(sys.modules)):
            del sys.modules[name]
        gc.collect()  # sessions say goodbye while their test still listens

    def anew(name: str, **switches: str) -> ModuleType:
        forget()
        for switch, value in switches.items():
            monkeypatch.setenv(f"ASCEND_SIM_{switch}", value)
        return import_module(name)

    yield anew
    forget()


@pytest.fixture(scope="module")
def onnx_bytes(tmp_path_factory) -> bytes:
    return write_onnx(tmp_path_factory.mktemp("onnx") / "m.onnx", output="probabilities").read_bytes()


@pytest.fixture(scope="module")
def models(environment, onnx_bytes, tmp_path_factory) -> Path:
    """A folder with m.onnx and what atc made of it: bs1, bs4, gears and aipp."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "m.onnx").write_bytes(onnx_bytes)
    (folder / "aipp.cfg").write_text(AIPP)
    flags = {
        "bs1": ["--input_shape=pixels:1,3,8,8"],
        "bs4": ["--input_shape=pixels:4,3,8,8"],
        "gears": ["--input_shape=pixels:-1,3,8,8", "--dynamic_batch_size=1,4,8"],
        "aipp": ["--input_shape=pixels:2,3,8,8", "--insert_op_conf=aipp.cfg"],
    }
    for name, extra in flags.items():
        command = ["atc", "--model=m.onnx", "--framework=5", f"--output={name}", "--soc_version=Ascend310P3", *extra]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return folder


AIPP = """aipp_op { aipp_mode: static  related_input_rank: 0  input_format: RGB888_U8
  src_image_size_w: 8  src_image_size_h: 8  crop: false  csc_switch: false  rbuv_swap_switch: true
  min_chn_0: 123.675  min_chn_1: 116.28  min_chn_2: 103.53
  var_reci_chn_0: 0.0171247538316637  var_reci_chn_1: 0.0175070028011204  var_reci_chn_2: 0.0174291938997821 }
"""


def call(environment: dict[str, str], *command: str, folder: Path | None = None, **switches: str) -> subprocess.CompletedProcess:
    switches = {f"ASCEND_SIM_{name}": value for name, value in switches.items()}
    return subprocess.run(command, cwd=folder, env={**environment, **switches}, capture_output=True, text=True, timeout=60)


# install


def test_installed_tools_call_themselves_simulated(environment):
    assert call(environment, "npu-smi", "-v").stdout == "npu-smi version: 23.0.0+simulated\n"
    assert [found.version for found in metadata.distributions(path=[str(SITE)])] == ["0.0.2+simulated"]
    assert [found.name for found in metadata.distributions(path=[str(CANN)])] == ["onnxruntime-cann"]
    facts = Path(environment["ASCEND_TOOLKIT_HOME"], "x86_64-linux", "ascend_toolkit_install.info").read_text()
    assert "package_name=Ascend-cann-toolkit\nversion=5.1.RC2+simulated\n" in facts


def test_python3_shows_atc_an_old_numpy(environment, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import numpy; print(numpy.__version__)")
    assert call(environment, "python3", "-c", script.read_text()).stdout == "1.26.4\n"
    assert call(environment, "python3", str(script)).stdout == f"{np.__version__}\n"


def test_an_unknown_switch_is_an_error(load):
    settings = load("ascend_simulator.settings", FAULT="atc-fial")
    with pytest.raises(ValueError, match="ASCEND_SIM_FAULT=atc-fial"):
        settings.fault("garbage")


@pytest.mark.parametrize(("visible", "count"), [("0,1", 2), ("1", 1), ("1, 0", 1), ("1,0", 1), ("", 0), ("0,5", 1)])
def test_visible_devices_end_at_the_first_that_is_wrong(load, monkeypatch, visible, count):
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", visible)
    assert load("ascend_simulator.settings", SMI="duo").device_count() == count


def test_latency_is_the_published_table(load):
    latency = load("ascend_simulator.latency", SCALE="1")
    assert [round(latency.execute_ms(batch, 0), 2) for batch in (1, 2, 8, 64, 128)] == [7.02, 11.08, 31.04, 307.69, 615.38]
    twenty = [latency.execute_ms(1, call) for call in range(3, 23)]
    assert np.mean(twenty) == pytest.approx(7.02)
    assert max(twenty) / 7.02 == pytest.approx(1.003, abs=1e-6)


# atc


@pytest.fixture
def atc(load, onnx_bytes, tmp_path, monkeypatch, capsys):
    """Return a function that converts m.onnx with changed flags (None: without) and returns exit code and stdout."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(onnx_bytes)

    def convert(fault: str = "", style: str = "old", **changed: str | None) -> tuple[int, str]:
        flags = {"model": "m.onnx", "framework": "5", "output": "out", "input_shape": "pixels:8,3,8,8", "soc_version": "Ascend310P3"}
        flags = {name: value for name, value in {**flags, **changed}.items() if value is not None}
        code = load("atc", FAULT=fault, ATC=style).main([f"--{name}={value}" for name, value in flags.items()])
        return code, capsys.readouterr().out

    return convert


def test_atc_success(atc, tmp_path):
    code, text = atc()
    assert code == 0
    assert text.splitlines()[:2] == ["ATC start working now, please wait for a moment.", "ATC run success, welcome to the next use."]
    assert text.splitlines()[2].startswith("W11001: Op [Gather] does not hit the high-priority operator information library")
    assert (tmp_path / "out.om").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "kernel_meta").is_dir()
    assert (tmp_path / "fusion_result.json").is_file()


def test_atc_reads_flags_in_every_spelling(load, onnx_bytes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(onnx_bytes)
    spelled = ["--model", "m.onnx", "-framework=5", "--output=out", "--input-shape=pixels:1,3,8,8", "--soc-version", "Ascend310P3"]
    assert load("atc").main(spelled) == 0


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"soc_version": None},
            "E10054: The required parameter [--soc_version] for ATC is empty. Another possible reason is that the values of some "
            'parameters are not enclosed by quotation marks ("").',
        ),
        ({"output": None}, "E10054: The required parameter [--output] for ATC is empty."),
        ({"model": ""}, "E10054: The required parameter [--model] for ATC is empty."),
        (
            {"framework": None},
            "E10007: [--framework] is required. The value must be [0(Caffe) or 1(MindSpore) or 3(TensorFlow) or 5(Onnx)].",
        ),
        ({"framework": "2"}, "E10007: "),
        ({"model": "none.onnx"}, "E10410: File [none.onnx] does not exist."),
        ({"output": "none/out"}, "E10001: Value [none/out] for parameter [--output] is invalid."),
        ({"soc_version": "310P3"}, "E10001: Value [310P3] for parameter [--soc_version] is invalid."),
        (
            {"input_shape": None},
            "E10001: Value [-1] for parameter [pixels] is invalid. Reason: maybe you should set input_shape to specify its shape.",
        ),
        ({"input_shape": "image:8,3,8,8"}, "E10001: Value [-1] for parameter [pixels] is invalid. Reason: maybe you should"),
        (
            {"input_shape": "pixels"},
            "E10002: Value [pixels] for parameter [--input_shape] is invalid. Reason: The shape must contain two parts: name and value. "
            'The value must be formatted as "input_name1:n1,c1,h1,w1".',
        ),
        (
            {"input_shape": "pixels:1~8,3,8,8"},
            "E10002: Value [pixels:1~8,3,8,8] for parameter [--input_shape] is invalid. Reason: It is not",
        ),
        (
            {"input_shape": "pixels:0,3,8,8"},
            "E10011: Value [pixels:0,3,8,8] for parameter [--input_shape] is invalid. Shape values must be",
        ),
        (
            {"input_shape": "pixels:8,3,8"},
            "E10049: Dimension count [3] configured in [--input_shape] does not match dimension count [4] of the node.",
        ),
        ({"input_shape": "pixels:8,3,9,8"}, "E19999: Inner Error!"),
        ({"log": "loud"}, "E10010: Value [loud] for parameter [--log] is invalid."),
        ({"precision_mode": "fp16"}, "E10001: Value [fp16] for parameter [--precision_mode] is invalid. Reason: The value is not within"),
        ({"precision_mode_v2": "force_fp16"}, "E10001: Value [force_fp16] for parameter [--precision_mode_v2] is invalid."),
        (
            {"precision_mode": "force_fp16", "precision_mode_v2": "fp16"},
            "E10056: Cannot configure both parameters [--precision_mode] and [--precision_mode_v2] simultaneously.",
        ),
        (
            {"op_select_implmode": "high_performance "},
            "E10001: Value [high_performance ] for parameter [--op_select_implmode] is invalid. "
            "Reason: The value is not within the range of values: ",
        ),
        ({"optypelist_for_implmode": "Gelu"}, "E10001: Value [Gelu] for parameter [--optypelist_for_implmode] is invalid."),
        ({"enable_small_channel": "2"}, "E10006: Value [2] for parameter [--enable_small_channel] is invalid."),
        ({"keep_dtype": "none.cfg"}, "E10410: File [none.cfg] does not exist."),
        ({"insert_op_conf": "none.cfg"}, "E10410: File [none.cfg] does not exist."),
        (
            {"auto_tune_mode": "RL"},
            "E10001: Value [RL] for parameter [--auto_tune_mode] is invalid. Reason: The Auto Tune function has been deprecated. "
            "Please use the AOE tool for tuning.",
        ),
        ({"dynamic_batch_size": "1,4", "input_shape": "pixels:8,3,8,8"}, "E10031: [--dynamic_batch_size] is included, but none of"),
        ({"dynamic_batch_size": "1,4", "input_shape": "pixels:1~4,3,8,8"}, "E10040: "),
        ({"dynamic_batch_size": "1,4", "input_shape": "pixels:-1,3,-1,8"}, "E10018: Value [-1] for shape [2] is invalid."),
        ({"dynamic_batch_size": "1,4", "input_shape": None}, "E10004: Value for [--input_shape] is empty."),
        ({"dynamic_batch_size": "4", "input_shape": "pixels:-1,3,8,8"}, "E10035: "),
        ({"dynamic_batch_size": ",".join(map(str, range(1, 102))), "input_shape": "pixels:-1,3,8,8"}, "E10036: "),
        ({"dynamic_batch_size": "0,4", "input_shape": "pixels:-1,3,8,8"}, "E10038: Dimension size [0] is invalid."),
        ({"dynamic_batch_size": "4,4", "input_shape": "pixels:-1,3,8,8"}, "E10039: "),
        ({"dynamic_batch_size": "1;4", "input_shape": "pixels:-1,3,8,8"}, "E10003: Value [1;4] for parameter [--dynamic_batch_size] is"),
        ({"dynamic_batch_size": "1,4", "dynamic_dims": "1;2", "input_shape": "pixels:-1,3,8,8"}, "E10009: "),
        (
            {"dynamic_batch_size": "1,4", "input_shape": "image:-1,3,8,8"},
            "E10016: Opname [image] specified in [--input_shape] is not found",
        ),
    ],
)
def test_atc_error(atc, tmp_path, changed, text):
    code, printed = atc(**changed)
    assert code == 255
    assert printed.splitlines()[1] == FAILED
    assert printed.splitlines()[2].startswith(text)
    assert not list(tmp_path.glob("*.om"))


def test_atc_new_wording(atc):
    lines = atc(style="new", input_shape=None)[1].splitlines()
    assert lines[1:3] == ["...", FAILED]
    assert re.fullmatch(
        r"E10001: \[PID: \d+\] [\d:.-]+ Value NULL for parameter --input_shape is invalid. Reason: The shapes of inputs contain -1 "
        r"in the model. You may need to set input shape to specify its shape.",
        lines[3],
    )


def test_atc_unknown_flag_is_named_on_stderr_only(load, capsys):
    assert load("atc").main(["--modle=m.onnx"]) == 255
    printed = capsys.readouterr()
    assert printed.err == "ERROR: unknown command line flag 'modle'\n"
    assert printed.out.splitlines()[1:] == [FAILED, "E19999: Inner Error!", "        Unknown error occurred. Please check the log."]


def test_atc_model_that_is_none(atc, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no protobuf")
    assert "E10041: Failed to load the model from [bad.onnx]." in atc(model="bad.onnx")[1]


def test_atc_does_not_take_initializers_for_inputs(atc, tmp_path):
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.input.append(onnx.helper.make_tensor_value_info("weights", onnx.TensorProto.FLOAT, [192, 10]))
    onnx.save(model, tmp_path / "m2.onnx")
    assert atc(model="m2.onnx")[0] == 0


def test_atc_wants_one_opset_domain(atc, tmp_path):
    model = onnx.load(tmp_path / "m.onnx")
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 2))
    onnx.save(model, tmp_path / "m2.onnx")
    assert "E19010: No parser is registered for Op [Reshape_0]" in atc(model="m2.onnx")[1]


def test_atc_needs_the_environment_of_cann(atc, monkeypatch):
    monkeypatch.delenv("ASCEND_OPP_PATH")
    assert "E10501: IR for Op [Reshape_0] with optype [Reshape] is not registered." in atc()[1]


def test_atc_fails_with_numpy_2(atc, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)  # no virtual environment: no numpy at all
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    module = tmp_path / "two" / "numpy.py"
    module.parent.mkdir()
    module.write_text('__version__ = "2.4.0"')
    monkeypatch.setenv("PYTHONPATH", str(module.parent))
    code, text = atc()
    assert code == 255
    assert (
        "EC0010: Failed to import Python module [AttributeError: `np.float_` was removed in the NumPy 2.0 release. "
        "Use `np.float64` instead..]."
    ) in text
    assert "EZ9999: Inner Error!\n        TraceBack (most recent call last):\n        Traceback (most recent call last):" in text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (AIPP.replace("static", "dynamic"), "aipp_mode must be static"),
        (AIPP.replace("RGB888_U8", "RGB888"), "input_format must be one of YUV420SP_U8, XRGB8888_U8, RGB888_U8, YUV400_U8"),
        (AIPP.replace("src_image_size_w: 8", "src_image_size_w: 9"), "the image is 8 x 9 behind AIPP, the model takes 8 x 8"),
        (AIPP.replace("min_chn_0", "min_channel_0"), "unknown field min_channel_0"),
        (AIPP.replace("}", ""), "the file must hold one aipp_op { ... }"),
    ],
)
def test_atc_aipp_error(atc, tmp_path, text, reason):
    (tmp_path / "aipp.cfg").write_text(text)
    assert f"E10052: AIPP configuration is invalid. Reason: {reason}." in atc(insert_op_conf="aipp.cfg")[1]


def test_atc_faults(atc, tmp_path):
    code, text = atc(fault="atc-fail")
    assert (code, text.splitlines()[2]) == (
        255,
        "EZ3003: No supported Ops kernel and engine are found for [AddDsl], optype [AddDsl].",
    )
    assert text.splitlines()[3].startswith("        Possible Cause: The operator is not supported by the system.")
    assert atc(fault="atc-fail-rc0")[0] == 0
    assert "ATC run success, welcome to the next use." in atc(fault="atc-no-file")[1]
    assert not (tmp_path / "out.om").exists()
    atc(fault="atc-host-suffix")
    assert [path.name for path in tmp_path.glob("*.om")] == [f"out_linux_{os.uname().machine}.om"]


def test_atc_hangs_after_its_first_line(environment):
    with subprocess.Popen(["atc"], env={**environment, "ASCEND_SIM_FAULT": "atc-hang"}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ATC start working now, please wait for a moment.\n"
        assert process.poll() is None
        process.kill()


# aclruntime


@pytest.fixture
def session(load, models):
    """Return a function that opens a model and returns the module and the session."""

    def open_model(name: str = "bs4", **switches: str):
        acl = load("aclruntime", **switches)
        return acl, acl.InferenceSession(str(models / f"{name}.om"), 0, acl.session_options())

    return open_model


def on_device(acl, array: np.ndarray):
    tensor = acl.Tensor(array)
    tensor.to_device(0)
    return tensor


def zeros(acl, batch: int = 4):
    return on_device(acl, np.zeros((batch, 3, 8, 8), np.float32))


def test_session_prints_and_describes(session, models, capfd):
    _, opened = session()
    path = models / "bs4.om"
    assert capfd.readouterr().out.splitlines() == [
        "[INFO] acl init success",
        "[INFO] open device 0 success",
        f"[INFO] load model {path} success",
        "[INFO] create model description success",
    ]
    [given], [found] = opened.get_inputs(), opened.get_outputs()
    assert (given.name, str(given.datatype), int(given.datatype), given.format) == ("pixels", "dtype.float32", 0, 0)
    assert (given.shape, given.size, given.realsize) == ([4, 3, 8, 8], 3072, 3072)
    assert (found.name, found.shape, found.size) == ("Softmax_10:0:scores", [4, 10], 160)
    assert str(opened) == (
        "<Model>\ndevice:\t0\ninput:\n  #0    pixels  (4, 3, 8, 8)  float32  3072  3072\n"
        "output:\n  #0    Softmax_10:0:scores  (4, 10)  float32  160  160\n"
    )
    opened.free_resource()
    opened.finalize()
    assert capfd.readouterr().out.splitlines() == [
        "[INFO] unload model success, model Id is 1",
        "[INFO] end to reset device 0",
        "[INFO] end to finalize acl",
    ]


def test_answers_are_those_of_the_onnx_file(session, models):
    acl, opened = session()
    batch = np.random.default_rng(0).random((4, 3, 8, 8), np.float32)
    expected = onnxruntime.InferenceSession(models / "m.onnx", providers=["CPUExecutionProvider"]).run(None, {"pixels": batch})[0]
    names = [opened.get_outputs()[0].name]
    for feeds in ([on_device(acl, batch)], {"pixels": on_device(acl, batch)}, [acl.BaseTensor(batch.ctypes.data, batch.nbytes)]):
        [output] = opened.run(names, feeds)
        assert output.device == 0
        with pytest.raises(RuntimeError, match="^tensor is in npu. can't convert to numpy array$"):
            np.array(output)
        output.to_host()
        assert np.allclose(np.array(output), expected, atol=1e-6)
    opened.run(names, [on_device(acl, batch.astype(np.float16).repeat(2))])  # the right number of bytes is all that counts


def test_aipp_takes_bytes(session, models):
    acl, opened = session("aipp")
    [given] = opened.get_inputs()
    assert (given.shape, str(given.datatype), given.format, given.size) == ([2, 8, 8, 3], "dtype.uint8", 1, 384)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    low, factor = np.array([123.675, 116.28, 103.53]), np.array([0.0171247538316637, 0.0175070028011204, 0.0174291938997821])
    floats = ((pixels[..., ::-1] - low) * factor).transpose(0, 3, 1, 2).astype(np.float32)
    expected = onnxruntime.InferenceSession(models / "m.onnx", providers=["CPUExecutionProvider"]).run(None, {"pixels": floats})[0]
    [output] = opened.run([opened.get_outputs()[0].name], [on_device(acl, pixels)])
    output.to_host()
    assert np.allclose(np.array(output), expected, atol=5e-3)


def test_times_are_stated_and_slept(session):
    acl, opened = session(SCALE="0.1")
    names, tensor = [opened.get_outputs()[0].name], zeros(acl)
    opened.run(names, [tensor])
    opened.reset_sumaryinfo()
    acl.MemorySummary().reset()
    opened.options().loop = 3
    start = time.perf_counter()
    [output] = opened.run(names, [tensor])
    assert time.perf_counter() - start >= 3 * 1.921 * 0.997 / 1000
    output.to_host()
    times = opened.sumary().exec_time_list
    assert [end - begin for begin, end in times] == [pytest.approx(1.921, rel=0.004)] * 3
    assert times[1][0] >= times[0][1] - 0.001  # one after the other, in ms since the model was loaded
    assert len(acl.MemorySummary().D2H_time_list) == 1
    assert acl.MemorySummary().H2D_time_list == []


@pytest.mark.parametrize(
    ("feeds", "lines"),
    [
        (
            lambda acl: [zeros(acl, 2)],
            ["[ERROR] Check i:0 name:pixels in size:1536 needsize:3072 not match", "[ERROR] Check InVector failed ret:-1"],
        ),
        (lambda acl: [], ["[WARN] intensors in:0 need:1 not match", "[ERROR] Set InputsData failed ret:-1"]),
        (lambda acl: {"image": zeros(acl)}, ["[ERROR] intensors i:0 name:pixels not find", "[ERROR] Check InVector failed ret:-1"]),
        (
            lambda acl: [acl.Tensor(np.zeros((4, 3, 8, 8), np.float32))],
            ["[ERROR] execute model failed, modelId is 1", "[ERROR] acl execute failed:1", "[ERROR] Execute Infer failed ret:-1"],
        ),
    ],
)
def test_input_failure(session, capfd, feeds, lines):
    acl, opened = session()
    wrong = feeds(acl)
    capfd.readouterr()
    with pytest.raises(RuntimeError, match=re.escape("[-1][ACL: general failure] ") + "$"):
        opened.run([opened.get_outputs()[0].name], wrong)
    assert capfd.readouterr().out.splitlines() == lines


def test_unknown_output_name(session, capfd):
    acl, opened = session()
    with pytest.raises(RuntimeError, match=r"^\[-1\]\[ACL: general failure\] $"):
        opened.run(["scores"], [zeros(acl)])
    assert "[ERROR] outnames scores not valid\n[ERROR] Get OutTensors failed ret:-1\n" in capfd.readouterr().out


def test_wrong_overloads_are_type_errors(session, models):
    acl, opened = session()
    names, tensor = [opened.get_outputs()[0].name], zeros(acl)
    array = np.zeros((4, 3, 8, 8), np.float32)
    for arguments in ((names[0], [tensor]), (names, [array]), (names, tensor), (names, [tensor, acl.BaseTensor(array.ctypes.data, 8)])):
        with pytest.raises(TypeError):
            opened.run(*arguments)
    path, options = str(models / "bs4.om"), acl.session_options()
    for arguments in ((path, 0), (models / "bs4.om", 0, options), (path, "0", options), (path, 0, None)):
        with pytest.raises(TypeError):
            acl.InferenceSession(*arguments)
    with pytest.raises(TypeError):
        acl.InferenceSession(model_path=path, device_id=0, options=options)
    with pytest.raises(RuntimeError, match="past the end"):
        opened.run(names, [tensor, tensor])
    with pytest.raises(AttributeError):
        options.loops = 2


@pytest.mark.parametrize("switches", [{"CHIP": "310B1"}, {"FAULT": "load-fail"}, {"name": "missing"}, {"name": "cut"}, {"name": "onnx"}])
def test_model_that_does_not_load(session, models, capfd, switches):
    (models / "cut.om").write_bytes((models / "bs4.om").read_bytes()[:-1])
    (models / "onnx.om").write_bytes((models / "m.onnx").read_bytes())
    with pytest.raises(RuntimeError, match=r"^\[1\]\[ACL: invalid parameter\] $"):
        session(**switches)
    lines = capfd.readouterr().out.splitlines()
    assert f"[ERROR] load model from file failed, model file is {models / switches.get('name', 'bs4')}.om" in lines
    assert "[WARN] Check failed:processModel->LoadModelFromFile(modelPath), ret:1" in lines


def test_device_that_does_not_open(session, load, models, capfd):
    with pytest.raises(RuntimeError, match=r"^\[507033\]\[Error code unknown\] $"):
        session(FAULT="device-busy")
    assert "[ERROR] acl open device 0 failed\nSetDevice failed.ret=507033\n" in capfd.readouterr().out
    acl = load("aclruntime", FAULT="", SMI="duo")
    acl.InferenceSession(str(models / "bs4.om"), 1, acl.session_options())
    with pytest.raises(RuntimeError, match=r"^\[107001\]\[Error code unknown\] $"):
        acl.InferenceSession(str(models / "bs4.om"), 2, acl.session_options())


def test_tensor_cannot_move_before_a_device_is_open(load, capfd):
    tensor = load("aclruntime").Tensor(np.zeros(3, np.float32))
    assert str(tensor) == "<Tensor>\nshape:\t(3)\ndtype:\tfloat32\ndevice:\t-1"
    with pytest.raises(RuntimeError, match=r"^\[1004\]\[Invalid parameter\] $"):
        tensor.to_device(0)
    assert capfd.readouterr().out == "deviceId(0) is bigger than deviceCount(0)\n"


def test_tensor_copies_and_refuses_strides(load):
    acl = load("aclruntime")
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = acl.Tensor(array)
    array[:] = 0
    assert np.array(tensor).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (tensor.shape, tensor.dtype, tensor.type) == ([2, 3], acl.float32, acl.type.memory_host)
    assert acl.Tensor(np.zeros(2, np.float64)).dtype == acl.dtype.double
    assert not hasattr(tensor, "free")
    with pytest.raises(RuntimeError, match="not C-contiguous"):
        acl.Tensor(array.T)
    with pytest.raises(TypeError):
        acl.Tensor([1.0])


def test_gears(session, capfd):
    acl, opened = session("gears")
    [given] = opened.get_inputs()
    assert (given.shape, given.size, given.realsize) == ([-1, 3, 8, 8], 8 * IMAGE, 8 * IMAGE)
    with pytest.raises(RuntimeError, match=r"^\[-1\]"):
        opened.run([opened.get_outputs()[0].name], [zeros(acl, 8)])
    assert "[WARN] check failed dym gearcount:3 but dymtype:0 not set\n" in capfd.readouterr().out
    with pytest.raises(RuntimeError, match=r"^\[1\]\[ACL: invalid parameter\] $"):
        opened.set_dynamic_batchsize(2)
    assert capfd.readouterr().out.splitlines()[:2] == [
        "[ERROR] the dymBatch parameter is not correct",
        "[ERROR] model has dynamic batch size:{[1][4][8]}, please set correct dynamic batch size",
    ]
    assert opened.set_dynamic_batchsize(4) == 0
    assert (given.size, given.realsize, opened.get_max_dym_batchsize()) == (8 * IMAGE, 4 * IMAGE, 8)
    assert opened.run([opened.get_outputs()[0].name], [zeros(acl, 4)])[0].shape == [4, 10]


def test_static_model_has_no_gears(session, capfd):
    _, opened = session()
    with pytest.raises(RuntimeError, match=r"^\[1\]\[ACL: invalid parameter\] $"):
        opened.set_dynamic_batchsize(4)
    assert "[ERROR] the dynamic_batch_size parameter is not specified for model conversion\n" in capfd.readouterr().out


def test_runtime_faults(session, capfd):
    acl, opened = session(FAULT="run-fail:2,garbage")
    names, tensor = [opened.get_outputs()[0].name], zeros(acl)
    [output] = opened.run(names, [tensor])
    output.to_host()
    assert np.isnan(np.array(output)).all()
    with pytest.raises(RuntimeError, match=r"^\[-1\]\[ACL: general failure\] $"):
        opened.run(names, [tensor])
    assert "[ERROR] execute model failed, modelId is 1\n" in capfd.readouterr().out
    opened.run(names, [tensor])

    acl, opened = session(FAULT="output-size-zero")
    with pytest.raises(RuntimeError, match=r"^\[3011\]\[Infer: find outputsize is zero please check outputsize is set correct\] $"):
        opened.run(names, [zeros(acl)])
    assert "[ERROR] out i:0 size is zero\n" in capfd.readouterr().out


def test_a_hanging_call_holds_the_interpreter(environment, models):
    script = (
        "import aclruntime as a, numpy as n, signal, sys\n"
        "s = a.InferenceSession('bs4.om', 0, a.session_options()); t = a.Tensor(n.zeros(768, n.float32)); t.to_device(0)\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); print('ready', flush=True)\n"
        "s.run([s.get_outputs()[0].name], [t])\n"
    )
    command, switches = [sys.executable, "-u", "-c", script], {"ASCEND_SIM_FAULT": "run-hang:1"}
    with subprocess.Popen(command, cwd=models, env={**environment, **switches}, stdout=subprocess.PIPE, text=True) as process:
        while process.stdout.readline() != "ready\n":
            pass
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize(
    ("era", "there", "missing"),
    [
        ("V1", {"run_setinputs", "run_execute", "run_getoutputs"}, {"run", "free_resource", "finalize"}),
        ("V2", {"run", "finalize"}, {"run_execute", "free_resource", "get_dym_aipp_input_exist"}),
        ("V3", {"run", "finalize"}, {"run_execute", "free_resource"}),
        ("V4", {"run", "finalize", "free_resource"}, {"run_execute", "summary", "free"}),
    ],
)
def test_each_generation_has_its_methods(load, era, there, missing):
    acl = load("aclruntime", ERA=era)
    assert there <= set(dir(acl.InferenceSession))
    assert not missing & set(dir(acl.InferenceSession))
    assert hasattr(acl, "BaseTensor") == (era != "V1")
    assert hasattr(acl, "infer_options") == (era == "V4")


def test_earlier_generations_list_plain_times(session):
    acl, opened = session(ERA="V3")
    opened.run([opened.get_outputs()[0].name], [zeros(acl)])
    assert opened.sumary().exec_time_list == [pytest.approx(0.1921)]

    acl, opened = session(ERA="V1")
    opened.run_setinputs([zeros(acl)])
    opened.run_execute(2)
    assert opened.run_getoutputs([opened.get_outputs()[0].name])[0].shape == [4, 10]
    assert opened.sumary().exec_time_list == []


# ais_bench


@pytest.fixture
def bench(load, models, capfd, monkeypatch, tmp_path):
    """Return a function that runs the command line on a model and returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, era: str = "V4", model: str = "bs4") -> str:
        load("ais_bench.cli", ERA=era).main(["--model", str(models / f"{model}.om"), *arguments])
        return capfd.readouterr().out

    return run


@pytest.fixture
def inputs(tmp_path) -> Path:
    """Five images whose natural order is not the order of their names."""
    folder = tmp_path / "images"
    folder.mkdir()
    images = np.random.default_rng(0).random((5, 3, 8, 8), np.float32)
    for number, image in zip((1, 2, 3, 9, 10), images, strict=True):
        image.tofile(folder / f"image_{number}.v1.bin")
    return folder


def scores(models: Path, folder: Path, *names: int) -> np.ndarray:
    batch = np.stack([np.fromfile(folder / f"image_{name}.v1.bin", np.float32).reshape(3, 8, 8) for name in names])
    return onnxruntime.InferenceSession(models / "m.onnx", providers=["CPUExecutionProvider"]).run(None, {"pixels": batch})[0]


def test_last_batch_is_padded_and_padding_not_saved(bench, models, inputs, tmp_path):
    printed = bench("--input", str(inputs), "--output", ".", "--output_dirname", "out", "--outfmt", "NPY")
    assert "[INFO] get filesperbatch files0 size:768 tensor0size:3072 filesperbatch:4 runcount:2\n" in printed
    assert "[INFO] try get model batchsize:4\n" in printed
    assert "[INFO] warm up 1 done\n" in printed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"image_{number}_0.npy" for number in (10, 1, 2, 3, 9)]
    assert np.load(tmp_path / "out" / "image_10_0.npy").shape == (1, 10)
    assert np.allclose(np.load(tmp_path / "out" / "image_10_0.npy"), scores(models, inputs, 10), atol=1e-6)
    summary = json.loads((tmp_path / "out_summary.json").read_text())
    assert summary["simulated"] is True
    assert list(summary["filesinfo"]) == ["0", "1", "2", "3", "4"]
    assert summary["filesinfo"]["3"] == {"infiles": [str(inputs / "image_9.v1.bin")], "outfiles": ["out/image_9_0.npy"]}
    assert set(summary["NPU_compute_time"]) == {"min", "max", "mean", "median", "percentile(99%)", "count"}
    assert summary["NPU_compute_time"]["count"] == len(summary["npu_compute_time_list"]) == 2
    assert summary["throughput"] == pytest.approx(4000 / summary["NPU_compute_time"]["mean"])


def test_txt_has_six_decimals_and_a_blank_behind_each(bench, models, inputs, tmp_path):
    bench("--input", str(inputs), "--output", ".", "--output_dirname", "out", "--outfmt", "TXT")
    expected = "".join(f"{value:f} " for value in scores(models, inputs, 1)[0]) + "\n"
    assert (tmp_path / "out" / "image_1_0.txt").read_text() == expected


@pytest.mark.parametrize(
    ("era", "names"),
    [
        ("V1", [f"sample_id_{number}_output_0.bin" for number in range(4)] + ["sumary.json"]),
        ("V1b", [f"input{number}_output_0.bin" for number in range(4)] + ["sumary.json"]),
    ],
)
def test_first_generation_drops_the_last_batch(bench, models, inputs, tmp_path, era, names):
    (tmp_path / "out").mkdir()
    bench("--input", str(inputs), "--output", "out", era=era)
    [folder] = (tmp_path / "out").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == names
    # names sort 1, 10, 2, 3, 9 in the very first release and naturally later: one of these images is dropped
    third = np.fromfile(folder / names[1], np.float32)
    assert np.allclose(third, scores(models, inputs, 10 if era == "V1" else 2)[0], atol=1e-6)
    summary = json.loads((folder / "sumary.json").read_text())
    assert summary["simulated"] is True
    assert not {"npu_compute_time_list", "pid"} & set(summary)
    assert "count" not in summary["NPU_compute_time"]


def test_three_wordings_of_the_throughput(bench):
    number = r"[\d.]+"
    assert re.search(rf"\[INFO\] throughput \(1000\*batchsize/NPU_compute_time\): {number}\n", bench("--batchsize", "4", era="V1"))
    assert re.search(rf"throughput 1000\*batchsize\(1\)/NPU_compute_time\.mean\({number}\): {number}\n", bench(era="V2"))
    for era in ("V3", "V4"):
        assert re.search(rf"throughput 1000\*batchsize\.mean\(4\)/NPU_compute_time\.mean\({number}\): {number}\n", bench(era=era))


def test_copies_are_printed_on_demand_and_always_at_first(bench):
    assert "H2D_latency" not in bench("--loop", "2")
    assert bench("--loop", "2", "--display_all_summary", "1").count("_latency (ms): min = ") == 2
    assert bench("--loop", "2", era="V1").count("_latency (ms): min = ") == 2


def test_pure_inference(bench, tmp_path):
    bench("--output", "out", "--output_dirname", "a", "--loop", "20")
    assert [path.name for path in (tmp_path / "out" / "a").iterdir()] == ["pure_infer_data_0.bin"]
    times = json.loads((tmp_path / "out" / "a_summary.json").read_text())["npu_compute_time_list"]
    assert len(times) == 20
    assert np.mean(times) == pytest.approx(0.1921, rel=1e-3)


def test_gears_need_dymbatch(bench):
    assert "batchsize.mean(8)" in bench("--dymBatch", "8", model="gears")
    with pytest.raises(RuntimeError, match=r"^\[-1\]"):
        bench(model="gears")


def test_what_the_fourth_generation_refuses(bench, models, inputs, tmp_path, capfd):
    def refused(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            bench(*arguments)
        assert stopped.value.code == 2
        return capfd.readouterr().out

    (tmp_path / "link").symlink_to(inputs)
    assert "is a soft link, not supported" in refused("--input", str(tmp_path / "link"))
    assert "contains illegal char" in refused("--input", str(tmp_path / "a b"))
    assert "not exist" in refused("--input", str(tmp_path / "none"))
    assert "file type not in ['om']" in refused("--model", str(models / "m.onnx"))
    inputs.chmod(0o775)
    assert "is group writable, or is others writable" in refused("--input", str(inputs))
    inputs.chmod(0o755)
    (inputs / "image_4.bin").symlink_to(inputs / "image_3.v1.bin")
    with pytest.raises(Exception, match="is a soft link, not supported") as stopped:
        bench("--input", str(inputs))
    assert type(stopped.value).__name__ == "OpenException"
    bench("--input", str(inputs), era="V3")
    with pytest.raises(RuntimeError, match="error bad parameters --output_dirname"):
        bench("--output_dirname", "out")


def test_sizes_must_divide(bench, inputs, capfd):
    (inputs / "image_0.bin").write_bytes(b"12345")
    with pytest.raises(RuntimeError):
        bench("--input", str(inputs))
    assert "[ERROR] arg0 tensorsize: 3072 filesize: 5 not match\n" in capfd.readouterr().out


def test_each_device_runs_everything(bench, inputs, tmp_path, monkeypatch):
    monkeypatch.setenv("ASCEND_SIM_SMI", "duo")
    with pytest.raises(SystemExit) as stopped:
        bench("--device", "0,1", "--input", str(inputs), "--output", ".", "--output_dirname", "out")
    assert stopped.value.code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("device0_0", "device1_1", "device0_0_summary.json", "device1_1_summary.json")
    }
    assert len(list((tmp_path / "out" / "device1_1").iterdir())) == 5


def test_both_ways_to_start_ais_bench(environment, models):
    for command in (["ais_bench"], ["python3", "-m", "ais_bench"]):
        done = call(environment, *command, "--model", "bs1.om", folder=models)
        assert (done.returncode, "throughput 1000*batchsize.mean(1)/" in done.stdout) == (0, True)
    assert call(environment, "ais_bench", "--model", "bs1.om", folder=models, FAULT="run-fail:1").returncode == 1


# npu-smi

TITLE = "| npu-smi 23.0.0+simulated                         Version: 23.0.0+simulated                             |"
LINES = {
    "310p": """\
| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
| 24      310P3                 | OK              | NA           29                0     / 0             |
| 0       0                     | 0000:04:00.0    | 0            1832 / 21527                            |
| No running processes found in NPU 24                                                                   |""",
    "310p_old": """\
| NPU     Name      | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device    | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
| 0       310P3     | OK              | 15.8         42                0    / 0              |
| 0       0         | 0000:82:00.0    | 0            1074 / 21534                            |
| 1       310P3     | OK              | 15.4         43                0    / 0              |
| 0       1         | 0000:89:00.0    | 0            19435/ 21534                            |""",
    "duo": """\
| 1       310P3                 | OK              | NA           49                0     / 0             |
| 0       0                     | 0000:01:00.0    | 0            1448 / 44278                            |
| 1       310P3                 | OK              | NA           45                0     / 0             |
| 1       1                     | 0000:01:00.0    | 0            1511 / 43693                            |""",
    "310b": """\
| 0       310B1                 | Alarm           | 7.2          37                15    / 15            |
| 0       0                     | NA              | 0            8728  / 8728                            |""",
    "910b": """\
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
| 0     910B3               | OK            | 102.8       45                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3445 / 65536         |""",
    "dual_die": """\
| Chip  Phy-ID              | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
| 0     Ascend910           | OK            | 176.9       46                0    / 0             |
| 0     0                   | 0000:9D:00.0  | 0           0    / 0          3343 / 65536         |
| 1     1                   | 0000:9F:00.0  | 0           0    / 0          2886 / 65536         |""",
    "a3": """\
| 0     Ascend910           | OK            | 162.8       46                0    / 0             |
| 0     0                   | 0000:9D:00.0  | 0           0    / 0          3343 / 65536         |
| 0     Ascend910           | OK            | -           36                0    / 0             |
| 1     1                   | 0000:9F:00.0  | 0           0    / 0          2886 / 65536         |""",
}


@pytest.mark.parametrize("machine", LINES)
def test_npu_smi_table(environment, machine):
    lines = call(environment, "npu-smi", "info", SMI=machine).stdout.splitlines()
    assert len({len(line) for line in lines}) == 1
    wanted = LINES[machine].splitlines()
    assert [line for line in lines if line in wanted] == wanted
    assert (TITLE in lines) == (machine in ("310p", "310b"))


def test_npu_smi_mapping(environment):
    assert call(environment, "npu-smi", "info", "-m").stdout.splitlines() == [
        "\tNPU ID                         Chip ID                        Chip Logic ID                  Chip Name",
        "\t24                             0                              0                              Ascend 310P3",
        "\t24                             1                              -                              Mcu",
    ]
    duo = call(environment, "npu-smi", "info", "-m", SMI="duo").stdout.splitlines()
    assert duo[0].split("  ")[-1] == "Chip Name"
    assert "Chip Phy-ID" in duo[0]
    assert [line.split() for line in duo[1:]] == [
        ["1", "0", "0", "0", "Ascend", "310P3"],
        ["1", "1", "1", "1", "Ascend", "310P3"],
        ["1", "2", "-", "-", "Mcu"],
    ]
    assert "\tNPU ID                         : 24\n" in call(environment, "npu-smi", "info", "-l").stdout


def test_npu_smi_details(environment):
    def pairs(kind: str, card: str = "24", *more: str, **switches: str) -> list[list[str]]:
        done = call(environment, "npu-smi", "info", "-t", kind, "-i", card, *more, **switches)
        assert done.returncode == 0
        return [[part.strip() for part in line.split(" : ")] for line in done.stdout.splitlines() if line]

    assert pairs("common")[-3:] == [["Chip Name", "mcu"], ["Temperature(C)", "41"], ["NPU Real-time Power(W)", "45.2"]]
    assert pairs("usages", "1", SMI="duo")[-1] == ["Chip ID", "1"]
    assert pairs("usages", "0", SMI="310b")[2] == ["Chip ID", "0"]
    assert ["HBM Capacity(MB)", "65536"] in pairs("usages", "0", SMI="910b")
    assert pairs("power")[-1] == ["Power Dissipation(W)", "45.2"]
    assert ["Software Version", "23.0.0+simulated"] in pairs("board")
    assert ["NPU Name", "9392"] in pairs("board", "0", "-c", "0", SMI="a3")
    assert ["Temperature (C)", "29"] in pairs("temp")
    assert ["Health", "OK"] in pairs("health")


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [
        (["info", "-t", "common", "-i", "0"], "Error parameter of -i\n", 191),
        (["info", "-t", "heat", "-i", "24"], "Error parameter of -t\n", 191),
        (["info", "-t", "power", "-i", "24", "-c", "0"], "Failed to execute npu-smi info. ret is -8255.\n", 193),
    ],
)
def test_npu_smi_refuses(environment, arguments, text, code):
    done = call(environment, "npu-smi", *arguments)
    assert done.stdout.endswith(text)
    assert done.returncode == code


def test_npu_smi_without_driver(environment):
    done = call(environment, "npu-smi", "info", FAULT="smi-fail")
    assert (done.stdout, done.returncode) == ("dcmi module initialize failed. ret is -8005\n", 187)


# onnxruntime-cann

CANN_SCRIPT = """
import onnxruntime as ort, sys
def run(session: ort.InferenceSession): return session.run(None, {"pixels": __import__("numpy").zeros((2, 3, 8, 8), "float32")})[0].shape
print(ort.__version__, ort.get_available_providers()[0])
s = ort.InferenceSession("m.onnx", providers=[("CANNExecutionProvider", {"device_id": 0})])
print(s.get_providers(), run(s), isinstance(s, ort.InferenceSession))
print(ort.InferenceSession("m.onnx", providers=["CPUExecutionProvider"]).get_providers())
ort.InferenceSession("m.onnx", providers=[("CANNExecutionProvider", {"optypelist_for_impl_mode": "Gelu"})])
"""


@pytest.mark.parametrize("works", [True, False])
def test_cann_provider(environment, models, works):
    path = os.pathsep.join([str(CANN), environment["PYTHONPATH"]])
    done = call({**environment, "PYTHONPATH": path}, sys.executable, "-c", CANN_SCRIPT, folder=models, CANN="ok" if works else "")
    assert done.stdout.startswith("1.24.4+simulated CANNExecutionProvider\n")
    providers = "['CANNExecutionProvider', 'CPUExecutionProvider']" if works else "['CPUExecutionProvider']"
    assert f"\n{providers} (2, 10) True\n['CPUExecutionProvider']\n" in done.stdout
    assert ("*************** EP Error ***************" in done.stdout) == (not works)
    assert 'RuntimeError: Unknown provider option: "optypelist_for_impl_mode".' in done.stderr
