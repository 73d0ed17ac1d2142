import json

import pytest

from helpers import summaries
from tests import finished_runs


def changed(tmp_path, name, **values):
    """Return what is said of a run one of whose records was changed."""
    run = finished_runs.write(tmp_path / "run")
    record = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps({**record, **values}))
    return summaries.read(run)


def test_a_report_made_from_other_records_gives_no_figures(tmp_path):
    said = changed(tmp_path, "accuracy.json", fingerprint="another")
    assert said.reason == "report.json of run run was made from other records: run 5_report again."
    assert (said.fps, said.verdict) == (None, "")


def test_an_accuracy_made_from_another_model_gives_no_figures(tmp_path):
    assert changed(tmp_path, "model.json", fingerprint="another").reason.startswith("accuracy.json was made from another model.json")


@pytest.mark.parametrize(("name", "key"), [("sweep.json", "series"), ("accuracy.json", "results")])
def test_records_without_a_candidate_are_a_reason(tmp_path, name, key):
    assert changed(tmp_path, name, **{key: []}).reason == "the records of run run name no candidate: run 3_accuracy again."


def test_simulated_figures_say_so_before_the_name(tmp_path):
    assert summaries.read(finished_runs.write(tmp_path / "run", kind="simulated")).runs_on == "Simulated: onnxruntime fp32 on cpu"


def test_the_last_page_that_was_written_is_the_one_to_look_at(tmp_path):
    run = finished_runs.write(tmp_path / "run", kinds=())
    assert summaries.read(run).page == "1_prepare_data.html"
    (run / "3_accuracy.html").write_text("")
    assert summaries.read(run).page == "3_accuracy.html"
