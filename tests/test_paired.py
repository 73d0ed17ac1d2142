import importlib

import numpy as np
import pytest

from helpers import ROOT, metrics, paired


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


def test_the_interval_is_tangos():
    """Fagerland, Lydersen and Laake, Statistics in Medicine 33, 2850 (2014): of 1, 1, 7, 12 the first less the second, -0.517 to -0.026."""
    assert [round(end, 1) for end in interval(1, 1, 7, 12)] == [2.6, 51.7]
    assert [round(end, 1) for end in interval(1, 7, 1, 12)] == [-51.7, -2.6]


def test_where_nothing_is_gained_the_interval_ends_where_wilsons_of_the_share_lost_does():
    assert -interval(995, 5, 0)[0] == pytest.approx(metrics.interval_pct(5, 1000)[1], abs=1e-4)


@pytest.mark.parametrize(
    ("only_a", "only_b", "verdict"),
    [
        (150, 130, "EQUIVALENT"),  # a score of 1.777, of 10,000 images
        (130, 150, "EQUIVALENT"),
        (60, 20, "WORSE"),  # p 0.000009
        (20, 60, "BETTER"),
        (40, 15, "EQUIVALENT"),  # p 0.001, but less than the margin
        (190, 160, "INCONCLUSIVE"),  # p 0.12; a score of 1.065
    ],
)
def test_verdicts_of_ten_thousand_images(only_a, only_b, verdict):
    assert compare(9000, only_a, only_b, 1000 - only_a - only_b).verdict == verdict


def test_a_difference_is_one_from_a_p_value_of_5_percent_down():
    assert compare(900, 25, 12, 63).verdict == "WORSE"  # 0.047
    assert compare(900, 25, 13, 62).verdict == "INCONCLUSIVE"  # 0.073


def test_the_score_of_equivalence_is_that_of_a_published_example():
    """T. Tango, Statistics in Medicine 17, 891 (1998), soft contact lenses: 43 of 44 pairs effective in both, one in one alone; Z 1.709."""
    assert round(paired.equivalence_score(1, 0, 44, 0.10), 3) == 1.709


def test_equivalence_takes_a_score_of_1645():
    assert compare(9000, 150, 130, 720, margin=0.48).verdict == "EQUIVALENT"  # 1.660
    assert compare(9000, 150, 130, 720, margin=0.47).verdict == "INCONCLUSIVE"  # 1.602


def test_few_images_that_all_agree_are_not_equivalent():
    """Of 327 images none is lost in 19 of 100 cases though 0.5 points are: 0.995 to the power of 327."""
    assert compare(300, 0, 0, 27).verdict == "INCONCLUSIVE"
    assert compare(1000, 2, 0).verdict == "INCONCLUSIVE"  # 12 of 100 cases


def test_without_any_difference_the_number_of_images_decides():
    assert (compare(90, 0, 0, 10).p_value, interval(90, 0, 0, 10)) == (1.0, (-3.6993, 3.6993))
    assert compare(90, 0, 0, 10).verdict == "INCONCLUSIVE"
    assert compare(90, 0, 0, 10).images_to_decide == 539  # of which 0.005 n / 0.995 is the square of 1.645
    assert [compare(n, 0, 0).verdict for n in (538, 539)] == ["INCONCLUSIVE", "EQUIVALENT"]


def test_where_all_differ_the_interval_ends_at_100_points():
    assert interval(0, 10, 0) == (-100.0, -44.4934)
    assert interval(0, 0, 10) == (44.4934, 100.0)
    assert (compare(0, 10, 0).verdict, compare(0, 0, 10).verdict) == ("WORSE", "BETTER")


def test_one_image_tells_nothing():
    assert (compare(1, 0, 0).verdict, interval(1, 0, 0)) == ("INCONCLUSIVE", (-79.3451, 79.3451))
    assert (compare(0, 1, 0).verdict, compare(0, 1, 0).p_value, interval(0, 1, 0)) == ("INCONCLUSIVE", 1.0, (-100.0, 58.6901))


def test_no_image_tells_nothing():
    found = compare(0, 0, 0)
    assert (found.verdict, found.p_value, found.images_to_decide) == ("INCONCLUSIVE", 1.0, None)
    assert found.difference_interval_pct == (-100.0, 100.0)


@pytest.mark.parametrize("counts", [(9000, 190, 160, 650), (900, 25, 13, 62), (90, 0, 0, 10), (2000, 30, 25, 200), (100, 3, 1, 20)])
@pytest.mark.parametrize("margin", [0.2, 0.5])
def test_so_many_more_images_of_the_kind_decide(counts, margin):
    found = compare(*counts, margin=margin)
    assert found.verdict == "INCONCLUSIVE"
    images = sum(counts)
    enough, too_few = (tuple(round(count * found.images_to_decide * factor / images) for count in counts) for factor in (1.2, 0.8))
    assert compare(*enough, margin=margin).verdict != "INCONCLUSIVE"
    assert compare(*too_few, margin=margin).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("images", [20, 100, 1000])
def test_what_is_not_decided_needs_more_images_than_there_are(images):
    pairs = [(only_a, only_b) for only_a in range(10) for only_b in range(10)]
    found = [compare(images - only_a - only_b, only_a, only_b) for only_a, only_b in pairs]
    assert all(one.images_to_decide > images for one in found if one.verdict == "INCONCLUSIVE")


def test_what_is_decided_needs_no_more_images():
    assert compare(9000, 150, 130, 720).images_to_decide is None
    assert compare(9000, 150, 130, 720).margin_points == 0.5


def test_a_difference_that_is_the_margin_itself_takes_for_ever_to_be_called_equivalent():
    """5 points of difference at a margin of 5: only McNemar's test can decide, where 5 k - 1 is 1.96 times the root of 19 k."""
    found = compare(60, 12, 7, 21, margin=5)
    k = found.images_to_decide / 100
    assert 5 * k - 1 == pytest.approx(1.959964 * (19 * k) ** 0.5, rel=0.01)


@pytest.mark.parametrize(
    ("images", "differing_pct", "difference_points"),
    [(10_000, 4.0, 0.0), (10_000, 4.0, -0.5), (50_000, 4.0, 0.5), (1_000, 4.0, 0.0), (1_000, 0.5, -0.5), (400, 0.5, 0.5)],
)
def test_verdicts_on_a_thousand_simulated_pairs_err_no_more_often_than_their_level(monkeypatch, images, differing_pct, difference_points):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    simulate = importlib.import_module("verdicts").simulate
    found = simulate(np.random.default_rng(1), images, differing_pct, difference_points)
    assert found["met"], found
    assert found["verdicts_pct"]["INCONCLUSIVE"] < 99.9  # else it could not err
