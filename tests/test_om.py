"""Which offline models a run needs, how they normalise, and when they are made anew."""

import importlib
import os
import re
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from helpers import export, files, params
from helpers.ascend import atc, atc_options, om
from helpers.ascend.om import Plan
from helpers.elements import Group, Sentence
from helpers.errors import UserError
from helpers.params import Convert
from helpers.preprocess import Preprocess, to_tensor
from helpers.records import Stage, TensorSpec
from tests.models import PREPROCESS, write_onnx

IMAGENET = Preprocess(resize_short=256, crop=224, interpolation="bicubic", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
BGR = IMAGENET.model_copy(update={"channel_order": "BGR"})
DIGITS = Preprocess(**PREPROCESS)
COUNTS = """#!/bin/sh
echo "$@" >> "$CALLS"
for argument; do case "$argument" in --output=*) echo "$@" > "${argument#--output=}.om";; esac; done
echo "ATC run success, welcome to the next use."
"""


def convert(atc=None, **values) -> Convert:
    options = {"soc_version": "Ascend310P3", **(atc or {})}
    return params.check(Convert, **{"batch_sizes": [4], "batch_size": 4, "atc": options, **values})


# plans


def plans(**values) -> list[Plan]:
    return om.plans(Path("/run/artefacts"), "conformer_base_dynamicbs.onnx", convert(**values))


def test_each_batch_size_has_a_model_by_the_guides_name():
    assert plans(batch_sizes=[8, 1, 4], batch_size=4) == [
        Plan("om, batch 1", Path("/run/artefacts/conformer_base_bs1.om"), [1], aipp=False),
        Plan("om, batch 4", Path("/run/artefacts/conformer_base_bs4.om"), [4], aipp=False),
        Plan("om, batch 8", Path("/run/artefacts/conformer_base_bs8.om"), [8], aipp=False),
    ]


def test_the_batch_size_of_accuracy_has_a_model_too():
    assert [plan.batches for plan in plans(batch_sizes=[1, 4], batch_size=64)] == [[1], [4], [64]]


def test_gears_are_one_model():
    assert plans(batch_sizes=[8, 1], batch_size=4, atc={"gears": True}) == [
        Plan("om, gears", Path("/run/artefacts/conformer_base_gears.om"), [1, 4, 8], aipp=False)
    ]


def test_one_batch_size_needs_no_gears():
    assert plans(atc={"gears": True}) == [Plan("om, batch 4", Path("/run/artefacts/conformer_base_bs4.om"), [4], aipp=False)]


def test_with_aipp_one_model_without_is_made_to_compare_with():
    assert plans(batch_sizes=[1, 4], atc={"aipp": True}) == [
        Plan("om, batch 1", Path("/run/artefacts/conformer_base_aipp_bs1.om"), [1], aipp=True),
        Plan("om, batch 4", Path("/run/artefacts/conformer_base_aipp_bs4.om"), [4], aipp=True),
        Plan("om, batch 1, without AIPP", Path("/run/artefacts/conformer_base_bs1.om"), [1], aipp=False),
    ]


def test_gears_and_aipp_go_together():
    assert plans(batch_sizes=[1, 4], atc={"aipp": True, "gears": True}) == [
        Plan("om, gears", Path("/run/artefacts/conformer_base_aipp_gears.om"), [1, 4], aipp=True),
        Plan("om, batch 1, without AIPP", Path("/run/artefacts/conformer_base_bs1.om"), [1], aipp=False),
    ]


def test_an_onnx_file_of_another_name_gives_its_own():
    assert [plan.om.name for plan in om.plans(Path("/a"), "mine.onnx", convert())] == ["mine_bs4.om"]


# AIPP


def test_the_aipp_file_of_imagenet_is_the_vendors():
    assert om.aipp_config(IMAGENET) == (
        "aipp_op {\n"
        "  aipp_mode: static\n"
        "  related_input_rank: 0\n"
        "  input_format: RGB888_U8\n"
        "  src_image_size_w: 224\n"
        "  src_image_size_h: 224\n"
        "  crop: false\n"
        "  csc_switch: false\n"
        "  rbuv_swap_switch: false\n"
        "  min_chn_0: 123.675\n"
        "  min_chn_1: 116.28\n"
        "  min_chn_2: 103.53\n"
        "  var_reci_chn_0: 0.017124753831663668\n"
        "  var_reci_chn_1: 0.01750700280112045\n"
        "  var_reci_chn_2: 0.017429193899782137\n"
        "}\n"
    )


def test_for_bgr_the_channels_are_swapped_first_and_mean_and_std_follow():
    assert om.aipp_config(BGR).splitlines()[8:15] == [
        "  rbuv_swap_switch: true",
        "  min_chn_0: 103.53",
        "  min_chn_1: 116.28",
        "  min_chn_2: 123.675",
        "  var_reci_chn_0: 0.017429193899782137",
        "  var_reci_chn_1: 0.01750700280112045",
        "  var_reci_chn_2: 0.017124753831663668",
    ]


@pytest.mark.parametrize("how", [IMAGENET, BGR], ids=["RGB", "BGR"])
def test_aipp_normalises_as_the_cpu_does(how):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    told = dict(re.findall(r"(\w+): ([\w.]+)", om.aipp_config(how)))
    low, factor = (np.array([float(told[f"{name}_{channel}"]) for channel in range(3)]) for name in ("min_chn", "var_reci_chn"))
    swapped = pixels[..., ::-1] if told["rbuv_swap_switch"] == "true" else pixels
    np.testing.assert_allclose(((swapped - low) * factor).transpose(0, 3, 1, 2), to_tensor(pixels, how), atol=1e-6)


def test_a_model_that_normalises_is_given_rgb_bytes():
    assert om.pixels(BGR) == Preprocess(**{**IMAGENET.model_dump(), "dtype": "uint8", "layout": "NHWC", "channel_order": "RGB"})


@pytest.mark.parametrize("how", [IMAGENET, BGR], ids=["RGB", "BGR"])
def test_the_bytes_are_the_pixels_as_they_are(how):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    np.testing.assert_array_equal(to_tensor(pixels, om.pixels(how)), pixels)


# making and keeping


def onnx_stage(folder: Path, content: str = "onnx", dtype: str = "float32") -> Stage:
    """Write m_dynamicbs.onnx, which only the simulated atc would read, and return its stage."""
    path = folder / "m_dynamicbs.onnx"
    path.write_text(content)
    return Stage(
        name="onnx",
        format="onnx",
        file=f"artefacts/{path.name}",
        sha256=files.sha256(path),
        bytes=path.stat().st_size,
        command="",
        seconds=0.0,
        input=TensorSpec(name="input", shape=["batch", 3, 8, 8], dtype=dtype),
        output=TensorSpec(name="probs", shape=["batch", 10], dtype="float32"),
    )


@pytest.fixture
def artefacts(tmp_path) -> Path:
    (tmp_path / "artefacts").mkdir()
    return tmp_path / "artefacts"


@pytest.fixture
def calls(ascend, tmp_path, monkeypatch):
    """An atc that writes its arguments into the .om; return a function that returns how often it ran since it was last asked."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "atc").write_text(COUNTS)
    (tmp_path / "own" / "atc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/own{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setattr(atc, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: time.sleep(0.01)))  # it is done at once

    def count() -> int:
        made = (tmp_path / "calls").read_text().count("\n") if (tmp_path / "calls").exists() else 0
        (tmp_path / "calls").write_text("")
        return made

    return count


@pytest.fixture
def make(calls, artefacts):
    """Return a function that makes the models of m_dynamicbs.onnx, by default of batch size 4 alone."""

    def run(how: Preprocess = DIGITS, onnx: str = "onnx", **values) -> list[Stage]:
        return om.make(artefacts, onnx_stage(artefacts, onnx), convert(**values), how)

    return run


def test_what_was_made_is_kept(make, calls):
    first = make(batch_sizes=[1, 4])
    assert calls() == 2
    assert make(batch_sizes=[1, 4]) == first
    assert calls() == 0


def test_a_further_batch_size_is_made_alone(make, calls):
    make()
    calls()
    make(batch_sizes=[4, 8])
    assert calls() == 1


@pytest.mark.parametrize(
    "options",
    [
        {"precision_mode": "allow_mix_precision"},
        {"soc_version": "Ascend310P1"},
        {"enable_small_channel": True},
        {"log": "info"},
        {"extra": ["--output_type=FP16"]},
    ],
)
def test_another_flag_makes_the_models_anew(make, calls, options):
    make()
    calls()
    make(atc=options)
    assert calls() == 1


@pytest.mark.parametrize("options", [{"timeout_minutes": 5.0}, {"soc_version": ""}])  # which is the same chip, found by npu-smi
def test_what_the_model_does_not_depend_on_makes_nothing_anew(make, calls, options):
    make()
    calls()
    make(atc=options)
    assert calls() == 0


def test_another_onnx_file_makes_the_models_anew(make, calls):
    make()
    calls()
    make(onnx="another")
    assert calls() == 1


def test_another_normalisation_makes_the_models_with_aipp_anew(make, calls):
    make(atc={"aipp": True})
    assert calls() == 2
    make(DIGITS.model_copy(update={"mean": (1.0, 0.0, 0.0)}), atc={"aipp": True})
    assert calls() == 1  # not the one without


def test_another_cann_makes_the_models_anew(make, calls):
    make()
    calls()
    for record in Path(os.environ["ASCEND_TOOLKIT_HOME"]).glob("*/ascend_toolkit_install.info"):
        record.write_text("version=8.0.RC1\n")
    assert [stage.command.rpartition(" (")[2] for stage in make()] == ["CANN 8.0.RC1)"]
    assert calls() == 1


def test_another_chip_makes_the_models_anew(make, calls, monkeypatch):
    make(atc={"soc_version": ""})
    calls()
    monkeypatch.setenv("ASCEND_SIM_SMI", "310b")
    assert [stage.soc for stage in make(atc={"soc_version": ""})] == ["Ascend310B1"]
    assert calls() == 1


def test_other_nodes_that_stay_in_fp32_make_the_models_anew(make, calls, tmp_path):
    keep = tmp_path / "keep.cfg"
    keep.write_text("Softmax_1\n")
    make(atc={"keep_dtype": str(keep)})
    calls()
    keep.write_text("Softmax_1\nSoftmax_2\n")
    make(atc={"keep_dtype": str(keep)})
    assert calls() == 1


@pytest.mark.parametrize("change", ["rewritten", "gone", "memo gone", "memo broken", "memo empty"])
def test_a_model_that_is_not_the_one_that_was_made_is_made_anew(make, calls, artefacts, change):
    make()
    calls()
    model, memo = artefacts / "m_bs4.om", artefacts / "m_bs4.om.json"
    if change == "rewritten":
        model.write_text("touched")
    elif change == "memo broken":
        memo.write_text('{"key": ')
    elif change == "memo empty":
        memo.write_text("{}")
    else:
        (model if change == "gone" else memo).unlink()
    make()
    assert calls() == 1


def test_a_model_whose_conversion_failed_is_made_the_next_time(make, calls, tmp_path):
    make(batch_sizes=[1, 4])
    calls()
    (tmp_path / "own" / "atc").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(UserError, match="atc failed on m_bs1.om"):
        make(onnx="another", batch_sizes=[1, 4])
    (tmp_path / "own" / "atc").write_text(COUNTS)
    make(batch_sizes=[1, 4])
    assert calls() == 1  # batch 4 had not been touched


def test_a_run_folder_that_was_moved_keeps_its_models(make, calls, artefacts, tmp_path):
    first = make()
    calls()
    moved = artefacts.rename(tmp_path / "moved")
    assert om.make(moved, onnx_stage(moved), convert(), DIGITS) == first
    assert calls() == 0


# stages


def test_a_stage_says_what_the_model_is(make, artefacts):
    [stage] = make(atc={"soc_version": ""})
    assert stage == Stage(
        name="om, batch 4",
        format="om",
        file="artefacts/m_bs4.om",
        sha256=files.sha256(artefacts / "m_bs4.om"),
        bytes=(artefacts / "m_bs4.om").stat().st_size,
        command="atc --model=m_dynamicbs.onnx --framework=5 --output=m_bs4 --input_shape=input:4,3,8,8 --log=error "
        "--soc_version=Ascend310P3 (CANN 5.1.RC2+simulated)",
        seconds=stage.seconds,
        input=TensorSpec(name="input", shape=[4, 3, 8, 8], dtype="float32"),
        output=TensorSpec(name="probs", shape=[4, 10], dtype="float32"),
        precision="fp16",
        soc="Ascend310P3",
        batch=4,
    )


def test_a_stage_with_gears_has_a_dynamic_batch(make):
    [stage] = make(batch_sizes=[1, 4, 8], atc={"gears": True, "precision_mode": "allow_mix_precision"})
    assert (stage.name, stage.file) == ("om, gears", "artefacts/m_gears.om")
    assert (stage.batch, stage.gears, stage.precision) == (None, [1, 4, 8], "mixed")
    assert (stage.input.shape, stage.output.shape) == (["batch", 3, 8, 8], ["batch", 10])
    assert "--input_shape=input:-1,3,8,8 --dynamic_batch_size=1,4,8" in stage.command


def test_a_stage_with_aipp_takes_pixels(make, artefacts):
    stage, plain = make(atc={"aipp": True})
    assert (stage.input.shape, stage.input.dtype, stage.batch, stage.aipp) == ([4, 8, 8, 3], "uint8", 4, True)
    assert "--insert_op_conf=aipp.cfg" in stage.command
    assert (artefacts / "aipp.cfg").read_text() == om.aipp_config(DIGITS)
    assert (plain.input.shape, plain.input.dtype, plain.batch, plain.aipp) == ([1, 3, 8, 8], "float32", 1, False)
    assert "insert_op_conf" not in plain.command


def test_a_stage_says_what_its_onnx_file_takes(calls, artefacts):
    [stage] = om.make(artefacts, onnx_stage(artefacts, dtype="uint8"), convert(), DIGITS)
    assert (stage.input.dtype, stage.aipp) == ("uint8", False)


@pytest.mark.parametrize("options", [{}, {"aipp": True}, {"gears": True}])
def test_the_command_in_the_record_names_no_folder(make, options):
    for stage in make(batch_sizes=[1, 4], atc=options):
        assert not re.search(r"[= ']/", stage.command)


def test_the_command_in_the_record_names_no_folder_of_the_repository(make, monkeypatch, tmp_path):
    monkeypatch.setattr(atc_options, "ROOT", tmp_path)
    (tmp_path / "keep.cfg").write_text("Softmax_1\n")
    assert "--keep_dtype=keep.cfg" in make(atc={"keep_dtype": "keep.cfg"})[0].command


def test_the_command_in_the_record_names_no_folder_that_a_shell_would_quote(calls, tmp_path):
    folder = tmp_path / "it's" / "artefacts"
    folder.mkdir(parents=True)
    assert "--model=m_dynamicbs.onnx" in om.make(folder, onnx_stage(folder), convert(), DIGITS)[0].command


def test_atc_itself_is_given_whole_paths(make, artefacts):
    make(atc={"aipp": True})
    told = (artefacts / "m_aipp_bs4.om").read_text()
    assert f"--model={artefacts}/m_dynamicbs.onnx --framework=5 --output={artefacts}/m_aipp_bs4 " in told
    assert f"--insert_op_conf={artefacts}/aipp.cfg" in told


@pytest.mark.parametrize("given", [{"layout": "NHWC"}, {"dtype": "uint8"}])
def test_a_model_that_takes_no_float32_nchw_can_not_have_aipp(make, calls, given):
    said = "atc.aipp is for a model that takes float32 NCHW: this one is given otherwise, leave aipp out."
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        make(DIGITS.model_copy(update=given), atc={"aipp": True})
    assert calls() == 0


def test_the_chip_that_was_named_needs_no_npu(make, monkeypatch):
    monkeypatch.setenv("ASCEND_SIM_FAULT", "smi-fail")
    assert make(atc={"soc_version": "Ascend310P1"})[0].soc == "Ascend310P1"


def test_the_chip_is_that_of_the_device_that_was_asked_for(make):
    with pytest.raises(UserError, match="^there is no device 7, npu-smi lists 0: choose one of these as device_id.$"):
        make(atc={"soc_version": ""}, provider_options={"device_id": 7})


# with the simulated atc, which checks what the real one checks


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> tuple[Path, Stage]:
    """The digits' model as 2_convert adopts it: its folder and its stage."""
    folder = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "HASH_CACHE", folder / "hashes.json")
        source, one = write_onnx(folder / "theirs.onnx"), np.zeros((1, 3, 8, 8), np.float32)
        return folder, export.adopt(source, folder / "m_dynamicbs.onnx", one, "logits")[1]


