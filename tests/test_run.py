"""The chain for real: notebooks executed by papermill, on the demo and on an ONNX file that a user brings."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import papermill
import pytest
import yaml

from helpers import ROOT, dataset, index, records, run, steps
from helpers.params import STEPS
from helpers.records import Accuracy, Data, Model, Report, Sweep

QUICK = {
    "batch_sizes": [1, 8],
    "batch_size": 8,
    "baseline": "none",
    "threads": 1,
}  # 1: on busy cores two OpenMP threads wait for each other


def write_params(path: Path, base: str | None = None, **values) -> Path:
    content = yaml.safe_load((ROOT / "params" / f"{base}.yaml").read_text()) if base else {}
    path.write_text(yaml.safe_dump({**content, **values}))
    return path


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, Path]:
    """The demo with two batch sizes, run once: (parameter file, run folder)."""
    folder = tmp_path_factory.mktemp("demo")
    params = write_params(folder / "demo.yaml", "demo", run=str(folder / "run"), batch_sizes=[1, 8])
    assert run.main([str(params)]) == 0
    return params, folder / "run"


def test_the_demo_is_as_accurate_as_it_was_trained(demo):
    accuracy = steps.load(Accuracy, demo[1])
    assert accuracy.images == 10000
    assert accuracy.results[0].top1_pct >= 91
    assert accuracy.verdict == "PASS"
    guide = json.loads((demo[1] / "acc_result.json").read_text())
    assert guide["value"][2] == {"key": "Top1 accuracy", "value": f"{round(accuracy.results[0].top1_pct, 2)}%"}


def test_the_scores_of_every_image_are_kept(demo):
    accuracy = steps.load(Accuracy, demo[1])
    with np.load(demo[1] / accuracy.results[0].scores_file, allow_pickle=False) as scores:
        assert scores["top5"].shape == scores["probability"].shape == (10000, 5)
        assert (scores["top5"].dtype, scores["probability"].dtype) == (np.int32, np.float32)
        right = (scores["top5"][:, 0] == scores["label"]).mean()
    assert 100 * right == pytest.approx(accuracy.results[0].top1_pct)


def test_the_sweep_has_both_lines_in_the_same_region(demo):
    sweep = steps.load(Sweep, demo[1])
    assert [series.role for series in sweep.series] == ["candidate", "baseline"]
    assert [[row.batch for row in series.rows] for series in sweep.series] == [[1, 8], [1, 8]]
    measured = [row.regions["compute"] for series in sweep.series for row in series.rows]
    assert all(point.images_per_second > 0 and point.blocks >= 30 for point in measured)
    assert sweep.gate == "geomean"


def test_the_chain_of_hashes_holds(demo):
    data, model, accuracy, sweep = (steps.load(kind, demo[1]) for kind in (Data, Model, Accuracy, Sweep))
    assert model.inputs == {"data": data.fingerprint}
    assert accuracy.inputs == sweep.inputs == {"data": data.fingerprint, "model": model.fingerprint}
    assert [stage.format for stage in model.stages] == ["pytorch", "onnx"]
    assert all(check.passed for check in model.checks)
    assert {check.batch for check in model.checks} == {1, 3, 8, 64}


class Page(HTMLParser):
    """Collects what the offline rules are about."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.addresses, self.images = [], [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.addresses += [value for key, value in attrs if key in ("src", "href", "srcset", "action", "data")]
        self.images += [attributes] if tag == "img" else []
        assert not [key for key in attributes if key.startswith("on")]


@pytest.mark.parametrize("name", [*list(STEPS)[:4], "report"])
def test_pages_are_offline_and_accessible(demo, name):
    page = Page(demo[1] / f"{name}.html")
    assert page.tags.count("h1") == 1
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert all(address.startswith("data:image/") or re.fullmatch(r"\w+\.(html|csv)", address) for address in page.addresses)
    assert all(image.get("alt") for image in page.images)
    text = (demo[1] / f"{name}.html").read_text()
    assert "Traceback" not in text
    packed = re.search(r'(?<=<pre hidden id="records">)[^<]*', text)
    assert (packed is not None) == (name == "report")
    assert len(text) - (len(packed[0]) if packed else 0) < 100_000
    assert str(demo[1]) not in text
    assert len(json.loads((demo[1] / "tables" / f"{name}.json").read_text())) == page.tags.count("table")


def test_the_report_tells_the_whole_story(demo):
    text = (demo[1] / "report.html").read_text()
    report, model = steps.load(Report, demo[1]), steps.load(Model, demo[1])
    assert report.verdict == steps.load(Sweep, demo[1]).verdict
    sentences = [steps.load(kind, demo[1]).sentence.replace(" %", "\u00a0%") for kind in (Accuracy, Sweep)]
    facts = [
        model.stages[-1].sha256[:12],
        "python -m helpers.run",
        "batch_sizes: [1, 8]",
        f"{report.verdict}: conformer_fmnist in onnxruntime fp32",
    ]
    for part in (*sentences, *facts):
        assert part in text, part
    assert "REFUSED" not in text
    assert '<img alt="onnxruntime fp32 runs at' in text
    index.write_index(demo[1].parent)
    assert 'href="run/report.html"' in (demo[1].parent / "index.html").read_text()


