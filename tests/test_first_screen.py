import re

import pytest

from helpers import first_screen
from helpers.records import Accuracy, Ratio, ReferenceAccuracy
from tests.test_accuracy import result
from tests.test_html import sweep_of
from tests.test_records import save, step_of
from tests.test_report import Stand, model_of
from tests.test_tables import noise


def test_simulated_devices_and_random_weights_are_said_first():
    accurate = Stand(results=[Stand(simulated=False)])
    assert first_screen.banner(model_of(), accurate, sweep_of()) is None
    assert "weights are random" in first_screen.banner(model_of(random_weights=True), accurate, sweep_of()).text
    answered = Stand(results=[Stand(simulated=True, backend="npu (0.0.2)")])
    assert first_screen.banner(model_of(), answered, sweep_of()).text.startswith("Simulated device: the figures of npu (0.0.2) were made")
    simulated = sweep_of()
    simulated.series[0].kind = "simulated"
    assert first_screen.banner(model_of(random_weights=True), accurate, simulated).text.startswith(
        "Simulated device: the figures of mine <b> were made"
    )


MODEL = Stand(refusal=lambda: None, random_weights=False, name="m")
REFERENCE = ReferenceAccuracy(name="published", top1_pct=90.0, source="paper")


def accuracy_of(candidate=None, verdict="PASS", reference=REFERENCE, margin_points=0.5, diagnosis=()):
    candidate = candidate or result(9000, 10000)
    params = {"margin_points": margin_points}
    return Accuracy.model_construct(
        results=[candidate], verdict=verdict, reference=reference, params=params, sentence="", diagnosis=list(diagnosis)
    )


def sweep_that(verdict="PASS", **changes):
    return sweep_of().model_copy(update={"verdict": verdict, **changes})


def test_the_verdict_is_one_sentence():
    said = first_screen.headline(MODEL, accuracy_of(), sweep_that())
    assert said == (
        "PASS: m in mine <b> on cpu is as accurate as its reference, within 0.5 points, and runs at 1.50 times the speed of theirs."
    )


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("FAIL", "FAIL: m in mine <b> on cpu is less accurate than its reference, by more than 0.5 points, and"),
        ("INCONCLUSIVE", "INCONCLUSIVE: m in mine <b> on cpu answered too few images to tell whether it is as accurate as its reference"),
    ],
)
def test_an_accuracy_that_does_not_pass_is_the_verdict(verdict, said):
    assert first_screen.headline(MODEL, accuracy_of(verdict=verdict), sweep_that()).startswith(said)


@pytest.mark.parametrize(
    ("verdict", "word", "said"),
    [
        ("FAIL", "FAIL", "and is too slow, at 1.50 times the speed of theirs."),
        ("INCONCLUSIVE", "INCONCLUSIVE", "and may be too slow, at 1.50 times the speed of theirs: these measurements can't tell."),
        ("NONE", "PASS", "and runs at 1.50 times the speed of theirs, which no gate judges."),
    ],
)
def test_the_speed_is_told_by_its_verdict(verdict, word, said):
    headline = first_screen.headline(MODEL, accuracy_of(), sweep_that(verdict))
    assert headline.startswith(f"{word}: ")
    assert headline.endswith(said)


def test_without_a_baseline_the_speed_is_compared_with_nothing():
    sweep = sweep_that("NONE", geomean_ratio=None)
    assert first_screen.headline(MODEL, accuracy_of(), sweep).endswith("and its speed was not compared with theirs.")
    del sweep.series[1]
    assert first_screen.headline(MODEL, accuracy_of(), sweep).endswith("and its speed was compared with nothing.")


def test_an_accuracy_that_is_none_says_why():
    unknown = result(1, 2).model_copy(update={"evaluated": False, "reason": "random weights"})
    said = first_screen.headline(MODEL, accuracy_of(unknown, "NONE"), sweep_that("NONE"))
    assert said.startswith("No verdict: m in mine <b> on cpu was not evaluated for accuracy (random weights), and")
    simulated = result(1, 2).model_copy(update={"simulated": True})
    assert "50.00 %, by a simulator" in first_screen.headline(MODEL, accuracy_of(simulated, "NONE"), sweep_that("NONE"))
    assert "50.00 %, compared with no reference" in first_screen.headline(MODEL, accuracy_of(result(1, 2), "NONE", None), sweep_that())


def test_a_refused_model_gets_no_figure_in_the_sentence():
    refused = Stand(refusal=lambda: "at batch 8 it differs", random_weights=False, name="m")
    assert first_screen.headline(refused, accuracy_of(), sweep_that()) == (
        "FAIL: the converted model of m is refused and gets neither an accuracy nor a speed: at batch 8 it differs."
    )


def test_each_figure_stands_with_its_conditions(tmp_path):
    ratios = [Ratio(batch=batch, ratio=1.5, interval=(1.36, 1.65), verdict="PASS") for batch in (1, 4)]
    sweep = sweep_that(ratios=ratios)
    sweep.series[0].rows[-1].noise = noise("UNSTABLE")
    shown = first_screen.shown(save(step_of(tmp_path)), MODEL, accuracy_of(), sweep)
    assert re.findall(r"<dd[^>]*>([^<]*)</dd>", shown._repr_html_()) == [
        "300.0 FPS",
        "batch size 64, 95 % interval 297.0 to 303.0, compute time, measured, UNSTABLE",
        "1.50 ×",
        "95 % interval 1.40 to 1.61, over theirs, measured in turns with it; geometric mean of 2 batch sizes",
        "90.00 %",
        "95 % interval 89.40 to 90.57, 10,000 images; reference 90.00 %",
    ]


def test_what_must_be_known_comes_before_the_figures(tmp_path):
    sweep = sweep_that(ratios=[Ratio(batch=1, ratio=1.5, interval=None, verdict="PASS")])
    sweep.series[0].kind, sweep.series[0].recorded = "replayed", "results.tar.gz, recorded on 2026-11-24T16:06:38Z"
    data = save(step_of(tmp_path)).model_copy(update={"preprocess_differs": {"crop": "224"}, "warnings": ["Labels may be shifted."]})
    shown = first_screen.shown(data, MODEL, accuracy_of(diagnosis=["The class order is shifted."]), sweep)
    texts = [getattr(element, "text", type(element).__name__) for element in shown.elements if element]
    assert texts[0] == "Not measured by this run, but replayed from results.tar.gz, recorded on 2026-11-24T16:06:38Z."
    assert texts[1].startswith("PASS: ")
    assert texts[2:] == [
        "The class order is shifted.",
        "Labels may be shifted.",
        "The images are prepared otherwise than the model's own config says, in crop (the config says 224).",
        "KeyFigures",
        "Figure",
    ]
