from types import SimpleNamespace

import pytest

from helpers import reference_number
from tests.test_accuracy import REFERENCE, result


@pytest.mark.parametrize(
    ("right", "images", "verdict"),
    [
        (41925, 50000, "PASS"),  # 83.85 +- 0.32 lies above 83.32
        (41925 // 50, 1000, "INCONCLUSIVE"),  # the same share of 1,000 is +- 2.3
        (41000, 50000, "FAIL"),  # 82.00
        (49000, 50000, "PASS"),
    ],
)
def test_a_reference_that_is_only_a_number_is_judged_by_the_interval(right, images, verdict):
    given, sentence = reference_number.judge(result(right, images), REFERENCE, 0.5)
    assert given == verdict
    assert f"{100 * right / images:.2f} %" in sentence


def test_without_a_reference_or_a_number_there_is_no_verdict():
    assert reference_number.judge(result(1, 2), None, 0.5)[0] == "NONE"
    unknown = result(1, 2).model_copy(update={"evaluated": False, "reason": "random weights"})
    assert reference_number.judge(unknown, REFERENCE, 0.5) == ("NONE", "Accuracy was not evaluated: random weights.")


def test_what_a_simulator_answered_is_no_verdict():
    simulated = result(49000, 50000).model_copy(update={"simulated": True})
    verdict, said = reference_number.judge(simulated, REFERENCE, 0.5)
    assert verdict == "NONE"
    assert said.endswith("on d: a simulator answered, so this is no verdict.")


@pytest.mark.parametrize(("margin", "said"), [(1.0, "less than 1 point below"), (0.5, "less than 0.5 points below")])
def test_a_margin_of_one_is_one_point(margin, said):
    assert said in reference_number.judge(result(49000, 50000), REFERENCE, margin)[1]


def said(candidate, reference):
    found = reference_number.in_words(SimpleNamespace(results=[candidate], reference=reference))
    return found.text if found else None


def test_the_unpaired_interval_is_newcombes():
    """Newcombe 1998, Statistics in Medicine 17, 873, table II, example (a), method 10: 56 of 70 less 48 of 80 is 0.0524 to 0.3339."""
    assert [round(end, 2) for end in reference_number.difference_pct(56, 70, 48, 80)] == [5.24, 33.39]


def test_the_unpaired_interval_of_nothing_against_something():
    """The same table, example (h), method 10: 10 of 10 less 0 of 10 is 0.6075 to 1."""
    assert [round(end, 2) for end in reference_number.difference_pct(10, 10, 0, 10)] == [60.75, 100.0]


def test_how_little_a_number_proves_is_said():
    """By hand, about: 1.96 sqrt(0.8382 x 0.1618 x 2 / 50000) is 0.46 points."""
    text = said(result(41925, 50000), REFERENCE)
    assert text.startswith(
        "The reference is a number alone: the difference is +0.03 points, unpaired 95 % interval -0.43 to +0.49, if that"
    )
    assert "differs by up to 0.46 points by chance in 95 of 100 cases; its answers" in text


def test_a_reference_that_is_always_right_differs_by_chance_too():
    """Wilson's interval of 100 of 100 begins at 96.30."""
    assert "differs by up to 3.70 points by chance" in said(result(99, 100), REFERENCE.model_copy(update={"top1_pct": 100.0}))


def test_the_references_own_number_of_images_counts():
    text = said(result(41925, 50000), REFERENCE.model_copy(update={"images": 5000}))
    assert "if that is of as many images" not in text
    assert "differs by up to 1.09 points by chance" in text


@pytest.mark.parametrize("changed", [{"evaluated": False}, {"simulated": True}])
def test_where_there_is_no_accuracy_nothing_is_compared(changed):
    assert said(result(1, 2).model_copy(update=changed), REFERENCE) is None
    assert said(result(1, 2), None) is None
