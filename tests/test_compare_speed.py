import math

import pytest

from helpers import comparable, compare_speed, embedded
from helpers.records import Noise, Sweep
from tests import runs


@pytest.fixture
def compared(tmp_path):
    """Return a function that gives both runs, B's speed over A's and what stands against it."""

    def speed(mine, theirs, first=None, **otherwise):
        a = embedded.of(runs.write(tmp_path / "a", fps=mine, **(first or {})))
        b = embedded.of(runs.write(tmp_path / "b", fps=theirs, **otherwise))
        unlike = comparable.of(a, b)
        return a, b, compare_speed.ratio(a, b, unlike), unlike

    return speed


def test_independent_intervals_add_up_as_squares_of_logarithms(compared):
    """1 % of each side is 1.41 % of each ratio, and 1 % of the mean of two."""
    *_, found, _ = compared({1: 100.0, 8: 200.0}, {1: 150.0, 8: 400.0})
    assert {batch: one.ratio for batch, one in found.ratios.items()} == pytest.approx({1: 1.5, 8: 2.0})
    half = math.log(1.01 / 0.99) / 2 * math.sqrt(2)
    assert found.ratios[1].interval == pytest.approx((1.5 * math.exp(-half), 1.5 * math.exp(half)))
    assert found.mean == pytest.approx(math.sqrt(3))
    assert found.interval == pytest.approx([math.sqrt(3) * math.exp(sign * half / math.sqrt(2)) for sign in (-1, 1)])
    assert (
        compare_speed.headline(found) == "runs at 1.73 times the speed of A (95 % interval 1.71 to 1.75, geometric mean of 2 batch sizes)"
    )


def test_swapping_the_runs_gives_the_reciprocal(compared):
    *_, there, _ = compared({1: 100.0, 8: 200.0}, {1: 150.0, 8: 400.0})
    *_, back, _ = compared({1: 150.0, 8: 400.0}, {1: 100.0, 8: 200.0})
    assert there.mean * back.mean == pytest.approx(1)
    assert (there.interval[0] * back.interval[1], there.interval[1] * back.interval[0]) == pytest.approx((1, 1))


@pytest.mark.parametrize(("theirs", "word"), [(110.0, "faster"), (90.0, "slower"), (101.0, "unclear")])
def test_an_interval_that_holds_1_tells_nothing(compared, theirs, word):
    *_, found, _ = compared({1: 100.0}, {1: theirs})
    assert found.word == word
    assert ("can't tell them apart" in compare_speed.headline(found)) == (word == "unclear")


def test_what_each_run_measured_in_turns_with_its_own_baseline_does_not_narrow_the_ratio(compared):
    a, b, found, unlike = compared({1: 100.0}, {1: 150.0})
    for run in (a, b):
        run.records[Sweep].series[0].rows[0].ratio_interval = (0.9999, 1.0001)
    assert compare_speed.ratio(a, b, unlike) == found


def test_a_figure_without_interval_leaves_none_to_the_mean(compared):
    *_, found, _ = compared({1: 100.0, 8: 200.0}, {1: 150.0}, line={"half": 0})
    assert found.mean == pytest.approx(1.5)
    assert (found.interval, found.word) == (None, "unclear")
    assert "too noisy for an interval" in compare_speed.headline(found)


def test_batch_sizes_of_one_run_alone_are_shown_without_a_ratio(compared):
    a, b, found, unlike = compared({1: 100.0, 8: None}, {1: 150.0, 8: 1.0, 64: 2.0})
    rows = compare_speed.shown(a, b, found, unlike).elements[-1].rows
    shown = [(row[0], row[1], row[5]) for row in rows]
    assert shown == [
        (1, "100.0 (99.0 to 101.0)", "1.50"),
        (8, "out of memory", None),
        (64, None, None),
    ]


def test_what_is_not_comparable_has_no_ratio_and_both_lines(compared):
    a, b, found, unlike = compared({1: 100.0}, {1: 150.0}, line={"kind": "simulated"})
    assert found is None
    section = compare_speed.shown(a, b, found, unlike)._repr_html_()
    assert "Not comparable: B ran on a simulated device." in section
    assert compare_speed.chart(a, b, found).alt.startswith("Simulated: B, candidate (simulated), images per second. ")
    assert "1.50" not in section


def test_the_chart_names_both_with_their_devices_and_claims_only_what_is_clear(compared):
    a, b, found, _ = compared({1: 100.0}, {1: 150.0}, line={"device": "an NPU"})
    figure = compare_speed.chart(a, b, found)
    assert figure.alt == "B, candidate runs at 1.50 × A, candidate. B, candidate: batch 1 150.0; A, candidate: batch 1 100.0."
    assert "compute time, cpu and an NPU, fp32" in figure.svg
    a, b, found, _ = compared({1: 100.0}, {1: 100.0})
    assert compare_speed.chart(a, b, found).alt.startswith("B, candidate, images per second. ")


def test_a_name_that_is_no_mathematics_and_does_not_print_is_drawn(compared):
    a, b, found, _ = compared({1: 100.0}, {1: 150.0}, line={"name": "$\\frac{$ \x00\x1b<b>"})
    assert r"B, $\frac{$ \x00\x1b&lt;b&gt;" in compare_speed.chart(a, b, found).svg


def test_noise_recordings_and_another_region_are_told_before_the_figures(compared):
    a, b, _, _ = compared({1: 100.0}, {1: 150.0})
    line = b.records[Sweep].series[0]
    line.rows[0].noise = Noise(verdict="NOISY", reasons=["x"], variation_pct=9, iqr_pct=9, windows_pct=9, drift_pct=9, outliers=0)
    line.rows[0].regions["device"] = line.rows[0].regions["compute"]
    line.recorded, b.records[Sweep].region = "results.tar.gz", "device"
    unlike = comparable.of(a, b)
    text = compare_speed.shown(a, b, compare_speed.ratio(a, b, unlike), unlike)._repr_html_()
    assert "B was not measured by its run, but replayed from results.tar.gz." in text
    assert "Compared in compute time, which both have; the headline of B is in device time." in text
    assert "Not all was quiet: B was NOISY at batch 1." in text
    assert "was UNSTABLE" not in text