@pytest.fixture
def simulated(ascend, digits, artefacts):
    """Return a function that converts the digits' model and returns its stages and what the simulated .om files hold."""
    folder, onnx = digits
    shutil.copy(folder / "m_dynamicbs.onnx", artefacts)

    def run(how: Preprocess, **values):
        stages = om.make(artefacts, onnx, convert(**values), how)
        read = importlib.import_module("ascend_simulator.om").Om.read
        return stages, [read(str(artefacts.parent / stage.file)) for stage in stages]

    yield run
    for name in [name for name in sys.modules if name.startswith("ascend_simulator")]:
        del sys.modules[name]


def test_atc_takes_gears_and_aipp_together(simulated, artefacts):
    how = DIGITS.model_copy(update={"channel_order": "BGR", "mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)})
    stages, (model, plain) = simulated(how, batch_sizes=[1, 4], atc={"gears": True, "aipp": True})
    assert (model.gears, plain.gears) == ([1, 4], [])
    assert (model.soc_version, model.precision) == ("Ascend310P3", "force_fp16")
    assert (model.inputs[0].shape, model.inputs[0].dtype) == ([-1, 8, 8, 3], stages[0].input.dtype)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    floats = onnxruntime.InferenceSession(artefacts / "m_dynamicbs.onnx", providers=["CPUExecutionProvider"])
    expected = floats.run(None, {"input": to_tensor(pixels, how)})[0]
    program = importlib.import_module("ascend_simulator.om").Program(model)
    np.testing.assert_allclose(program([pixels.tobytes()], 4)[0], expected, atol=5e-3)  # it normalises in fp16


def test_atc_takes_every_static_batch_size(simulated):
    stages, models = simulated(DIGITS, batch_sizes=[1, 4])
    assert [model.inputs[0].shape for model in models] == [[1, 3, 8, 8], [4, 3, 8, 8]]
    assert [stage.input.shape for stage in stages] == [model.inputs[0].shape for model in models]


# in words


def test_nothing_to_convert_is_said(artefacts):
    said = "This backend runs the ONNX file as it is: there is nothing more to convert."
    assert om.in_words([onnx_stage(artefacts)]) == Group([Sentence(said)])


def test_what_aipp_saves_is_said(make):
    said = str(om.in_words(make(atc={"aipp": True})))
    assert "With AIPP the device receives 192 bytes an image instead of 768, since it normalises them itself." in said


def test_models_without_aipp_save_nothing(make):
    assert "AIPP" not in str(om.in_words(make()))
