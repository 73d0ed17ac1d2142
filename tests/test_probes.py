"""Who is believed: workers held against each other and, where that does not decide, against the original."""

import numpy as np
import pytest

from helpers import probes
from helpers.errors import UserError

GOOD = np.random.default_rng(0).dirichlet(np.ones(5), 16)
WRONG = np.roll(GOOD, 1, axis=1)
OTHERWISE_WRONG = np.roll(GOOD, 2, axis=1)


def off(by):
    """GOOD with one logit of one image moved."""
    logits = np.log(GOOD)
    logits[3, 2] += by
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def unasked():
    pytest.fail("the original was asked")


@pytest.mark.parametrize(("by", "same"), [(0, True), (1e-4, True), (2e-3, False)])
def test_fp32_agrees_to_a_thousandth_of_a_log_probability(by, same):
    assert probes.agree(GOOD, off(by), None) == same


@pytest.mark.parametrize(("by", "same"), [(0.05, True), (3.0, False)])
def test_reduced_precision_agrees_in_direction(by, same):
    assert probes.agree(GOOD, off(by), 0.99) == same


def test_answers_that_say_the_same_of_every_class_agree_in_fp32():
    alike = np.full((1, 5), 0.2)
    assert probes.agree(alike, alike, None)


def test_other_classes_never_agree():
    assert not probes.agree(GOOD, GOOD[:, :4], None)


def test_the_majority_is_believed_without_asking_the_original():
    answers = {"a": WRONG, "b": off(1e-5), "c": GOOD}
    assert probes.believed(answers, True, unasked) is answers["b"]


def test_a_single_worker_is_believed():
    assert probes.believed({"a": WRONG}, True, unasked) is WRONG


@pytest.mark.parametrize("answers", [{"a": WRONG, "b": GOOD}, {"a": GOOD, "b": WRONG}, {"a": WRONG, "b": OTHERWISE_WRONG, "c": GOOD}])
def test_of_two_or_where_all_differ_that_is_believed_which_agrees_with_the_original(answers):
    assert probes.believed(answers, True, lambda: off(1e-5)) is GOOD


def test_two_against_two_are_decided_by_the_original_too():
    answers = {"a": WRONG, "b": WRONG, "c": GOOD, "d": GOOD}
    assert probes.believed(answers, True, lambda: GOOD) is GOOD


def test_where_the_original_decides_for_none_it_is_said_who_differs():
    expected = (
        "worker 1 and worker 2 answer the first images differently and the original decides for none of them: see the devices' health"
    )
    with pytest.raises(UserError, match=expected):
        probes.believed({"worker 1": WRONG, "worker 2": OTHERWISE_WRONG}, True, lambda: GOOD)


def test_where_the_original_is_too_coarse_to_decide_it_is_said_too():
    """Reduced precision is held to the original's direction only: both have it, and yet differ."""
    with pytest.raises(UserError, match="decides for none of them"):
        probes.believed({"a": off(0.9), "b": off(-0.9)}, False, lambda: GOOD)
