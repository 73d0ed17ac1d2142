"""The chain for real on other models than the demo as it is: a user's ONNX file, random weights, reduced precision, options, failures."""

import json

import numpy as np
import pytest

from helpers import index, run, steps
from helpers.records import Accuracy, Model, Report, Sweep
from tests import models
from tests.test_run import QUICK, write_params


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> dict:
    """Parameters of a user's own ONNX: scikit-learn's digits, logits, other names, batch fixed at 1."""
    folder = tmp_path_factory.mktemp("digits")
    images, labels = models.write_digits(folder)
    model = models.write_onnx(folder / "digits.onnx", batch=1)
    return {"images": str(images), "labels": str(labels), "model": str(model), "preprocess": models.PREPROCESS, **QUICK}


def test_a_users_onnx_gets_an_accuracy_that_scikit_learn_confirms(digits, tmp_path):
    params = write_params(tmp_path / "p.yaml", run=str(tmp_path / "run"), backend="openvino", **digits)
    assert run.main([str(params)]) == 0
    weights, bias = models.linear_digits()
    images = models.load_digits().data[-200:]
    expected = (np.tile((images * 15.9).astype(np.uint8) / 255, 3) @ weights + bias).argmax(axis=1)
    share = 100 * (expected == models.load_digits().target[-200:]).mean()
    accuracy, model = steps.load(Accuracy, tmp_path / "run"), steps.load(Model, tmp_path / "run")
    assert accuracy.results[0].top1_pct == pytest.approx(share)
    assert {check.candidate for check in model.checks} == {"onnxruntime fp32 on CPUExecutionProvider", "openvino fp32 on CPU"}
    assert model.checks[0].reference == "digits.onnx as given, batch 1"

    strict = [str(params), "-p", "reference", "{name: x, top1_pct: 100, source: y}", "-p", "margin_points", "0.1", "--from", "3"]
    assert run.main(strict) == 1  # the gate is not met, and the report is there all the same
    assert "FAIL" in (tmp_path / "run" / "report.html").read_text()
    inconclusive = [*strict[:2], "reference", f"{{name: x, top1_pct: {share}, source: y}}", *strict[4:]]
    assert run.main(inconclusive) == 0
    assert steps.load(Report, tmp_path / "run").verdict == "INCONCLUSIVE"
    assert run.main([*inconclusive, "-p", "strict", "true"]) == 1


def test_an_export_broken_at_one_batch_size_is_refused_and_gets_no_numbers(digits, tmp_path, capsys):
    broken = models.write_onnx(tmp_path / "broken.onnx", broken_at=8)
    params = write_params(tmp_path / "p.yaml", **{**digits, "run": str(tmp_path / "run"), "model": str(broken)})
    assert run.main([str(params)]) == 1
    model, accuracy, sweep = (steps.load(kind, tmp_path / "run") for kind in (Model, Accuracy, Sweep))
    assert {check.batch for check in model.checks if not check.passed} == {8}
    assert accuracy.results[0].top1_pct is None
    assert all(row.regions == {} and "at batch 8" in row.error for row in sweep.series[0].rows)
    assert "REFUSED" in (tmp_path / "run" / "2_convert.html").read_text()
    printed = capsys.readouterr().out
    assert "FAIL: the converted model is refused, since at batch 8 onnxruntime fp32 on CPUExecutionProvider differs from" in printed


def test_a_batch_size_baked_into_a_constant_is_refused(digits, tmp_path):
    baked = models.write_onnx(tmp_path / "baked.onnx", batch=1, baked=1)
    params = write_params(tmp_path / "p.yaml", **{**digits, "run": str(tmp_path / "run"), "model": str(baked)})
    assert run.main([str(params), "--only", "1"]) == 0
    assert run.main([str(params), "--only", "2"]) == 1
    failed = [check for check in steps.load(Model, tmp_path / "run").checks if not check.passed]
    assert {check.batch for check in failed} == {3, 8}
    assert "does not run" in failed[0].reason


