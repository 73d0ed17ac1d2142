import threading
import time

import pytest

from helpers.pipeline import in_order


def test_what_is_made_comes_in_order_whoever_is_first():
    def slow_first(item):
        time.sleep(0.02 if item == 0 else 0)
        return -item

    assert list(in_order(slow_first, range(9), workers=3)) == [0, -1, -2, -3, -4, -5, -6, -7, -8]


def test_no_more_is_begun_than_the_threads_and_one():
    begun = []
    made = in_order(lambda item: item, (begun.append(item) or item for item in range(100)), workers=2)
    for taken in range(1, 20):
        next(made)
        assert len(begun) == taken + 3


def test_so_many_threads_work_at_once():
    together = threading.Barrier(3, timeout=30)
    assert list(in_order(lambda item: together.wait() is not None, range(6), workers=3)) == [True] * 6


def test_an_error_comes_in_its_place_and_the_rest_is_not_begun():
    done = []

    def fail(item):
        if item == 2:
            time.sleep(0.05)
            raise ValueError("at two")
        done.append(item)
        return item

    made = in_order(fail, range(100), workers=1)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(ValueError, match="at two"):
        next(made)
    assert max(done) < 6


def test_when_it_is_closed_what_waits_is_dropped():
    begun, go, done = threading.Event(), threading.Event(), []

    def wait(item):
        if item > 0:
            begun.set()
            go.wait(30)
            done.append(item)

    made = in_order(wait, range(100), workers=1)
    next(made)
    assert begun.wait(30)
    threading.Timer(0.05, go.set).start()
    made.close()
    assert done == [1]
