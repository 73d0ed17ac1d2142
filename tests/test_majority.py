"""Who is believed, of many: what is told apart by tolerances is in test_probes."""

from operator import eq

import pytest

from helpers import majority
from helpers.errors import UserError


def believed(answers, known=lambda: pytest.fail("asked")):
    return majority.believed(answers, eq, known, eq, "differ.")


def test_of_hundreds_that_agree_not_all_are_held_against_all():
    compared = []
    answers = {f"worker {number}": "right" for number in range(200)} | {"worker 200": "wrong"}
    found = majority.believed(answers, lambda a, b: not compared.append((a, b)) and a == b, None, None, "")
    assert found == "right"
    assert len(compared) == 201


def test_the_majority_is_believed_wherever_it_stands():
    assert believed({"a": "wrong", "b": "otherwise", "c": "right", "d": "right", "e": "right"}) == "right"


def test_half_is_no_majority():
    assert believed({"a": "x", "b": "x", "c": "y", "d": "y"}, lambda: "y") == "y"
    with pytest.raises(UserError, match="^a and b and c and d differ.$"):
        believed({"a": "x", "b": "x", "c": "y", "d": "y"}, lambda: "z")
