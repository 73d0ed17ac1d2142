import pytest

from helpers import charts, report
from helpers.records import Comparison, Model
from tests.test_accuracy import result
from tests.test_html import sweep_of
from tests.test_kit import HEAD
from tests.test_om import onnx_stage
from tests.test_records import save, step_of
from tests.test_verdict import series


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
    assert said_first(tmp_path) == ["m with 1 images, b on cpu.", "PASS: accuracy PASS, speed PASS.", "Accurate.", "Fast."]


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


# the recommendation


def line(role, fps, precision="fp32", backend="b", name=None, kind="measured"):
    """Return a line whose best batch size is 8."""
    figures = {1: fps / 2, 8: fps} if fps else {1: None, 8: None}
    return series(role, figures, name=name or backend).model_copy(update={"precision": precision, "backend": backend, "kind": kind})


def compared(option, verdict, interval=(-0.25, 0.125)):
    known = {"both_right": 9, "only_a": 1, "only_b": 1, "both_wrong": 1, "p_value": 1.0}
    return Comparison(a="candidate", b=option, difference_interval_pct=interval, verdict=verdict, **known)


def answered(*lines):
    """Return the accuracy of candidate and options as the sweep has them."""
    stages = ["candidate", *(f"option_{number}" for number in range(1, 9))]
    evaluated = [one for one in lines if one.role != "baseline"]
    same = zip(stages, evaluated, strict=False)
    return [result(9, 12).model_copy(update={"stage": stage, "backend": one.backend, "precision": one.precision}) for stage, one in same]


def recommended(*lines, comparisons=(), verdict="PASS", results=None, random_weights=False):
    accuracy = Stand(results=results or answered(*lines), comparisons=comparisons, verdict=verdict)
    sweep = sweep_of().model_copy(update={"series": list(lines)})
    found = report.recommendation(model_of(random_weights=random_weights), accuracy, sweep)
    return found and found.text


def test_of_fp32_the_fastest_is_recommended():
    assert recommended(line("candidate", 100, backend="ort"), line("baseline", 80, backend="torch"), line("option", 120, backend="ov")) == (
        "Recommended: ov, 120.0 images per second at batch size 8, 1.50 times the best of torch; its answers are those of the original "
        "within the tolerance."
    )


def test_a_figure_has_the_digits_that_its_interval_supports():
    assert "b (candidate), 1234 images" in recommended(line("candidate", 1234.4), line("option", 90))


def test_the_baseline_may_be_it():
    assert recommended(line("candidate", 100, backend="ort"), line("baseline", 110, backend="torch")) == (
        "Recommended: torch, 110.0 images per second at batch size 8; its answers are those of the original within the tolerance."
    )


def test_a_baseline_that_was_not_measured_here_is_neither_recommended_nor_divided_by():
    said = recommended(line("candidate", 100), line("baseline", 500, backend="table", kind="published"), line("option", 90, backend="ov"))
    assert said.startswith("Recommended: b, 100.0 images per second at batch size 8; its")


def test_where_only_one_was_measured_there_is_nothing_to_recommend():
    assert recommended(line("candidate", 100), line("baseline", 80, kind="published")) is None
    assert recommended(line("candidate", 100), line("option", None)) is None


@pytest.mark.parametrize("kind", ["replayed", "simulated"])
def test_lines_of_this_machine_are_no_choice_beside_a_candidate_of_another(kind):
    assert recommended(line("candidate", 100, kind=kind), line("baseline", 80), line("option", 90, backend="ov")) is None


def test_where_the_candidate_failed_another_is_recommended():
    assert recommended(line("candidate", None), line("baseline", 80, backend="torch"), line("option", 90, backend="ov")).startswith(
        "Recommended: ov, 90.0"
    )


INT8 = ("option", 200, "int8", "int8")


@pytest.mark.parametrize("verdict", ["EQUIVALENT", "BETTER"])
def test_reduced_precision_is_recommended_where_its_accuracy_is_shown(verdict):
    said = recommended(line("candidate", 100), line(*INT8), comparisons=[compared("option_1", verdict)])
    assert said == (
        "Recommended: int8, 200.0 images per second at batch size 8; "
        "its top-1 less the candidate's, on the same images, is -0.25 to 0.12 points (95 %)."
    )


