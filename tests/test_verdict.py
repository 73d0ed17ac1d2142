import pytest

from helpers import baselines, verdict
from helpers.params import BASELINES
from helpers.records import Latency, Measured, Row, Series


def series(role, figures, half=0.01, kind="measured", device="cpu", region="compute", name=None):
    def measured(fps):
        known = kind == "measured"
        interval = (fps * (1 - half), fps * (1 + half)) if known and half else None
        latency = Latency(p50=1.0, p90=None, p99=None) if known else None
        return Measured(images_per_second=fps, interval_fps=interval, latency_ms=latency, blocks=30 if known else None, calls=None)

    rows = [
        Row(batch=batch, regions={region: measured(fps)} if fps else {}, error=None if fps else "out of memory")
        for batch, fps in figures.items()
    ]
    return Series(name=name or role, role=role, kind=kind, backend="b", device=device, precision="fp32", source="s", rows=rows)


def judge(mine, theirs, gate="auto", tolerance=5.0, **options):
    return verdict.judge([series("candidate", mine), series("baseline", theirs, **options)], gate, tolerance)


@pytest.mark.parametrize(
    ("mine", "expected"),
    [(100, "PASS"), (97, "PASS"), (95.5, "INCONCLUSIVE"), (94, "INCONCLUSIVE"), (93, "FAIL"), (60, "FAIL")],
)
def test_a_ratio_is_judged_by_its_whole_interval(mine, expected):
    """1 % of each side is 1.41 % of the ratio: PASS from 0.95 * 1.0141 up, FAIL below 0.95 / 1.0143."""
    judged = judge({4: mine}, {4: 100})
    assert judged.ratios[0].verdict == expected
    assert judged.verdict == expected
    assert judged.geomean_ratio == pytest.approx(mine / 100)
    assert expected in judged.sentence


def test_the_published_tables_means_are_those_of_its_own_columns():
    """The 310P column over the baseline column: 1.092, and best over best 1.157, as in the specification."""
    published = {one.name: one for one in baselines.read(BASELINES / "conformer_base_310p.yaml")}
    device = published["Conformer-base on 310P, ais_infer"].model_copy(update={"role": "candidate"})
    judged = verdict.judge([device, published["Conformer-base, published baseline"]], "best", 5)
    assert judged.geomean_ratio == pytest.approx(1.092, abs=5e-4)
    assert judged.best_over_best_ratio == pytest.approx(1.157, abs=5e-4)
    assert [round(ratio.ratio, 3) for ratio in judged.ratios] == [0.938, 0.985, 1.179, 1.047, 0.992, 1.499]
    assert judged.verdict == "PASS"
    assert verdict.judge([device, published["Conformer-base, published baseline"]], "rows", 5).verdict == "FAIL"
    assert [ratio.batch for ratio in judged.ratios if "breaks its own trend" in ratio.remark] == [64]


def test_gates_by_default():
    assert judge({1: 100}, {1: 100}).gate == "geomean"
    assert judge({1: 100}, {1: 100}, kind="published").gate == "best"
    elsewhere = judge({1: 10}, {1: 100}, kind="published", device="another")
    assert (elsewhere.gate, elsewhere.verdict) == ("none", "NONE")
    assert elsewhere.geomean_ratio == pytest.approx(0.1)
    assert "no verdict" in elsewhere.sentence


def test_another_region_is_shown_without_a_ratio():
    judged = judge({1: 100}, {1: 100}, kind="published", region="device")
    assert (judged.region, judged.verdict, judged.geomean_ratio) == ("compute", "NONE", None)
    assert judged.ratios[0].ratio is None
    assert "there is no ratio, since baseline has no figure in the same region" in judged.sentence


@pytest.mark.parametrize("gate", ["geomean", "rows", "best"])
def test_a_batch_size_at_which_the_candidate_failed_is_a_fail(gate):
    judged = judge({1: 100, 64: None}, {1: 100, 64: 100}, gate=gate)
    assert judged.geomean_ratio == pytest.approx(1)
    assert judged.ratios[1].ratio is None
    assert judged.verdict == "FAIL"
    assert "batch size 64 has no figure (out of memory)" in judged.sentence


def test_a_batch_size_at_which_the_baseline_failed_is_inconclusive():
    judged = judge({1: 100, 64: 100}, {1: 100, 64: None})
    assert judged.verdict == "INCONCLUSIVE"
    assert "batch size 64 has no figure (out of memory)" in judged.sentence
    assert judge({1: 100}, {1: None}).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("options", [{"gate": "none"}, {"gate": "auto", "kind": "published", "device": "another"}])
def test_a_candidate_that_fails_somewhere_is_a_fail_without_a_gate_too(options):
    assert judge({1: 100, 64: None}, {1: 100, 64: 100}, **options).verdict == "FAIL"
    assert verdict.judge([series("candidate", {1: 100, 64: None})], "auto", 5).verdict == "FAIL"


def test_rows_that_only_one_side_has_are_not_judged():
    judged = judge({1: 100, 2: 100}, {1: 100}, gate="rows")
    assert judged.verdict == "PASS"
    assert "over 1 batch size): PASS, each of these judged" in judged.sentence


@pytest.mark.parametrize("gate", ["auto", "none"])
def test_no_figure_at_all_is_a_fail(gate):
    judged = judge({1: None}, {1: 100}, gate=gate)
    assert judged.verdict == "FAIL"
    assert judged.sentence == "No throughput at batch size 1: out of memory."


def test_a_figure_too_noisy_to_bound_is_inconclusive():
    judged = judge({1: 500}, {1: 100}, half=0)
    assert judged.verdict == "INCONCLUSIVE"
    assert judged.ratios[0].interval is None
    assert judged.ratios[0].remark == "no interval: too noisy, or too few times"


def test_without_a_baseline_there_is_no_verdict():
    assert verdict.judge([series("candidate", {1: 100})], "auto", 5).verdict == "NONE"


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"kind": "simulated"}, "a simulator made the figures, so this is no verdict"),
        (
            {"unproven": "no answers were recorded at batch size 1 to compare"},
            "no answers were recorded at batch size 1 to compare, so this",
        ),
    ],
)
def test_a_simulator_and_times_without_answers_get_no_verdict_whatever_the_gate(update, said):
    candidate = series("candidate", {1: 200}).model_copy(update=update)
    judged = verdict.judge([candidate, series("baseline", {1: 100})], "best", 5)
    assert (judged.gate, judged.verdict, judged.ratios[0].verdict) == ("none", "NONE", "NONE")
    assert said in judged.sentence


def test_two_devices_of_which_neither_is_stated_are_not_the_same_kind():
    candidate = series("candidate", {1: 200}, kind="replayed", device="not stated")
    assert verdict.judge([candidate, series("baseline", {1: 100}, kind="published", device="not stated")], "auto", 5).gate == "none"


def test_a_recording_is_not_judged_against_this_machine():
    candidate = series("candidate", {1: 200}, kind="replayed", device="npu")
    assert verdict.judge([candidate, series("baseline", {1: 100}, device="npu")], "auto", 5).gate == "none"
