import pytest

from helpers import charts, report
from helpers.records import Model
from tests.test_html import sweep_of
from tests.test_kit import HEAD
from tests.test_om import onnx_stage
from tests.test_records import save, step_of


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


def test_simulated_devices_and_random_weights_are_said_first():
    accurate = Stand(results=[Stand(simulated=False)])
    assert report.banner(model_of(), accurate, sweep_of()) is None
    assert "weights are random" in report.banner(model_of(random_weights=True), accurate, sweep_of()).text
    answered = Stand(results=[Stand(simulated=True, backend="npu (0.0.2)")])
    assert report.banner(model_of(), answered, sweep_of()).text.startswith("Simulated device: the figures of npu (0.0.2) were made")
    simulated = sweep_of()
    simulated.series[0].kind = "simulated"
    assert report.banner(model_of(random_weights=True), accurate, simulated).text.startswith(
        "Simulated device: the figures of mine <b> were made"
    )


def test_a_preparation_that_differs_from_the_models_own_is_said(tmp_path):
    data = save(step_of(tmp_path))
    assert report._differences(data) is None
    changed = data.model_copy(update={"preprocess_differs": {"crop": "224"}})
    assert report._differences(changed).text.endswith("own config says, in crop (the config says 224).")


# the chain of hashes


def chain(tmp_path, stages, **recording):
    """Return the links of a run with these stages: link -> (what, made from, hash)."""
    model = Model(**{**HEAD, "step": "2_convert"}, name="m", classes=2, random_weights=False, stages=stages, checks=[], **recording)
    sweep = sweep_of()
    accuracy = Stand(
        file_name=lambda: "accuracy.json", STEP="3_accuracy", inputs={"data": "d" * 64, "model": "m" * 64}, fingerprint="a" * 64
    )
    rows = report.chain(save(step_of(tmp_path)), model, accuracy, sweep).rows
    return {link: tuple(rest) for link, *rest in rows}


@pytest.fixture
def stages(tmp_path):
    """Weights, the ONNX file that was made from them and two offline models."""
    (tmp_path / "artefacts").mkdir()
    onnx = onnx_stage(tmp_path / "artefacts").model_copy(update={"sha256": "1" * 64})
    weights = onnx.model_copy(update={"name": "pytorch", "format": "pytorch", "file": "m.pth", "sha256": None})
    oms = [
        onnx.model_copy(
            update={"name": f"om, batch {batch}", "format": "om", "file": f"artefacts/m_bs{batch}.om", "sha256": f"{batch}" * 64}
        )
        for batch in (4, 8)
    ]
    return [weights, onnx, *oms]


def test_each_offline_model_is_made_from_the_onnx_file(tmp_path, stages):
    links = chain(tmp_path, stages)
    assert links["model: pytorch"] == ("m.pth", None, None)
    assert links["model: onnx"] == ("artefacts/m_dynamicbs.onnx", "model: pytorch", "111111111111")
    assert links["model: om, batch 4"] == ("artefacts/m_bs4.om", "model: onnx", "444444444444")
    assert links["model: om, batch 8"] == ("artefacts/m_bs8.om", "model: onnx", "888888888888")


def test_what_was_recorded_is_a_link_with_its_hash(tmp_path, stages):
    links = chain(tmp_path, stages, recording="results.tar.gz", recording_sha256="abc" * 20)
    assert links["recorded results"] == ("results.tar.gz", "model: onnx, tensors", "abcabcabcabc")


def test_a_measured_run_has_no_such_link(tmp_path, stages):
    assert "recorded results" not in chain(tmp_path, stages)


def test_a_record_is_a_link_with_what_it_was_made_from(tmp_path, stages):
    links = chain(tmp_path, stages)
    assert links["accuracy.json"] == ("3_accuracy", f"data {'d' * 12} + model {'m' * 12}", "a" * 12)
    assert links["model.json"] == ("2_convert", "", "f")
    assert links["images"] == ("source", None, "0")


# the first lines


def said_first(tmp_path, **changes):
    """Return the sentences that a report of a sweep begins with."""
    sweep = with_verdict("PASS")
    for name, value in changes.items():
        setattr(sweep.series[0], name, value)
    model, accurate = Stand(refusal=lambda: None, random_weights=False, name="m"), Stand(**vars(ACCURATE), results=[])
    return [sentence.text for sentence in report.opening(save(step_of(tmp_path)), model, accurate, sweep).elements if sentence]


def test_a_report_says_first_of_what_it_is(tmp_path):
    assert said_first(tmp_path) == ["m with 1 image, b on cpu.", "PASS: accuracy PASS, speed PASS.", "Accurate.", "Fast."]


def test_a_replay_says_so_before_its_verdict(tmp_path):
    said = said_first(tmp_path, kind="replayed", recorded="results.tar.gz, recorded on 2026-11-24T16:06:38Z")
    assert said[1:3] == [
        "Not measured by this run, but replayed from results.tar.gz, recorded on 2026-11-24T16:06:38Z.",
        "PASS: accuracy PASS, speed PASS.",
    ]


def test_a_chart_of_a_simulated_device_says_so_in_its_title():
    sweep = sweep_of()
    sweep.series[0].kind = "simulated"
    figure = charts.fps(sweep)
    assert figure.alt.startswith("Simulated: mine <b> runs at 1.50 × theirs. ")
    assert "Simulated: mine &lt;b&gt; runs at 1.50 × theirs" in figure.svg


@pytest.mark.parametrize("kind", ["measured", "replayed"])
def test_a_chart_of_a_real_device_does_not(kind):
    sweep = sweep_of()
    sweep.series[0].kind = kind
    assert charts.fps(sweep).alt.startswith("mine <b> runs at")
