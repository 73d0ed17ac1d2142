import importlib

import numpy as np
import pytest

from helpers import ROOT, paired


def compare(both_right, only_a, only_b, both_wrong=0, margin=0.5):
    counts = [both_right, only_a, only_b, both_wrong]
    right_a, right_b = (np.repeat(np.array(right, bool), counts) for right in ([1, 1, 0, 0], [1, 0, 1, 0]))
    return paired.compare("a", "b", right_a, right_b, margin)


def interval(*counts):
    return tuple(round(end, 4) for end in compare(*counts).difference_interval_pct)


def test_images_are_counted_by_who_is_right():
    found = compare(5, 3, 2, 1)
    assert (found.a, found.b) == ("a", "b")
    assert (found.both_right, found.only_a, found.only_b, found.both_wrong) == (5, 3, 2, 1)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p_value"),
    [(25, 12, 0.04703102743951604), (12, 25, 0.04703102743951604), (10, 20, 0.09873714670538905), (3, 5, 0.7265625), (6, 0, 0.03125)],
)
def test_the_p_value_is_mcnemars_exact_one(only_a, only_b, p_value):
    """Literals: statsmodels 0.14, mcnemar([[0, only_a], [only_b, 0]], exact=True)."""
    assert compare(100, only_a, only_b).p_value == pytest.approx(p_value, rel=1e-12)


def test_the_p_value_of_a_published_example():
    """Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91 (2013), table 1, exact conditional test: 0.0703."""
    assert round(compare(1, 1, 7, 12).p_value, 4) == 0.0703


def test_the_interval_of_a_published_example():
    """A. Agresti, Categorical Data Analysis, approval of a prime minister in two surveys: 794, 150, 86, 570; -0.06 to -0.02."""
    assert tuple(round(end) for end in interval(794, 150, 86, 570)) == (-6, -2)
    assert compare(794, 150, 86, 570).verdict == "WORSE"


def test_images_on_which_both_agree_do_not_change_the_p_value():
    assert compare(0, 25, 12, 0).p_value == compare(5000, 25, 12, 400).p_value


def test_the_interval_is_that_of_agresti_and_min():
    """By hand: 25.5 lost and 12.5 gained of 1,002; -13 / 1002 and 1.959964 sqrt(38 - 169 / 1002) / 1002."""
    assert interval(900, 25, 12, 63) == (-2.5005, -0.0943)
    assert interval(900, 12, 25, 63) == (0.0943, 2.5005)


@pytest.mark.parametrize(
    ("only_a", "only_b", "verdict"),
    [
        (150, 130, "EQUIVALENT"),  # -0.4756 to 0.0757 at 90 %, of 10,000 images
        (130, 150, "EQUIVALENT"),
        (60, 20, "WORSE"),  # p 0.000009; -0.5478 to -0.2521 at 90 %
        (20, 60, "BETTER"),
        (40, 15, "EQUIVALENT"),  # p 0.001, but less than the margin
        (190, 160, "INCONCLUSIVE"),  # p 0.12; -0.6078 at 90 %
    ],
)
def test_verdicts_of_ten_thousand_images(only_a, only_b, verdict):
    assert compare(9000, only_a, only_b, 1000 - only_a - only_b).verdict == verdict


def test_a_difference_is_one_from_a_p_value_of_5_percent_down():
    assert compare(900, 25, 12, 63).verdict == "WORSE"  # 0.047
    assert compare(900, 25, 13, 62).verdict == "INCONCLUSIVE"  # 0.073


def test_equivalence_is_judged_at_90_percent():
    """At 95 % the interval of 150 and 130 is -0.5284 to 0.1285, at 90 % -0.4756 to 0.0757."""
    assert compare(9000, 150, 130, 720, margin=0.4757).verdict == "EQUIVALENT"
    assert compare(9000, 150, 130, 720, margin=0.4755).verdict == "INCONCLUSIVE"


def test_without_any_difference_the_number_of_images_decides():
    assert (compare(90, 0, 0, 10).p_value, interval(90, 0, 0, 10)) == (1.0, (-1.9215, 1.9215))
    assert compare(90, 0, 0, 10).verdict == "INCONCLUSIVE"
    assert compare(900, 0, 0, 100).verdict == "EQUIVALENT"  # 0.1642 points at 90 %


def test_where_all_differ_the_interval_ends_at_100_points():
    assert interval(0, 10, 0) == (-100.0, -56.6616)
    assert interval(0, 0, 10) == (56.6616, 100.0)
    assert (compare(0, 10, 0).verdict, compare(0, 0, 10).verdict) == ("WORSE", "BETTER")


def test_one_image_tells_nothing():
    assert (compare(1, 0, 0).verdict, interval(1, 0, 0)) == ("INCONCLUSIVE", (-65.3321, 65.3321))
    assert (compare(0, 1, 0).verdict, compare(0, 1, 0).p_value, interval(0, 1, 0)) == ("INCONCLUSIVE", 1.0, (-100.0, 51.0101))


def test_no_image_tells_nothing():
    assert (compare(0, 0, 0).verdict, compare(0, 0, 0).p_value) == ("INCONCLUSIVE", 1.0)


@pytest.mark.parametrize("counts", [(9000, 190, 160, 650), (900, 25, 13, 62), (90, 0, 0, 10), (2000, 30, 25, 200), (100, 3, 1, 20)])
@pytest.mark.parametrize("margin", [0.2, 0.5])
def test_so_many_more_images_of_the_kind_decide(counts, margin):
    found = compare(*counts, margin=margin)
    assert found.verdict == "INCONCLUSIVE"
    images = sum(counts)
    enough, too_few = (tuple(round(count * found.images_to_decide * factor / images) for count in counts) for factor in (1.2, 0.8))
    assert compare(*enough, margin=margin).verdict != "INCONCLUSIVE"
    assert compare(*too_few, margin=margin).verdict == "INCONCLUSIVE" or counts[1] == 0  # without differences half an image is most of it


def test_what_is_decided_needs_no_more_images():
    assert compare(9000, 150, 130, 720).images_to_decide is None
    assert compare(9000, 150, 130, 720).margin_points == 0.5


def test_a_difference_that_is_the_margin_itself_takes_for_ever_to_be_called_equivalent():
    """5 points of difference at a margin of 5: only the exact test can decide, at (1.96 x 0.43 / 0.05) squared images or so."""
    found = compare(60, 12, 7, 21, margin=5)
    assert found.images_to_decide == pytest.approx((1.959964 * 0.4395 / (5 / 102)) ** 2, rel=0.02)


@pytest.mark.parametrize(
    ("images", "differing_pct", "difference_points"),
    [(10_000, 4.0, 0.0), (10_000, 4.0, -0.5), (50_000, 4.0, 0.5), (1_000, 4.0, 0.0)],
)
def test_verdicts_on_a_thousand_simulated_pairs_err_no_more_often_than_their_level(monkeypatch, images, differing_pct, difference_points):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    simulate = importlib.import_module("verdicts").simulate
    found = simulate(np.random.default_rng(1), images, differing_pct, difference_points)
    assert found["met"], found
    assert found["verdicts_pct"]["INCONCLUSIVE"] < 99  # else it could not err
