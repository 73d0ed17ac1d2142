import pytest

from helpers import recommendation
from helpers.records import Comparison
from tests.test_accuracy import result
from tests.test_html import sweep_of
from tests.test_report import Stand, model_of
from tests.test_verdict import series


def line(role, fps, precision="fp32", backend="b", name=None, kind="measured"):
    """Return a line whose best batch size is 8."""
    figures = {1: fps / 2, 8: fps} if fps else {1: None, 8: None}
    return series(role, figures, name=name or backend).model_copy(update={"precision": precision, "backend": backend, "kind": kind})


def compared(option, verdict, interval=(-0.25, 0.125)):
    counts = {"both_right": 9, "only_a": 1, "only_b": 1, "both_wrong": 1}
    known = {"p_value": 1.0, "margin_points": 0.5, "images_to_decide": None}
    return Comparison(a="candidate", b=option, difference_interval_pct=interval, verdict=verdict, **counts, **known)


def answered(*lines):
    """Return the accuracy of candidate and options as the sweep has them."""
    stages = ["candidate", *(f"option_{number}" for number in range(1, 9))]
    evaluated = [one for one in lines if one.role != "baseline"]
    same = zip(stages, evaluated, strict=False)
    return [result(9, 12).model_copy(update={"stage": stage, "backend": one.backend, "precision": one.precision}) for stage, one in same]


def recommended(*lines, comparisons=(), verdict="PASS", results=None, random_weights=False):
    accuracy = Stand(results=results or answered(*lines), against_candidate=lambda: comparisons, verdict=verdict)
    sweep = sweep_of().model_copy(update={"series": list(lines)})
    found = recommendation.in_words(model_of(random_weights=random_weights), accuracy, sweep)
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


def test_a_finished_run_in_fp32_proves_nothing_since_it_may_be_of_another_model():
    candidate, baseline = line("candidate", 100, "int8", "int8"), line("baseline", 50, backend="torch")
    other = answered(candidate)[0].model_copy(update={"stage": "run_1", "precision": "fp32", "imported": "other"})
    said = recommended(
        candidate, baseline, results=[*answered(candidate), other], comparisons=[compared("run_1", "EQUIVALENT")], verdict="NONE"
    )
    assert said.startswith("Recommended: torch")
    assert said.endswith("but its accuracy was compared with nothing.")


def test_what_is_as_good_as_a_doubtful_candidate_is_doubtful():
    candidate, option = line("candidate", 100, "bf16", "bf16"), line(*INT8)
    equivalent = [compared("option_1", "EQUIVALENT")]
    assert recommended(candidate, option, comparisons=equivalent).startswith("Recommended: int8")
    assert recommended(candidate, option, comparisons=equivalent, verdict="FAIL") == (
        "None is recommended: int8, 200.0 images per second at batch size 8, but it was compared with the candidate alone, whose "
        "accuracy fails against the reference; bf16, 100.0 images per second at batch size 8, but its accuracy fails against the reference."
    )
