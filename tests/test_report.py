from helpers import params, report, run_folders, steps
from helpers.records import Report
from tests import runs
from tests.test_html import sweep_of


class Stand:
    """As much of a record as a function of the report reads."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


ACCURATE = Stand(verdict="PASS", sentence="Accurate.")


def model_of(refusal=None, random_weights=False):
    return Stand(refusal=lambda: refusal, random_weights=random_weights)


def with_verdict(verdict):
    return sweep_of().model_copy(update={"verdict": verdict, "sentence": "Fast."})


def test_the_worst_verdict_is_the_reports():
    assert report.verdict(model_of(), ACCURATE, with_verdict("PASS")) == ("PASS", "PASS: Accurate. Fast.")
    assert report.verdict(model_of(), ACCURATE, with_verdict("NONE"))[0] == "PASS"
    assert report.verdict(model_of(), ACCURATE, with_verdict("INCONCLUSIVE"))[0] == "INCONCLUSIVE"
    assert report.verdict(model_of(), Stand(verdict="INCONCLUSIVE", sentence=""), with_verdict("FAIL"))[0] == "FAIL"
    assert report.verdict(model_of(), Stand(verdict="NONE", sentence=""), with_verdict("NONE"))[0] == "NONE"


def test_a_refused_model_is_a_fail_whatever_the_rest_says():
    verdict, sentence = report.verdict(model_of("at batch 8 it differs"), ACCURATE, with_verdict("PASS"))
    assert verdict == "FAIL"
    assert "refused, since at batch 8 it differs" in sentence
    assert "Fast." not in sentence


def test_the_commands_name_a_run_in_other_folders_by_its_whole_name(tmp_path, monkeypatch):
    loaded = steps.load_inputs(Report, runs.write(tmp_path / "acme" / "first"))
    loaded[-1].environment["memory_bytes"] = 1
    monkeypatch.setattr(run_folders, "REPORTS", tmp_path)
    shown = report.again(loaded, params.Report(), tmp_path / "acme" / "first")._repr_html_()
    assert "python -m helpers.prune acme/first frees" in shown
    assert "run: acme/first" in shown
