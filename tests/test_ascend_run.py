"""The whole Ascend job through strict simulators: live, by a kit and its shell script, and with everything that can go wrong."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest

from helpers import ROOT, dataset, run, steps
from helpers.ascend import recorded
from helpers.records import Accuracy, Data, Model, Report, Sweep
from tests import simulators
from tests.test_run import write_params

SIZES = [1, 4, 8, 16, 32, 64]
ASCEND = "ascend fp16 on Ascend310P3 (simulated device)"
DEMO = {"subset": 200, "batch_sizes": SIZES, "batch_size": 8, "baseline": "conformer_base_310p", "threads": 1}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """The simulators for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in simulators.install(tmp_path_factory.mktemp("ascend")).items():
            patch.setenv(name, value)
        patch.setenv("ASCEND_SIM_SCALE", "0.05")
        patch.syspath_prepend(simulators.SITE)
        yield


@pytest.fixture(scope="module")
def live(simulated, tmp_path_factory) -> tuple[Path, Path]:
    """The demo on the simulated device, run once: (parameter file, run folder)."""
    folder = tmp_path_factory.mktemp("live")
    params = write_params(folder / "p.yaml", "demo", run=str(folder / "run"), backend="ascend", gate="best", **DEMO)
    assert run.main([str(params)]) == 0
    return params, folder / "run"


@pytest.fixture(scope="module")
def kit(simulated, tmp_path_factory) -> tuple[Path, Path]:
    """A kit, run by its own shell script: (parameter file of its run, folder)."""
    folder = tmp_path_factory.mktemp("kit")
    params = write_params(folder / "p.yaml", "demo", run=str(folder / "run"), backend="ascend", **DEMO)
    assert run.main([str(params), "--kit", str(folder / "kit")]) == 0
    done = subprocess.run(["sh", str(folder / "kit" / "run.sh")], capture_output=True, text=True, env={**os.environ, "LOOP": "40"})
    assert done.returncode == 0, done.stderr
    return params, folder / "kit"


@pytest.fixture(scope="module")
def replayed(kit) -> Path:
    params, folder = kit
    results = f"{{results: {folder / 'results.tar.gz'}}}"
    assert run.main([str(params), "-p", "backend", "replay", "-p", "provider_options", results]) == 0
    return params.parent / "run"


def scores(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / steps.load(Accuracy, folder).results[0].scores_file) as loaded:
        return dict(loaded)


def compute_fps(folder: Path) -> dict[int, float]:
    rows = steps.load(Sweep, folder).one("candidate").rows
    return {row.batch: row.regions["compute"].images_per_second for row in rows}


def test_every_batch_size_has_an_offline_model_made_from_the_onnx_file(live):
    model = steps.load(Model, live[1])
    oms = [stage for stage in model.stages if stage.format == "om"]
    assert [stage.batch for stage in oms] == SIZES
    assert {(stage.soc, stage.precision) for stage in oms} == {("Ascend310P3", "fp16")}
    assert [stage.file for stage in oms] == [f"artefacts/conformer_fmnist_bs{batch}.om" for batch in SIZES]
    assert (live[1] / "artefacts" / "conformer_fmnist_dynamicbs.onnx").is_file()
    checked = {check.batch for check in model.checks if check.candidate == ASCEND}
    assert checked == set(SIZES)
    assert all(check.passed for check in model.checks)


def test_the_answers_are_those_of_onnx_runtime_on_the_same_images(live, tmp_path):
    params = write_params(tmp_path / "p.yaml", "demo", run=str(tmp_path / "run"), **{**DEMO, "batch_sizes": [8], "baseline": "none"})
    assert [run.main([str(params), "--only", number]) for number in "123"] == [0, 0, 0]
    here, there = scores(tmp_path / "run"), scores(live[1])
    assert (here["top5"][:, 0] == there["top5"][:, 0]).all()
    np.testing.assert_allclose(here["probability"], there["probability"], atol=1e-5)


