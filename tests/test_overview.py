import os
import shutil

import pytest

from helpers import ROOT, overview, overview_charts, params
from helpers.elements import Sentence
from helpers.errors import ParameterError
from helpers.records import Accuracy, Data, Report
from tests.test_accuracy import result
from tests.test_html import sweep_of
from tests.test_report import Stand


def settings(**values):
    return params.check(overview.Overview, **values)


def finished(name, *, kind="measured", right=90, images=100, manifest="m", fps=None):
    """A run as far as the overview reads it; `fps` takes the place of the candidate's 100 images per second at batch size 1."""
    sweep = sweep_of()
    sweep.series[0].kind = kind
    if fps:
        measured = sweep.series[0].rows[0].regions["compute"]
        measured.images_per_second, measured.interval_fps = fps, (fps - 50, fps + 50)
    data = Data.model_construct(images=images, manifest_sha256=manifest)
    accuracy = Accuracy.model_construct(results=[result(right, images)])
    return overview.Finished(name, data, accuracy, sweep, Report.model_construct(created_utc="2026-11-25T10:20:30", verdict="NONE"))


@pytest.fixture
def reports(tmp_path):
    """Three copies of the committed sample run, the last the newest."""
    for age, name in enumerate(("new", "middle", "old")):
        shutil.copytree(ROOT / "reports" / "sample", tmp_path / name)
        for path in (tmp_path / name).iterdir():
            os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return tmp_path


def names(runs):
    return [(type(run).__name__, run.name) for run in runs]


def test_the_newest_runs_are_shown_where_none_are_named(reports):
    (reports / "no run").mkdir()
    assert names(overview.read(settings(newest=2), reports)) == [("Finished", "new"), ("Finished", "middle")]


def test_the_newest_run_may_lie_deeper(reports):
    shutil.copytree(reports / "new", reports / "acme" / "line" / "2026-03")
    os.utime(reports / "acme" / "line" / "2026-03" / "report.json")
    assert names(overview.read(settings(newest=1), reports)) == [("Finished", "2026-03")]


def test_named_runs_are_shown_in_the_order_given_wherever_they_lie(reports):
    elsewhere = reports / "elsewhere" / "old"
    shutil.copytree(reports / "old", elsewhere)
    found = overview.read(settings(runs=["old", str(elsewhere), "new"]), reports)
    assert names(found) == [("Finished", "old"), ("Finished", "elsewhere/old"), ("Finished", "new")]


def test_what_is_not_finished_is_listed_with_the_reason(reports):
    (reports / "new" / "report.json").unlink()
    (reports / "middle" / "sweep.json").write_text("{}")
    shutil.rmtree(reports / "old" / "x", ignore_errors=True)
    (reports / "old" / "data.json").unlink()
    (reports / "old" / "data.json").mkdir()
    (reports / "file").write_text("")
    found = overview.read(settings(runs=["new", "middle", "old", "nowhere", "file"]), reports)
    assert [run.reason.replace(str(reports), "") for run in found] == [
        "report.json is not in run new: run 5_report first.",
        "sweep.json of run middle has another version's form: run 4_batch_sweep again.",
        "its records can't be read (Is a directory): see /old.",
        "data.json is not in run nowhere: run 1_prepare_data first.",
        "its records can't be read (Not a directory): see /file.",
    ]
    assert "another version&#x27;s form" in overview.table(found)._repr_html_()


def test_a_report_of_other_records_is_not_shown(reports):
    report = Report.model_validate_json((reports / "new" / "report.json").read_bytes())
    changed = report.model_copy(update={"inputs": {**report.inputs, "sweep": "another"}})
    (reports / "new" / "report.json").write_text(changed.model_dump_json(by_alias=True))
    [run] = overview.read(settings(runs=["new"]), reports)
    assert run == overview.Unfinished("new", "report.json of run new was made from other records: run 5_report again.")


def test_without_runs_the_table_says_how_to_make_one(tmp_path):
    runs = overview.read(settings(), tmp_path)
    assert "helpers.run params/demo.yaml makes one" in overview.table(runs)._repr_html_()
    assert isinstance(overview_charts.fps(runs), Sentence)
    assert "name finished ones" in overview_charts.accuracy(runs)._repr_html_()


def test_the_table_has_a_row_for_each_run():
    [table] = [element for element in overview.table([finished("one")]).elements if element]
    assert table.rows == [
        ["one", "2026-11-25 10:20", "mine <b> on cpu", "300.0", 64, "297.0 to 303.0", "90.00 %", "82.56 to 94.48", "no verdict"]
    ]  # fmt: skip


def test_the_charts_say_their_numbers_in_their_alt_texts():
    runs = [finished("one"), finished("two <b>", fps=400, right=80)]
    assert overview_charts.fps(runs).alt == (
        "Fastest: two <b>, 400 images per second at batch size 1. "
        "one, compute time: batch 1 100.0, batch 8 failed, batch 64 300.0; "
        "two <b>, compute time: batch 1 400, batch 8 failed, batch 64 300.0."
    )
    figure, said = overview_charts.accuracy(runs).elements
    assert figure.alt == "Highest top-1: one, 90.00 %. Top-1 and 95 % interval: one 90.00, 82.56 to 94.48; two <b> 80.00, 71.12 to 86.66."
    assert said.text == "Measured on the same 100 images."
    assert "two &lt;b&gt;" in figure.svg


def test_a_simulated_run_is_called_so_and_never_the_fastest():
    alt = overview_charts.fps([finished("real"), finished("made up", kind="simulated", fps=9000)]).alt
    assert alt.startswith("Fastest: real, 300.0")
    assert "made up (simulated), compute time" in alt


def test_accuracies_of_other_images_are_not_called_comparable():
    _, said = overview_charts.accuracy([finished("one"), finished("two", manifest="other", images=200)]).elements
    assert said.text == "These runs saw different images, so that their accuracies can't be compared: one 100, two 200."
    assert said.level == "warning"


def test_a_run_without_figures_is_in_the_table_and_in_no_chart():
    run = finished("one")
    run.accuracy.results[0] = Stand(top1_pct=None, top1_interval_pct=None, simulated=False)
    run.sweep.series[0].rows.clear()
    assert "one" in overview.table([run])._repr_html_()
    assert isinstance(overview_charts.fps([run]), Sentence)
    assert overview_charts.accuracy([run]).elements[0].level == "warning"


@pytest.mark.parametrize("values", [{"runs": ["a b"]}, {"runs": [3]}, {"runs": ["a"] * 9}, {"newest": 0}, {"newest": 9}])
def test_parameters_that_can_not_be_right_are_refused(values):
    with pytest.raises(ParameterError, match="runs|newest"):
        settings(**values)
