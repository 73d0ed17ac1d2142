import os
from collections import UserList

import numpy as np
import pytest

from helpers import names
from helpers.names import Names

ODD = ["a.png", 'with "quotes", and a comma', "two\nlines", "näh.png", os.fsdecode(b"\xff.png"), ""]


def test_names_are_a_sequence_of_texts(monkeypatch):
    monkeypatch.setattr(names, "CHUNK", 2)  # several chunks
    made = Names.of(iter(ODD))
    assert list(made) == ODD
    assert (len(made), made[1], made[-2], made[np.int64(2)]) == (6, ODD[1], ODD[-2], "two\nlines")
    assert list(made[1:]) == ODD[1:]
    assert list(made[::-2]) == ODD[::-2]
    assert made.index("näh.png") == 3
    assert "two\nlines" in made
    assert made[6:] == []
    with pytest.raises(IndexError):
        made[6]


def test_names_equal_any_sequence_of_the_same():
    made = Names.of(ODD)
    assert made == ODD
    assert list(reversed(made)) == ODD[::-1]
    assert made == UserList(ODD)
    assert Names.of(["b", *ODD])[1:] == made
    assert made != ODD[:-1]
    assert made != [*ODD[:-1], "b"]
    assert Names.of(["a"]) != "a"
    assert Names.of(["a"]) != [1]
    assert Names.of([]) == []
    assert not Names.of([])


def test_names_at_places_come_in_the_order_of_these():
    assert Names.of(ODD).take([4, 0, 0]) == [ODD[4], "a.png", "a.png"]
    assert Names.of(ODD).take(np.array([2, 0, 1], np.int32)[::2]) == ["two\nlines", ODD[1]]
    assert Names.of(ODD).take([]) == []


def test_which_of_a_few_others_are_there():
    assert Names.of(ODD).among(["b.png", ODD[4], ODD[4], "a.png"]) == {ODD[4], "a.png"}
    assert Names.of(ODD).among([]) == set()


def test_the_first_name_that_is_there_twice_is_found(monkeypatch):
    assert Names.of(ODD).repeated() is None
    assert Names.of([]).repeated() is None
    assert Names.of(["c", "b", "a", "b", "c", "d"]).repeated() == "c"
    monkeypatch.setattr(names, "hash", len, raising=False)  # names of one hash are not the same for it
    assert Names.of(["c", "b", "a"]).repeated() is None


def test_the_first_names_are_shown():
    assert repr(Names.of(["a", "b", "c", "d"])) == "Names(['a', 'b', 'c'], ...)"
    assert repr(Names.of(["a"])) == "Names(['a'])"