def test_the_sweep_follows_the_stated_latency_in_both_regions(live):
    sweep = steps.load(Sweep, live[1])
    candidate = sweep.one("candidate")
    assert (sweep.region, candidate.kind) == ("compute", "simulated")
    published = {1: 7.02, 4: 19.21, 8: 31.04, 16: 68.99, 32: 144.84, 64: 307.69}  # ms, the simulator's statement at full scale
    for row in candidate.rows:
        compute, device = row.regions["compute"], row.regions["device"]
        assert compute.images_per_second == pytest.approx(1000 * row.batch / (0.05 * published[row.batch]), rel=0.01)
        assert device.images_per_second < compute.images_per_second
        assert row.copies.to_device_ms > 0
        assert row.load_seconds > 0
        assert row.telemetry.temperature_c == 29
        assert row.telemetry.power_of == "card"


def test_what_a_simulator_made_says_so_and_gets_no_verdict(live):
    accuracy, sweep, report = (steps.load(kind, live[1]) for kind in (Accuracy, Sweep, Report))
    assert (accuracy.verdict, sweep.verdict, report.verdict) == ("NONE", "NONE", "NONE")  # though the gate best was asked for
    assert accuracy.results[0].simulated
    assert "Ascend 310P3 (simulated device)" in accuracy.sentence
    assert "Ascend 310P3 (simulated device)" in sweep.sentence
    page = (live[1] / "report.html").read_text()
    assert page.index("Simulated device: the figures of ascend fp16") < page.index("<img")
    for name in ("3_accuracy", "4_batch_sweep"):
        assert "(simulated device)" in (live[1] / f"{name}.html").read_text()
    assert len(page.partition('<pre hidden id="records">')[0]) < 100_000


def test_an_unchanged_run_converts_nothing_again(live, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in (live[1] / "artefacts").glob("*.om")}
    assert run.main([str(live[0])]) == 0
    assert capsys.readouterr().out.count("unchanged") == 5
    assert run.main([str(live[0]), "--only", "2", "--force"]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (live[1] / "artefacts").glob("*.om")} == before


def test_another_driver_or_chip_makes_a_run_anew(live, monkeypatch, capsys):
    monkeypatch.setenv("ASCEND_SIM_SMI", "310p_old")
    assert run.main([str(live[0]), "--list"]) == 0
    assert re.findall(r"(\d)_\w+ +to do", capsys.readouterr().out) == ["2", "3", "4", "5"]


def test_the_kit_has_what_the_guide_has(kit):
    folder = kit[1]
    data = steps.load(Data, kit[0].parent / "run")
    bins = sorted(folder.glob("bin/*"))
    assert len(bins) == data.images == 200
    assert {path.stat().st_size for path in bins} == {3 * 32 * 32 * 4}
    assert {stat.S_IMODE(path.stat().st_mode) for path in [*bins, folder / "run.sh"]} == {0o640}
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    labels = (folder / "val_label.txt").read_text().splitlines()
    assert re.fullmatch(r"fashion_mnist_test_\d+\.png \d", labels[0])
    assert len(labels) == 200
    assert (folder / "conformer_fmnist_dynamicbs.onnx").is_file()


