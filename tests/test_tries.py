from helpers.tries import Tries
from helpers.units import Unit

A, B = Unit(0, 4), Unit(4, 4)


def test_units_are_taken_in_order_and_once():
    tries = Tries([A, B])
    assert [tries.take(1, {1, 2}), tries.take(2, {1, 2}), tries.take(1, {1, 2})] == [A, B, None]
    assert len(tries) == 0


def test_a_unit_goes_to_a_worker_that_did_not_fail_at_it():
    tries = Tries([A, B])
    assert tries.failed(tries.take(1, {1, 2}), 1) == 1
    assert tries.take(1, {1, 2}) == B
    assert tries.take(1, {1, 2}) is None  # A waits for 2, which is busy
    assert tries.take(2, {1, 2}) == A
    assert (tries.count(A), tries.count(B)) == (2, 1)


def test_where_all_have_failed_or_the_others_are_gone_the_same_worker_tries_again():
    tries = Tries([A])
    for worker in (1, 2):
        tries.failed(tries.take(worker, {1, 2}), worker)
    assert tries.take(1, {1, 2}) == A
    assert tries.failed(A, 1) == 3
    assert tries.take(1, {1}) == A


def test_what_is_not_believed_is_no_failure():
    tries = Tries([A])
    tries.take(1, {1})
    tries.again([A])
    assert tries.count(A) == 1
    assert tries.take(2, {2}) == A