def test_an_unchanged_run_is_skipped_and_forced_runs_are_not(demo, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in demo[1].glob("*.json")}
    assert run.main([str(demo[0])]) == 0
    printed = capsys.readouterr().out
    assert printed.count("unchanged") == 5
    assert {path.name: path.stat().st_mtime_ns for path in demo[1].glob("*.json")} == before
    assert run.main([str(demo[0]), "--list"]) == 0
    assert capsys.readouterr().out.count("done") == 5
    store = demo[1] / "artefacts" / "tensors.npy"
    written = store.stat().st_mtime_ns
    assert run.main([str(demo[0]), "--only", "1", "--force"]) == 0
    assert store.stat().st_mtime_ns > written  # prepared again, not found again
    assert run.main([str(demo[0]), "--only", "3", "--force"]) == 0
    assert re.search(r"1_prepare_data +\d+\.\d s(.|\n)*3_accuracy +\d+\.\d s", capsys.readouterr().out)
    assert run.main([str(demo[0]), "--list"]) == 0  # the report quotes the figures of the record that was made anew
    assert re.findall(r"(\d)_\w+ +to do", capsys.readouterr().out) == ["5"]
    assert run.main([str(demo[0])]) == 0


def test_a_forced_run_takes_nothing_from_an_interrupted_one(tmp_path, monkeypatch):
    """Its workers may be why it is forced."""
    monkeypatch.setattr(run, "_is_current", lambda *_: False)
    monkeypatch.setattr(run, "_papermill", lambda *_: (0, ""))
    units, partial = tmp_path / "artefacts" / "units" / "candidate", tmp_path / "artefacts" / "tensors.jsonl.partial"
    units.mkdir(parents=True)
    (units / "0.npz").touch()
    partial.touch()
    run._execute("3_accuracy", None, tmp_path, force=False)
    assert (units / "0.npz").exists()
    assert partial.exists()
    run._execute("3_accuracy", None, tmp_path, force=True)
    assert not units.exists()
    assert not partial.exists()


def test_a_changed_parameter_runs_what_depends_on_it(demo, capsys):
    assert run.main([str(demo[0]), "-p", "batch_size", "100", "--list"]) == 0
    assert re.findall(r"(\d)_\w+ +to do", capsys.readouterr().out) == ["2", "3"]
    assert run.main([str(demo[0]), "-p", "seed", "7", "--list"]) == 0
    assert re.findall(r"(\d)_\w+ +to do", capsys.readouterr().out) == ["1", "4"]


@pytest.mark.parametrize("folder", [ROOT, ROOT / "notebooks"], ids=["root", "notebooks"])
def test_every_notebook_runs_by_the_papermill_command_from_either_folder(folder, tmp_path):
    params = {"run": str(tmp_path / "run"), "subset": 40, "batch_sizes": [2], "baseline": "none", "threads": 1}
    write_params(tmp_path / "p.yaml", **params)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for name, kind in zip(STEPS, records.KINDS, strict=True):
        notebook = os.path.relpath(ROOT / "notebooks" / f"{name}.ipynb", folder)
        command = ["papermill", notebook, str(tmp_path / "out.ipynb"), "-f", str(tmp_path / "p.yaml"), "--no-progress-bar"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert steps.load(kind, tmp_path / "run").step == name


@pytest.mark.parametrize(
    ("values", "code", "said"),
    [
        ({"batch_sizes": [0]}, 2, "greater than 0"),
        ({"images": "nowhere"}, 2, "does not exist"),
        ({"model": "x.onnx"}, 2, "resize_short, crop, interpolation, mean, std"),
        ({"provider": "CANNExecutionProvider"}, 2, "choose among"),
        ({"labels": "pyproject.toml"}, 1, "is not 'name index'"),
    ],
)
def test_bad_input_is_one_sentence_with_its_exit_code_and_no_record(tmp_path, capfd, values, code, said):
    params = write_params(tmp_path / "p.yaml", "demo", **{"run": str(tmp_path / "run"), "subset": 40, **values})
    assert run.main([str(params)]) == code
    printed = capfd.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err + printed.out
    assert not list((tmp_path / "run").glob("*.json"))
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_run_folder_that_can_not_be_written_is_one_sentence(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    params = write_params(tmp_path / "p.yaml", "demo", run=str(tmp_path / "file" / "run"))
    assert run.main([str(params)]) == 1
    assert re.fullmatch(r"can't write [^\n]*; free space or choose another run folder\.\n", capfd.readouterr().err)


def test_the_command_line_knows_its_notebooks_and_its_help():
    assert run.main(["params/demo.yaml", "--only", "9"]) == 2
    assert run.main(["nowhere.yaml"]) == 2
    listed = subprocess.run([sys.executable, "-m", "helpers.run", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert listed.returncode == 0
    assert all(option in listed.stdout for option in ("-p NAME VALUE", "--only", "--from", "--force", "--list", "--compare", "-o FILE"))


def test_papermill_finds_the_parameters_with_their_help():
    found = papermill.inspect_notebook(str(ROOT / "notebooks" / "4_batch_sweep.ipynb"))
    assert found["tolerance_pct"]["help"] == "how much slower than the baseline is still a PASS"


def test_the_manifest_of_the_demo_is_in_the_run(demo):
    data = steps.load(Data, demo[1])
    assert len(dataset.load(demo[1] / data.manifest).names) == data.images == 10000