def test_a_candidate_in_fp32_needs_no_reference():
    assert recommended(line("candidate", 100), line(*INT8), comparisons=[compared("option_1", "EQUIVALENT")], verdict="NONE").startswith(
        "Recommended: int8"
    )


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ("WORSE", "its top-1 is lower than the candidate's on the same images (-0.25 to 0.12 points)"),
        ("INCONCLUSIVE", "these images are too few to tell its top-1 from the candidate's (-0.25 to 0.12 points)"),
    ],
)
def test_a_faster_one_that_does_not_agree_is_passed_over_with_its_reason(verdict, reason):
    said = recommended(line("candidate", 100), line(*INT8), comparisons=[compared("option_1", verdict)])
    assert said == (
        "Recommended: b, 100.0 images per second at batch size 8; its answers are those of the original within the tolerance; "
        f"int8, 200.0 images per second at batch size 8, but {reason}."
    )


def test_a_slower_one_that_does_not_agree_is_not_spoken_of():
    said = recommended(line("candidate", 300), line(*INT8), comparisons=[compared("option_1", "WORSE")])
    assert "int8" not in said


def test_what_was_not_evaluated_is_not_recommended():
    candidate, option = line("candidate", 100), line(*INT8)
    unknown = answered(candidate, option)
    unknown[1] = unknown[1].model_copy(update={"evaluated": False})
    assert "int8, 200.0 images per second at batch size 8, but its accuracy was not evaluated" in recommended(
        candidate, option, results=unknown
    )


def test_the_accuracy_of_another_configuration_is_none_of_this():
    candidate, option = line("candidate", 100), line(*INT8)
    other = answered(candidate, option)
    other[1] = other[1].model_copy(update={"backend": "int8, 2 threads"})
    said = recommended(candidate, option, results=other, comparisons=[compared("option_1", "EQUIVALENT")])
    assert "but its accuracy was not evaluated" in said


def test_options_of_the_same_name_are_told_apart():
    twice = [line(*INT8), line("option", 250, "int8", "int8")]
    verdicts = [compared("option_1", "EQUIVALENT"), compared("option_2", "WORSE")]
    said = recommended(line("candidate", 100), *twice, comparisons=verdicts)
    assert said.startswith("Recommended: int8 (option 1), 200.0 images")
    assert "; int8 (option 2), 250.0 images per second at batch size 8, but its top-1 is lower" in said


def test_with_random_weights_nothing_is_known_of_the_accuracy_of_reduced_precision():
    said = recommended(line("candidate", 100), line(*INT8), random_weights=True)
    assert said.endswith("; its answers point the same way (cosine), but with random weights nothing is known of its accuracy.")
    assert recommended(line("candidate", 300), line(*INT8), random_weights=True).endswith("within the tolerance.")


# a candidate of reduced precision


def test_a_reduced_candidate_is_held_to_the_reference():
    candidate, slow = line("candidate", 100, "int8", "int8"), line("option", 50, backend="ov")
    worse = [compared("option_1", "BETTER")]
    assert recommended(candidate, slow, comparisons=worse).endswith("; its accuracy passed against the reference.")
    for verdict, reason in {
        "FAIL": "its accuracy fails against the reference",
        "INCONCLUSIVE": "its accuracy is INCONCLUSIVE against the reference",
        "NONE": "its accuracy was compared with nothing",
    }.items():
        said = recommended(candidate, slow, comparisons=worse, verdict=verdict)
        assert said.startswith("Recommended: ov, 50.0")
        assert said.endswith(f"; int8, 100.0 images per second at batch size 8, but {reason}.")


@pytest.mark.parametrize("verdict", ["EQUIVALENT", "WORSE"])
def test_or_to_fp32_on_the_same_images(verdict):
    candidate, slow = line("candidate", 100, "int8", "int8"), line("option", 50, backend="ov")
    said = recommended(candidate, slow, comparisons=[compared("option_1", verdict)], verdict="NONE")
    assert said == "Recommended: int8, 100.0 images per second at batch size 8; its top-1 is as good as that of fp32 on the same images."


def test_what_is_as_good_as_a_doubtful_candidate_is_doubtful():
    candidate, option = line("candidate", 100, "bf16", "bf16"), line(*INT8)
    equivalent = [compared("option_1", "EQUIVALENT")]
    assert recommended(candidate, option, comparisons=equivalent).startswith("Recommended: int8")
    assert recommended(candidate, option, comparisons=equivalent, verdict="FAIL") == (
        "None is recommended: int8, 200.0 images per second at batch size 8, but it was compared with the candidate alone, whose "
        "accuracy fails against the reference; bf16, 100.0 images per second at batch size 8, but its accuracy fails against the reference."
    )