def test_the_kits_script_is_plain_posix_shell_and_goes_on_where_it_stopped(kit):
    script = kit[1] / "run.sh"
    assert subprocess.run(["dash", "-n", str(script)]).returncode == 0
    assert not re.search(r"\[\[|function |<\(|\$\{\w+[,^@]|==|pipefail", script.read_text())
    done = subprocess.run(["sh", str(script)], capture_output=True, text=True, env={**os.environ, "LOOP": "40"})
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ASCEND_SIM_FAULT": "atc-fail"}, "atc failed on conformer_fmnist_bs1.om: see results/atc_conformer_fmnist_bs1.log"),
        ({"ASCEND_SIM_FAULT": "atc-fail-rc0"}, "atc failed on conformer_fmnist_bs1.om"),
        ({"ASCEND_SIM_FAULT": "atc-no-file"}, "atc failed on conformer_fmnist_bs1.om"),
        ({"ASCEND_SIM_FAULT": "device-busy"}, "ais_bench failed on answers_bs8: see results/answers_bs8.log"),
        ({"ASCEND_SIM_FAULT": "smi-fail"}, "set SOC, for example SOC=Ascend310P3"),
        ({"AIS_BENCH": "", "PYTHONPATH": ""}, "python3 has no ais_bench: install it, or set AIS_BENCH"),
        ({"PATH": "/usr/bin:/bin"}, "atc is not on PATH"),
    ],
)
def test_the_kits_script_says_what_is_wrong(kit, tmp_path, change, said):
    for name in ("run.sh", "kit.json", "conformer_fmnist_dynamicbs.onnx", "bin"):
        source = kit[1] / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    done = subprocess.run(["sh", str(tmp_path / "run.sh")], capture_output=True, text=True, env={**os.environ, **change})
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "results.tar.gz").exists()


def test_a_replayed_kit_gives_the_answers_and_the_compute_fps_of_the_live_run(live, replayed):
    here, there = scores(replayed), scores(live[1])
    assert (here["image"] == there["image"]).all()
    assert (here["top5"] == there["top5"]).all()
    assert steps.load(Accuracy, replayed).results[0].top1_pct == steps.load(Accuracy, live[1]).results[0].top1_pct
    assert json.loads((replayed / "acc_result.json").read_text()) == json.loads((live[1] / "acc_result.json").read_text())
    measured = compute_fps(live[1])
    assert compute_fps(replayed) == {batch: pytest.approx(fps, rel=0.01) for batch, fps in measured.items()}


def test_a_replay_says_what_was_not_recorded_and_keeps_the_chain_of_hashes(live, replayed):
    model, sweep = steps.load(Model, replayed), steps.load(Sweep, replayed)
    oms = [stage for stage in model.stages if stage.format == "om"]
    assert [stage.batch for stage in oms] == SIZES
    assert [stage.sha256 for stage in oms] == [stage.sha256 for stage in steps.load(Model, live[1]).stages if stage.format == "om"]
    recorded = [check for check in model.checks if check.candidate.startswith("recorded fp16")]
    assert [(check.batch, check.passed) for check in recorded] == [(batch, True) for batch in SIZES]
    assert all("device" not in row.regions for row in sweep.one("candidate").rows)
    assert sweep.one("candidate").rows[0].regions["compute"].blocks == 40
    page = (replayed / "report.html").read_text()
    assert "not recorded" in page
    assert "input of zeros" in page
    assert page.index("Simulated device") < page.index("<img")


