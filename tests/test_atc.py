"""How the vendor's converter is called, what is made of its failures, and what it leaves behind."""

import os
import re
import sys
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from helpers import export, files, params
from helpers.ascend import atc
from helpers.ascend.atc_options import Atc
from helpers.errors import ParameterError, UserError
from tests.models import write_onnx

PLAIN = Atc()
SUCCEEDS = 'echo "ATC run success, welcome to the next use."'
WRITES = 'for argument; do case "$argument" in --output=*) echo om > "${argument#--output=}.om";; esac; done'
SET_ENV = (
    "source /usr/local/Ascend/ascend-toolkit/set_env.sh (from CANN 8.5 on: /usr/local/Ascend/cann-<version>/set_env.sh) "
    "in the shell that starts this, or convert elsewhere with --kit."
)


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def still_runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def onnx_files(tmp_path_factory):
    """A folder with theirs.onnx, whose input is called `pixels`, and ours.onnx, as 2_convert adopts it."""
    folder = tmp_path_factory.mktemp("onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "HASH_CACHE", folder / "hashes.json")
        export.adopt(write_onnx(folder / "theirs.onnx"), folder / "ours.onnx", np.zeros((1, 3, 8, 8), np.float32), "logits")
    return folder


@pytest.fixture
def artefacts(tmp_path, monkeypatch):
    """An empty folder for what is made; the current folder is another one, empty too."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "artefacts").mkdir()
    return tmp_path / "artefacts"


@pytest.fixture
def convert(ascend, onnx_files, artefacts):
    """Return a function that converts an ONNX file to m_bs4.om and returns what `run` returns."""

    def run(options=PLAIN, onnx="ours", soc="Ascend310P3", folder=artefacts):
        om = folder / "m_bs4.om"
        command = atc.command(onnx_files / f"{onnx}.onnx", om, (3, 8, 8), [4], options.flags(soc, None))
        return atc.run(command, om, folder / "m_bs4.log", options)

    return run


@pytest.fixture
def own_atc(ascend, tmp_path, monkeypatch):
    """Return a function that puts a shell script in the place of atc; it may keep something in $KEPT."""
    monkeypatch.setenv("KEPT", str(tmp_path / "kept"))
    monkeypatch.setattr(atc, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: time.sleep(0.01)))  # it is done at once

    def put(text):
        folder = script(tmp_path / "own" / "atc", text).parent
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "kept"

    return put


def said_by(convert, *arguments, **changed):
    """Return the sentence of a conversion that fails."""
    with pytest.raises(UserError) as caught:
        convert(*arguments, **changed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# options


def test_nothing_is_said_that_was_left_to_atc():
    assert Atc().flags("Ascend310P3", None) == ["--log=error", "--soc_version=Ascend310P3"]


def test_the_chip_is_left_open_for_whoever_finds_it():
    assert Atc().flags("", None) == ["--log=error"]


def test_every_option_is_a_flag(tmp_path):
    options = Atc(
        precision_mode="allow_mix_precision",
        op_select_implmode="high_performance",
        optypelist_for_implmode=["Gelu", "Sigmoid"],
        keep_dtype="params/keep.cfg",
        enable_small_channel=True,
        log="info",
        extra=["--output_type=FP16", "--op-debug-level=1"],
    )
    assert options.flags("Ascend310P1", tmp_path / "aipp.cfg") == [
        "--log=info",
        "--soc_version=Ascend310P1",
        "--precision_mode=allow_mix_precision",
        "--op_select_implmode=high_performance",
        "--optypelist_for_implmode=Gelu,Sigmoid",
        f"--keep_dtype={atc.ROOT}/params/keep.cfg",
        f"--insert_op_conf={tmp_path}/aipp.cfg",
        "--enable_small_channel=1",
        "--output_type=FP16",
        "--op-debug-level=1",
    ]


def test_the_newer_precision_flag_is_passed_under_its_name():
    assert Atc(precision_mode_v2="origin").flags("", None) == ["--log=error", "--precision_mode_v2=origin"]


@pytest.mark.parametrize(
    ("mode", "precision"),
    [
        ("", "fp16"),
        ("force_fp16", "fp16"),
        ("force_fp32", "mixed"),
        ("cube_fp16in_fp32out", "mixed"),
        ("allow_mix_precision", "mixed"),
        ("allow_mix_precision_fp16", "mixed"),
        ("allow_mix_precision_bf16", "mixed"),
        ("allow_fp32_to_fp16", "mixed"),
        ("allow_fp32_to_bf16", "mixed"),
        ("must_keep_origin_dtype", "fp32"),
    ],
)
def test_a_precision_mode_has_a_precision(mode, precision):
    assert Atc(precision_mode=mode).precision == precision


@pytest.mark.parametrize(
    ("mode", "precision"),
    [
        ("fp16", "fp16"),
        ("origin", "fp32"),
        ("cube_fp16in_fp32out", "mixed"),
        ("mixed_float16", "mixed"),
        ("mixed_bfloat16", "mixed"),
    ],
)
def test_a_newer_precision_mode_has_a_precision(mode, precision):
    assert Atc(precision_mode_v2=mode).precision == precision


@pytest.mark.parametrize("options", [{}, {"precision_mode": "force_fp16"}, {"precision_mode_v2": "fp16"}])
def test_nodes_that_stay_in_fp32_make_the_precision_mixed(options):
    assert Atc(keep_dtype="keep.cfg", **options).precision == "mixed"


TOGETHER = "atc: op_select_implmode and optypelist_for_implmode go together."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"precision_mode": "force_fp16", "precision_mode_v2": "fp16"},
            "atc: precision_mode and precision_mode_v2 exclude each other: give one.",
        ),
        ({"op_select_implmode": "high_performance"}, TOGETHER),
        ({"op_select_implmode": "high_precision"}, TOGETHER),
        ({"optypelist_for_implmode": ["Gelu"]}, TOGETHER),
        ({"timeout_minutes": 0.0}, "atc.timeout_minutes: Input should be greater than 0, not 0.0."),
        ({"timeout_minutes": -1.0}, "atc.timeout_minutes: Input should be greater than 0, not -1.0."),
        ({"soc": "Ascend310P3"}, f"atc.soc: no such parameter; there are {', '.join(Atc.model_fields)}."),
    ],
)
def test_options_that_do_not_fit_are_a_sentence(options, said):
    with pytest.raises(ParameterError, match=f"^{re.escape(said)}$"):
        params.check(params.Convert, atc=options)


@pytest.mark.parametrize(
    "options",
    [
        {"precision_mode": "fp16"},
        {"precision_mode": "origin"},
        {"precision_mode_v2": "force_fp16"},
        {"op_select_implmode": "high_performance ", "optypelist_for_implmode": ["Gelu"]},
        {"log": "loud"},
    ],
)
def test_a_word_that_atc_does_not_know_is_refused_before_it_runs(options):
    name, word = next(iter(options.items()))
    with pytest.raises(ParameterError, match=f"^atc.{name}: Input should be .* not '{word}'.$"):
        params.check(params.Convert, atc=options)


@pytest.mark.parametrize("mode", ["high_performance_for_all", "high_precision_for_all"])
def test_an_implementation_for_all_operators_needs_no_list(mode):
    assert Atc(op_select_implmode=mode).flags("", None) == ["--log=error", f"--op_select_implmode={mode}"]


@pytest.mark.parametrize(
    "flag",
    [
        *("deterministic=1", "-deterministic=1", "--deterministic", "--deterministic 1", "--=1", "--output type=FP16", ""),
        *("--model=m.onnx", "--framework=5", "--output=m", "--input_shape=input:1,3,8,8", "--dynamic_batch_size=1,4"),
        *("--insert_op_conf=a.cfg", "--soc_version=Ascend310P3", "--soc-version=Ascend310P3", "--precision-mode=force_fp16"),
        *("--precision_mode_v2=fp16", "--keep_dtype=keep.cfg", "--log=debug", "--enable_small_channel=1"),
    ],
)
def test_a_further_flag_that_has_a_parameter_or_no_value_is_refused(flag):
    said = f"atc: extra: {flag!r} is not --name=value with a name that has no parameter of its own."
    with pytest.raises(ParameterError, match=f"^{re.escape(said)}$"):
        params.check(params.Convert, atc={"extra": [flag]})


# command


def test_the_command_of_one_batch_size_is_the_guides(tmp_path):
    assert atc.command(tmp_path / "base_dynamicbs.onnx", tmp_path / "base_bs8.om", (3, 224, 224), [8], ["--log=error"]) == [
        "atc",
        f"--model={tmp_path}/base_dynamicbs.onnx",
        "--framework=5",
        f"--output={tmp_path}/base_bs8",
        "--input_shape=input:8,3,224,224",
        "--log=error",
    ]


def test_the_command_of_several_batch_sizes_makes_a_gear_for_each(tmp_path):
    assert atc.command(tmp_path / "m.onnx", tmp_path / "m_gears.om", (3, 224, 224), [1, 4, 8], []) == [
        "atc",
        f"--model={tmp_path}/m.onnx",
        "--framework=5",
        f"--output={tmp_path}/m_gears",
        "--input_shape=input:-1,3,224,224",
        "--dynamic_batch_size=1,4,8",
    ]


# environment


def test_an_atc_that_is_not_on_path_is_a_sentence(ascend, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=f"^{re.escape(f'atc is not on PATH: {SET_ENV}')}$"):
        atc.check_environment(os.environ)


@pytest.mark.parametrize("value", [None, ""])
def test_an_environment_that_was_not_set_up_is_a_sentence(ascend, monkeypatch, value):
    monkeypatch.delenv("ASCEND_OPP_PATH") if value is None else monkeypatch.setenv("ASCEND_OPP_PATH", value)
    with pytest.raises(UserError, match=f"^{re.escape(f'ASCEND_OPP_PATH is not set: {SET_ENV}')}$"):
        atc.check_environment(os.environ)


def test_no_conversion_starts_without_the_environment(convert, artefacts, monkeypatch):
    monkeypatch.delenv("ASCEND_OPP_PATH")
    assert said_by(convert).startswith("ASCEND_OPP_PATH is not set: ")
    assert list(artefacts.iterdir()) == []


def test_the_version_of_cann_is_that_of_its_install_record(ascend):
    assert atc.cann_version() == "5.1.RC2+simulated"


def test_the_home_of_cann_has_two_names(ascend, monkeypatch):
    monkeypatch.delenv("ASCEND_TOOLKIT_HOME")
    assert atc.cann_version() == "5.1.RC2+simulated"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ("aarch64-linux/ascend_toolkit_install.info", "package_name=Ascend-cann-toolkit\nversion=8.0.RC1\ninnerversion=V100R001\n"),
        ("ascend_toolkit_install.info", "version=8.0.RC1\n"),
        ("version.cfg", "# comment\nVersion=8.0.RC1\n"),
        ("version.cfg", "Version = [8.0.RC1]\n"),
    ],
)
def test_the_install_record_may_lie_in_several_places(monkeypatch, tmp_path, record, text):
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path))
    (tmp_path / record).parent.mkdir(exist_ok=True)
    (tmp_path / record).write_text(text)
    assert atc.cann_version() == "8.0.RC1"


def test_a_record_of_something_else_is_passed_over(monkeypatch, tmp_path):
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path))
    (tmp_path / "ascend_toolkit_install.info").write_text("package_version=1\nconversion=2\n")
    (tmp_path / "version.cfg").write_text("version=6.3.RC2\n")
    assert atc.cann_version() == "6.3.RC2"


def test_a_cann_without_record_has_an_unknown_version(monkeypatch, tmp_path):
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path))
    assert atc.cann_version() == "unknown"


def test_without_cann_its_version_is_unknown(monkeypatch):
    monkeypatch.delenv("ASCEND_TOOLKIT_HOME", raising=False)
    monkeypatch.delenv("ASCEND_HOME_PATH", raising=False)
    assert atc.cann_version() == "unknown"


# success


def test_a_conversion_leaves_the_model_with_its_log(convert, artefacts):
    convert()
    assert (artefacts / "m_bs4.om").read_bytes()[:4] == b"IMOD"
    assert (artefacts / "m_bs4.log").read_text().splitlines()[:2] == [
        "ATC start working now, please wait for a moment.",
        "ATC run success, welcome to the next use.",
    ]


def test_what_atc_drops_where_it_is_started_lies_among_the_artefacts(convert, artefacts, tmp_path):
    convert()
    assert list((tmp_path / "here").iterdir()) == []
    assert sorted(path.name for path in (artefacts / "atc").iterdir()) == ["fusion_result.json", "kernel_meta"]


def test_a_conversion_shows_how_long_it_has_been_at_it(convert, capfd):
    convert()
    printed = capfd.readouterr()
    assert "atc m_bs4.om: 00:0" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("name", ["with space", "a;touch pwned", "$(touch pwned)", "`touch pwned`", "a&b|c>d", "quo'te\"s", "*?[x]"])
def test_no_shell_reads_the_command(convert, artefacts, tmp_path, name):
    folder = artefacts / name
    folder.mkdir()
    convert(folder=folder)
    assert (folder / "m_bs4.om").read_bytes()[:4] == b"IMOD"
    assert not [path for path in tmp_path.rglob("*") if path.name in ("pwned", "d")]


# the environment of the child


def environment_of(kept):
    return dict(line.partition("=")[::2] for line in kept.read_text().splitlines())


def test_atc_does_not_see_our_own_python(own_atc, convert, monkeypatch, tmp_path):
    kept = own_atc(f'env > "$KEPT"\n{WRITES}\n{SUCCEEDS}')
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    before = os.environ["PATH"]
    monkeypatch.setenv("PATH", os.pathsep.join([f"{tmp_path}/venv/bin", before, f"{tmp_path}/venv/bin/"]))
    for name in ("VIRTUAL_ENV", "PYTHONHOME", "CONDA_PREFIX"):
        monkeypatch.setenv(name, str(tmp_path / "venv"))
    convert()
    seen = environment_of(kept)
    assert seen["PATH"] == before
    assert not {"VIRTUAL_ENV", "PYTHONHOME", "CONDA_PREFIX"} & set(seen)


def test_atc_sees_what_set_env_set(own_atc, convert, monkeypatch):
    kept = own_atc(f'env > "$KEPT"\n{WRITES}\n{SUCCEEDS}')
    monkeypatch.setenv("LD_LIBRARY_PATH", "/cann/lib64")
    convert()
    seen = environment_of(kept)
    for name in ("ASCEND_OPP_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_AICPU_PATH", "PYTHONPATH", "LD_LIBRARY_PATH"):
        assert seen[name] == os.environ[name]


def test_a_conda_environment_is_our_own_too(own_atc, convert, monkeypatch):
    kept = own_atc(f'env > "$KEPT"\n{WRITES}\n{SUCCEEDS}')
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setenv("CONDA_PREFIX", sys.base_prefix)
    before = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder != f"{sys.base_prefix}/bin"]
    monkeypatch.setenv("PATH", os.pathsep.join([f"{sys.base_prefix}/bin", *before]))
    convert()
    assert environment_of(kept)["PATH"] == os.pathsep.join(before)


def test_outside_a_virtual_environment_the_path_stays_as_it_is(own_atc, convert, monkeypatch):
    kept = own_atc(f'env > "$KEPT"\n{WRITES}\n{SUCCEEDS}')
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], f"{sys.base_prefix}/bin"]))
    convert()
    assert environment_of(kept)["PATH"] == os.environ["PATH"]


def test_the_python_for_atc_goes_first(own_atc, convert, tmp_path):
    kept = own_atc(f'env > "$KEPT"\n{WRITES}\n{SUCCEEDS}')
    python = script(tmp_path / "py39" / "python3", "exit 0")
    convert(Atc(atc_python=str(python)))
    assert environment_of(kept)["PATH"] == f"{tmp_path}/py39{os.pathsep}{os.environ['PATH']}"


def test_the_python_for_atc_may_be_named_by_its_version(own_atc, convert, tmp_path):
    kept = own_atc(f'env > "$KEPT"\n{WRITES}\n{SUCCEEDS}')
    script(tmp_path / "py39" / "python3", "exit 0")
    convert(Atc(atc_python=f"{tmp_path}/py39/python3.9"))
    assert environment_of(kept)["PATH"].startswith(f"{tmp_path}/py39{os.pathsep}")


def test_a_relative_python_for_atc_is_relative_to_the_repository(own_atc, convert, monkeypatch, tmp_path):
    kept = own_atc(f'env > "$KEPT"\n{WRITES}\n{SUCCEEDS}')
    monkeypatch.setattr(atc, "ROOT", tmp_path)
    script(tmp_path / "py39" / "python3", "exit 0")
    convert(Atc(atc_python="py39/python3"))
    assert environment_of(kept)["PATH"].startswith(f"{tmp_path}/py39{os.pathsep}")


@pytest.mark.parametrize("mode", [None, 0o644])
def test_a_python_for_atc_that_is_none_is_a_sentence(convert, tmp_path, mode):
    python = tmp_path / "py39" / "python3"
    if mode:
        script(python, "exit 0").chmod(mode)
    assert said_by(convert, Atc(atc_python=str(python))) == (
        f"atc.atc_python: {python} has no executable python3 in its folder: give the path of a python3."
    )


# what is known of its Python


@pytest.fixture
def python_of_atc(convert, tmp_path):
    """Return a function that converts with a python3 that is this shell script, and returns what is said."""

    def run(text):
        return said_by(convert, Atc(atc_python=str(script(tmp_path / "py" / "python3", text))))

    return run


def test_a_python_with_numpy_2_is_named(python_of_atc, tmp_path):
    answers = 'case "$2" in *print*) echo 2.1.0;; *) echo "AttributeError: np.float_ was removed" >&2; exit 1;; esac'
    said = python_of_atc(answers)
    assert said.startswith(
        "atc failed on m_bs4.om (exit status 255): EC0010: "
        "Failed to import Python module [AttributeError: np.float_ was removed.]. Solution: "
    )
    assert said.endswith(f"; its {tmp_path}/py/python3 has numpy 2.1.0 and atc needs numpy < 2: give another python3 as atc.atc_python.")


def test_a_python_without_numpy_is_named(python_of_atc, tmp_path):
    said = python_of_atc("echo \"ModuleNotFoundError: No module named 'numpy'\" >&2; exit 1")
    assert said.endswith(
        f"; its {tmp_path}/py/python3 lacks what atc imports (ModuleNotFoundError: No module named 'numpy'): "
        "install it there or give another python3 as atc.atc_python."
    )


def test_a_python_that_does_not_start_is_named(python_of_atc, tmp_path):
    said = python_of_atc('case "$2" in *print*) exit 1;; *) echo no >&2; exit 1;; esac')
    assert f"; its {tmp_path}/py/python3 lacks what atc imports (it does not start): " in said


def test_no_python_on_path_is_a_sentence(convert, tmp_path, monkeypatch):
    found = next(folder for folder in os.environ["PATH"].split(os.pathsep) if os.access(f"{folder}/atc", os.X_OK))
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "atc").symlink_to(f"{found}/atc")
    monkeypatch.setenv("PATH", str(tmp_path / "only"))
    assert said_by(convert).endswith("; there is no python3 on atc's PATH: give one with numpy < 2 as atc.atc_python.")


def test_a_python_that_has_all_is_not_accused(convert, monkeypatch):
    monkeypatch.setenv("ASCEND_SIM_FAULT", "atc-fail")
    assert said_by(convert).endswith("; see its log beside the artefacts and the error code in the ATC documentation.")


# failures

EZ3003 = "EZ3003: No supported Ops kernel and engine are found for [AddDsl], optype [AddDsl]."


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("atc-fail", f"atc failed on m_bs4.om (exit status 255): {EZ3003}"),
        ("atc-fail-rc0", f"atc failed on m_bs4.om (exit status 0): {EZ3003}"),
        ("atc-no-file", "atc reported success but wrote no m_bs4.om: see whether the disk is full, and its log beside the artefacts."),
        (
            "atc-host-suffix",
            f"atc wrote m_bs4_linux_{os.uname().machine}.om: part of the graph stayed dynamic and would run on the host; "
            "export it with a fixed shape.",
        ),
        ("atc-hang", "atc did not finish m_bs4.om in 0.02 minutes: raise atc.timeout_minutes."),
    ],
)
def test_every_fault_is_a_sentence_and_leaves_no_model(convert, artefacts, monkeypatch, fault, said):
    monkeypatch.setenv("ASCEND_SIM_FAULT", fault)
    assert said_by(convert, Atc(timeout_minutes=0.02 if fault == "atc-hang" else 1)).startswith(said)
    assert not (artefacts / "m_bs4.om").exists()


def test_the_log_of_a_failure_is_kept(convert, artefacts, monkeypatch):
    monkeypatch.setenv("ASCEND_SIM_FAULT", "atc-fail")
    said_by(convert)
    assert "        TraceBack (most recent call last):\n        build graph failed" in (artefacts / "m_bs4.log").read_text()


def test_a_model_that_would_run_on_the_host_is_not_left(convert, artefacts, monkeypatch):
    monkeypatch.setenv("ASCEND_SIM_FAULT", "atc-host-suffix")
    said_by(convert)
    assert list(artefacts.glob("*.om")) == []


def test_an_older_model_does_not_survive_a_failure(convert, artefacts, monkeypatch):
    monkeypatch.setenv("ASCEND_SIM_FAULT", "atc-no-file")
    for name in ("m_bs4.om", "m_bs4_linux_x86_64.om"):
        (artefacts / name).write_text("older")
    assert said_by(convert).startswith("atc reported success but wrote no m_bs4.om: ")
    assert list(artefacts.glob("*.om")) == []


def test_a_model_of_another_batch_size_survives(convert, artefacts):
    (artefacts / "m_bs1.om").write_text("other")
    convert()
    assert (artefacts / "m_bs1.om").read_text() == "other"


def test_success_in_words_with_an_exit_status_is_a_failure(own_atc, convert, artefacts):
    own_atc(f"{WRITES}\n{SUCCEEDS}\nexit 3")
    assert said_by(convert).startswith("atc failed on m_bs4.om (exit status 3): ATC run success, welcome to the next use; ")
    assert not (artefacts / "m_bs4.om").exists()


def test_a_model_without_words_of_success_is_a_failure(own_atc, convert, artefacts):
    own_atc(WRITES)
    assert said_by(convert).startswith("atc failed on m_bs4.om (exit status 0): it printed nothing; ")
    assert not (artefacts / "m_bs4.om").exists()


def test_an_error_on_stderr_is_told_too(own_atc, convert):
    own_atc('echo "E10001: Value [x] is invalid." >&2; exit 1')
    assert said_by(convert).startswith("atc failed on m_bs4.om (exit status 1): E10001: Value [x] is invalid; ")


def test_an_error_without_a_code_is_told_by_its_last_line(own_atc, convert):
    own_atc('echo "ATC start working now"\necho "Segmentation fault"\necho\nexit 139')
    assert said_by(convert).startswith("atc failed on m_bs4.om (exit status 139): Segmentation fault; ")


def test_an_atc_that_a_signal_ended_is_a_sentence(own_atc, convert):
    own_atc('echo "compiling"\nkill -9 $$')
    assert said_by(convert).startswith("atc failed on m_bs4.om (exit status -9): compiling; ")


def test_a_long_error_is_cut(own_atc, convert):
    own_atc(f"printf 'E19999: {'x' * 5000}'; exit 1")
    said = said_by(convert)
    assert said.startswith(f"atc failed on m_bs4.om (exit status 1): E19999: {'x' * 592}; ")


def test_what_atc_prints_may_be_no_utf8(own_atc, convert):
    own_atc("printf 'E10001: \\377 is wrong'; exit 1")
    assert said_by(convert).startswith("atc failed on m_bs4.om (exit status 1): E10001: � is wrong; ")


@pytest.mark.parametrize("style", ["old", "new"])
def test_an_input_of_another_name_shows_the_vendors_code(convert, monkeypatch, style):
    monkeypatch.setenv("ASCEND_SIM_ATC", style)
    said = said_by(convert, onnx="theirs")
    reason = {"old": r"Value \[-1\] for parameter \[pixels\] is invalid", "new": r".*Value NULL for parameter --input_shape is invalid"}
    assert re.match(rf"atc failed on m_bs4.om \(exit status 255\): E10001: {reason[style]}\. Reason: ", said)


@pytest.mark.parametrize("style", ["old", "new"])
def test_an_unknown_chip_shows_the_vendors_code(convert, monkeypatch, style):
    monkeypatch.setenv("ASCEND_SIM_ATC", style)
    said = said_by(convert, soc="Ascend311")
    assert re.match(r"atc failed on m_bs4.om \(exit status 255\): E10001: .*Value \[?Ascend311\]? for parameter \[?--soc_version", said)


def test_a_value_that_atc_refuses_shows_the_vendors_code(convert):
    said = said_by(convert, Atc(extra=["--output_type=FP64"]))
    assert said.startswith("atc failed on m_bs4.om (exit status 255): E10001: Value [FP64] for parameter [--output_type] is invalid. ")


def test_a_flag_that_atc_does_not_know_is_named(convert):
    assert "unknown command line flag 'nonsense'" in said_by(convert, Atc(extra=["--nonsense=1"]))


def test_an_atc_that_only_our_own_python_has_is_a_sentence(ascend, convert, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    script(tmp_path / "venv" / "bin" / "atc", SUCCEEDS)
    monkeypatch.setenv("PATH", os.pathsep.join([f"{tmp_path}/venv/bin", "/usr/bin", "/bin"]))
    assert said_by(convert).startswith("atc is not on PATH")


# time limit


def test_a_conversion_that_hangs_is_ended_with_all_it_started(own_atc, convert):
    kept = own_atc('sleep 1000 & echo $$ $! > "$KEPT"; wait')
    assert said_by(convert, Atc(timeout_minutes=0.01)) == "atc did not finish m_bs4.om in 0.01 minutes: raise atc.timeout_minutes."
    pids = [int(pid) for pid in kept.read_text().split()]
    for _ in range(100):  # the kernel ends the group's members one after the other
        if not any(map(still_runs, pids)):
            break
        time.sleep(0.05)
    assert [pid for pid in pids if still_runs(pid)] == []


def test_a_conversion_that_hangs_leaves_no_part_of_a_model(own_atc, convert, artefacts):
    own_atc(f"{WRITES}\nsleep 1000")
    assert said_by(convert, Atc(timeout_minutes=0.01)).startswith("atc did not finish m_bs4.om")
    assert not (artefacts / "m_bs4.om").exists()


def test_an_interrupted_conversion_ends_atc_and_leaves_no_part_of_a_model(own_atc, convert, artefacts, monkeypatch):
    kept = own_atc(f'{WRITES}\necho $$ > "$KEPT"; exec sleep 1000')

    def interrupt(seconds):
        if kept.is_file() and kept.read_text():
            raise KeyboardInterrupt

    monkeypatch.setattr(atc.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert()
    assert not (artefacts / "m_bs4.om").exists()
    assert not still_runs(int(kept.read_text()))