def test_random_weights_and_simulated_devices_say_so(tmp_path):
    params = write_params(
        tmp_path / "p.yaml",
        "demo",
        run=str(tmp_path / "run"),
        checkpoint="random:0",
        backend="null",
        subset=100,
        provider_options={"call_ms": 1},
        **QUICK,
    )
    assert run.main([str(params)]) == 0
    accuracy, sweep = steps.load(Accuracy, tmp_path / "run"), steps.load(Sweep, tmp_path / "run")
    assert (accuracy.results[0].top1_pct, accuracy.results[0].reason) == (None, "random weights")
    assert sweep.series[0].kind == "simulated"
    report = (tmp_path / "run" / "report.html").read_text()
    assert "not evaluated: random weights" in report
    assert report.index("Simulated device") < report.index("<img")
    index.write_index(tmp_path)
    assert "(simulated device)" in (tmp_path / "index.html").read_text()


def test_a_notebook_that_failed_leaves_its_page_and_no_older_result(tmp_path, capfd):
    """The label file is broken after a first run: record and report must be gone, the page must say why."""
    images, labels = models.write_digits(tmp_path, 30)
    onnx = models.write_onnx(tmp_path / "m.onnx")
    values = {
        "images": str(images),
        "labels": str(labels),
        "model": str(onnx),
        "preprocess": models.PREPROCESS,
        **QUICK,
        "batch_sizes": [1],
    }
    params = write_params(tmp_path / "p.yaml", run=str(tmp_path / "run"), **values)
    assert run.main([str(params)]) == 0
    labels.write_text(labels.read_text() + "another.png 3\n")
    assert run.main([str(params)]) == 1
    assert not [name for name in ("data.json", "report.json", "report.html") if (tmp_path / "run" / name).exists()]
    assert not list((tmp_path / "run" / "tables").glob("report*"))
    index.write_index(tmp_path)
    assert "not finished" in (tmp_path / "index.html").read_text()
    page = (tmp_path / "run" / "1_prepare_data.html").read_text()
    assert "no image for 1 label (first: another.png)" in page
    assert "Traceback" not in page
    assert "no image for 1 label" in capfd.readouterr().err


def test_bf16_is_called_neither_the_same_nor_accurate_by_its_direction_alone(tmp_path):
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    values = {"backend": "openvino", "precision": "bf16", "subset": 500, **QUICK, "batch_sizes": [4]}
    params = write_params(tmp_path / "p.yaml", "demo", run=str(tmp_path / "run"), **values)
    assert run.main([str(params)]) == 0
    checks = steps.load(Model, tmp_path / "run").checks
    assert {check.candidate for check in checks} == {"onnxruntime fp32 on CPUExecutionProvider", "openvino bf16 on CPU"}
    assert "only its accuracy can tell" in (tmp_path / "run" / "2_convert.html").read_text()
    assert steps.load(Sweep, tmp_path / "run").series[0].precision == "bf16"
    assert run.main([str(params), "-p", "batch_sizes", "[4, 6]", "--only", "4"]) == 2  # never compared at 6


def test_options_and_the_referee_stand_beside_the_candidate(tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("mlperf_loadgen")
    options = [{"backend": "openvino", "threads": 1}, {"backend": "openvino", "provider_options": {"PERFORMANCE_HINT": "THROUGHPUT"}}]
    values = {"subset": 700, "options": options, "referee": True, **QUICK, "batch_sizes": [8]}
    params = write_params(tmp_path / "p.yaml", "demo", run=str(tmp_path / "run"), **values)
    assert run.main([str(params)]) == 0
    sweep, accuracy = steps.load(Sweep, tmp_path / "run"), steps.load(Accuracy, tmp_path / "run")
    assert [(series.name, series.role) for series in sweep.series] == [
        ("onnxruntime fp32", "candidate"),
        ("openvino fp32", "option"),
        ("openvino fp32 throughput", "option"),
    ]
    assert all(row.regions["compute"].images_per_second > 0 for series in sweep.series for row in series.rows)
    assert [one.scenario for one in sweep.referee] == ["SingleStream", "Offline"]
    assert [(one.b, one.verdict) for one in accuracy.against_candidate()] == [("option_1", "EQUIVALENT"), ("option_2", "EQUIVALENT")]
    text = (tmp_path / "run" / "report.html").read_text()
    for part in ("MLPerf LoadGen", "Recommended: ", "Against the candidate on the same images", "noise"):
        assert part in text, part
    blocks = (tmp_path / "run" / sweep.blocks_file).read_text().splitlines()
    assert [len(json.loads(line)["points"]) for line in blocks] == [3]