@pytest.mark.parametrize(("era", "dropped"), [("V1", 8), ("V1b", 8), ("V2", 0), ("V3", 0)])
def test_older_tools_give_the_same_answers(kit, replayed, tmp_path, era, dropped):
    """As the kit calls them, on 200 images: the releases of early 2022 drop the 8 of the last batch of 16."""
    shutil.copytree(kit[1] / "bin", tmp_path / "bin")
    stems = sorted(path.stem for path in (kit[1] / "bin").iterdir())
    (tmp_path / "out").mkdir()
    model = shutil.copy(kit[1] / "conformer_fmnist_bs16.om", tmp_path)
    command = ["ais_bench", "--model", model, "--input", str(tmp_path / "bin"), "--output", str(tmp_path / "out"), "--batchsize", "16"]
    tmp_path.chmod(0o750)
    done = subprocess.run([*command, "--outfmt", "BIN"], env={**os.environ, "ASCEND_SIM_ERA": era}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    [answers] = recorded.read(tmp_path / "out", 10, stems).answers
    assert answers.batch == 16
    assert sorted(answers.probabilities) == stems[: 200 - dropped]
    assert dropped == 0 or "early releases drop" in " ".join(answers.remarks)
    known = scores(replayed)
    names = dataset.load(replayed / "artefacts" / "manifest.csv").names
    best = {Path(name).stem: top[0] for name, top in zip(names, known["top5"], strict=True)}
    assert {stem: row.argmax() for stem, row in answers.probabilities.items()} == {stem: best[stem] for stem in answers.probabilities}


def test_results_written_by_hand_as_text_say_what_they_lack(kit, replayed, tmp_path):
    """The guide's own command, replayed: no hashes, no chip, six decimals."""
    shutil.copytree(kit[1] / "bin", tmp_path / "bin")
    (tmp_path / "out").mkdir()
    tmp_path.chmod(0o750)
    model = shutil.copy(kit[1] / "conformer_fmnist_bs1.om", tmp_path)
    command = ["ais_bench", "--model", model, "--input", str(tmp_path / "bin"), "--output", str(tmp_path / "out"), "--outfmt", "TXT"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    shutil.copytree(replayed, tmp_path / "run")
    options = f"{{results: {tmp_path / 'out'}, device: Ascend 310P}}"
    again = [str(kit[0]), "-p", "run", str(tmp_path / "run"), "-p", "backend", "replay", "-p", "provider_options", options]
    assert run.main([*again, "-p", "precision", "fp16", "-p", "batch_sizes", "[1, 4]"]) == 0
    accuracy, sweep = steps.load(Accuracy, tmp_path / "run"), steps.load(Sweep, tmp_path / "run")
    assert accuracy.results[0].top1_pct == steps.load(Accuracy, replayed).results[0].top1_pct
    assert accuracy.results[0].device == "Ascend 310P (simulated device)"
    assert "did not come from a kit" in " ".join(accuracy.results[0].remarks)
    assert [row.remark for row in sweep.one("candidate").rows][1] == "no figure was recorded at this batch size"
    assert sweep.one("candidate").rows[0].regions["compute"].images_per_second > 0


def test_results_of_other_images_or_another_model_are_refused(kit, replayed, capfd):
    results = f"{{results: {kit[1] / 'results.tar.gz'}}}"
    replay = [str(kit[0]), "-p", "backend", "replay", "-p", "provider_options", results]
    assert run.main([*replay, "-p", "seed", "5", "-p", "run", str(kit[0].parent / "other")]) == 1
    assert "recorded results were made for other images than this run's: write the kit anew" in capfd.readouterr().err
    assert run.main([*replay, "-p", "onnx", "{simplify: false}", "-p", "run", str(kit[0].parent / "another")]) == 1
    assert "recorded results were made from another ONNX file than this run's" in capfd.readouterr().err


def test_a_folder_that_is_no_kit_is_left_alone(kit, tmp_path, capfd):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mine").write_text("")
    assert run.main([str(kit[0]), "--kit", str(tmp_path)]) == 1
    assert "exists and is no kit: name a new or an empty folder" in capfd.readouterr().err
    assert (tmp_path / "bin" / "mine").is_file()


def test_a_model_that_normalises_by_itself_is_compared_with_one_that_does_not(live, tmp_path):
    shutil.copytree(live[1], tmp_path / "run")
    aipp = [str(live[0]), "-p", "run", str(tmp_path / "run"), "-p", "atc", "{aipp: true}", "-p", "batch_sizes", "[1, 8]"]
    assert run.main([*aipp, "--only", "2"]) == 0
    model = steps.load(Model, tmp_path / "run")
    made = {stage.file: stage.input for stage in model.stages if stage.format == "om"}
    assert made["artefacts/conformer_fmnist_aipp_bs8.om"].shape == [8, 32, 32, 3]
    assert made["artefacts/conformer_fmnist_aipp_bs8.om"].dtype == "uint8"
    assert made["artefacts/conformer_fmnist_bs1.om"].dtype == "float32"
    compared = {(check.reference, check.batch) for check in model.checks if check.candidate == f"{ASCEND} (aipp True)"}
    assert compared == {(reference, batch) for reference in ("PyTorch", ASCEND) for batch in (1, 8)}
    assert "3,072 bytes an image instead of 12,288" in (tmp_path / "run" / "2_convert.html").read_text()
    assert run.main([*aipp, "--only", "3"]) == 0
    answers = scores(tmp_path / "run")["top5"][:, 0] == scores(live[1])["top5"][:, 0]
    assert answers.mean() > 0.98  # fp16 pixels


@pytest.mark.parametrize(
    ("fault", "notebook", "said"),
    [
        ("atc-fail", "2", "EZ3003"),
        ("atc-no-file", "2", "atc reported success but wrote no conformer_fmnist_bs1.om"),
        ("device-busy", "3", "acl open device 0 failed"),
        ("load-fail", "3", "load model from file failed"),
        ("run-fail:5", "3", "execute model failed, modelId is 1"),
        ("run-hang:5", "3", "the device did not answer in time"),
        ("garbage", "2", "gives values that are not finite"),
        ("output-size-zero", "3", "out i:0 size is zero"),
        ("smi-fail", "3", "dcmi module initialize failed. ret is -8005"),
    ],
)
def test_every_fault_is_one_sentence(live, tmp_path, monkeypatch, capfd, fault, notebook, said):
    shutil.copytree(live[1], tmp_path / "run")
    if fault.startswith("atc"):
        for memo in (tmp_path / "run" / "artefacts").glob("*.om.json"):
            memo.unlink()
    monkeypatch.setenv("ASCEND_SIM_FAULT", fault)
    options = ["-p", "provider_options", "{timeout_seconds: 3}"]
    if notebook == "3":
        assert run.main([str(live[0]), "-p", "run", str(tmp_path / "run"), *options, "--list"]) == 0  # faults do not disturb looking
        # the model was made without this option and fault: the notebook itself is what is tried
        code = run._execute("3_accuracy", _settings(live[0], tmp_path / "run", options), tmp_path / "run", True)
    else:
        code = run.main([str(live[0]), "-p", "run", str(tmp_path / "run"), *options, "--only", notebook])
    printed = capfd.readouterr()
    assert code == 1
    assert said in printed.err + (tmp_path / "run" / "2_convert.html").read_text()
    assert "Traceback" not in printed.err + printed.out
    assert not (tmp_path / "run" / "accuracy.json").exists() or notebook == "2"


def _settings(params: Path, folder: Path, options: list[str]):
    from helpers import params as parameters

    return parameters.read(params, {"run": str(folder), options[1]: options[2]})


def test_a_point_that_fails_leaves_the_others_their_figures(live, tmp_path, monkeypatch):
    shutil.copytree(live[1], tmp_path / "run")
    monkeypatch.setenv("ASCEND_SIM_FAULT", "run-fail:60")
    code = run._execute("4_batch_sweep", _settings(live[0], tmp_path / "run", ["", "seed", "0"]), tmp_path / "run", True)
    assert code == 0
    rows = steps.load(Sweep, tmp_path / "run").one("candidate").rows
    failed = [row for row in rows if row.error]
    assert len(failed) == 1
    assert "execute model failed" in failed[0].error
    assert all(row.regions for row in rows if row not in failed)


def test_the_shipped_replay_gives_a_report(tmp_path):
    code = run.main([str(ROOT / "params" / "conformer_base_310p_replay.yaml"), "-p", "run", str(tmp_path / "run")])
    assert code == 0
    sweep, accuracy = steps.load(Sweep, tmp_path / "run"), steps.load(Accuracy, tmp_path / "run")
    assert sweep.one("candidate").kind == "simulated"
    assert [row.batch for row in sweep.one("candidate").rows] == SIZES
    assert accuracy.results[0].images == 1000
    assert accuracy.results[0].top1_pct > 88
