import numpy as np
import pytest

from helpers import sweep, timing
from helpers.records import Copies
from helpers.timing import Point, Profile, Times


class Clock:
    """A clock that only moves when a call says how long it took."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def call(self, seconds, log=None, name=""):
        def run():
            self.now += seconds() if callable(seconds) else seconds
            if log is not None:
                log.append(name)

        return run


QUICK = Profile(blocks=30, seconds=1.5, warm_up_seconds=2.0, limit_seconds=100.0)


def test_known_durations_give_exact_figures():
    clock = Clock()
    [point] = timing.interleave([clock.call(1 / 64)], 8, QUICK, clock)
    measured = point.measured()
    assert measured.images_per_second == 512
    assert measured.latency_ms.p50 == 15.625
    assert point.calls_per_block == 4  # the fewest that fill 50 ms
    assert len(point.blocks) >= 30
    assert sum(point.blocks) >= 1.5


def test_slow_calls_are_a_block_each():
    clock = Clock()
    [point] = timing.interleave([clock.call(2.0)], 8, QUICK, clock)
    assert point.calls_per_block == 1
    assert len(point.blocks) == 30


def test_a_point_ends_at_its_limit_with_its_figure_and_without_an_interval():
    clock = Clock()
    points = timing.interleave([clock.call(4.0), clock.call(1.0)], 8, QUICK, clock)
    assert [len(point.blocks) for point in points] == [11, 11]
    assert points[0].measured().images_per_second == pytest.approx(2)
    assert points[0].measured().interval_fps is None


def test_percentiles_need_enough_calls():
    def latency(seconds):
        clock = Clock()
        return timing.interleave([clock.call(seconds)], 1, QUICK, clock)[0].measured().latency_ms

    assert latency(0.1).p90 is None
    assert latency(0.02).p90 == pytest.approx(20)
    assert latency(0.02).p99 is None
    assert latency(0.001).p99 == pytest.approx(1)


def test_two_backends_take_turns_a_b_b_a_with_an_uncounted_call_before_each_block():
    clock, log = Clock(), []
    fast, slow = timing.interleave([clock.call(0.1, log, "a"), clock.call(0.2, log, "b")], 1, QUICK, clock)
    measured = log[20:]  # after ten warm-up calls of each
    assert measured[:16] == ["a", "a", "b", "b", "b", "b", "a", "a"] * 2
    assert len(fast.blocks) == len(slow.blocks)
    assert fast.measured().images_per_second == pytest.approx(2 * slow.measured().images_per_second)


def test_warm_up_ends_at_its_limit():
    clock, log = Clock(), []
    timing.warm_up(clock.call(1.5, log, "x"), QUICK, clock)
    assert len(log) == 2


def test_the_interval_is_students():
    """Ten values: mean 10, sample deviation 1.0541 -> half-width 2.262 * 1.0541 / sqrt(10) = 0.7541, a share of 0.07541."""
    blocks = np.array([9.0, 11.0] * 5)  # neighbours are anti-correlated, which is not used to shrink the interval
    assert timing.half_width(blocks) == pytest.approx(0.07541, abs=1e-5)


def test_correlated_blocks_have_a_wider_interval():
    random = np.random.default_rng(0)
    independent = 10 + random.standard_normal(60)
    correlated = np.repeat(independent[:30], 2)
    assert timing.half_width(correlated) > 1.3 * timing.half_width(independent)


def test_one_block_says_nothing_of_its_uncertainty():
    assert timing.half_width(np.array([1.0])) == np.inf
    assert timing.half_width(np.array([1.0, 1.0])) == 0


def test_batches_rotate_through_distinct_real_images():
    images = np.arange(10, dtype=np.float32).reshape(10, 1)
    batches = sweep.rotate(images, 4)
    assert [next(batches).ravel().tolist() for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]
    assert next(sweep.rotate(images, 12)).shape == (12, 1)


# the parts of a call


def point_of(*computes, blocks=(1.0, 1.0), batch=8):
    """Return a point of calls that computed for so many seconds, with copies of 2 and 4 ms and of 1 and 2 ms by turns."""
    parts = [Times(0.002 + 0.002 * (turn % 2), compute, 0.001 + 0.001 * (turn % 2)) for turn, compute in enumerate(computes)]
    return Point(batch, len(computes) // len(blocks), list(blocks), [0.5] * len(computes), parts)


def test_copies_are_the_means_of_both_ways():
    copies = point_of(0.1, 0.1).copies()
    assert copies.to_device_ms == pytest.approx(3.0)
    assert copies.to_host_ms == pytest.approx(1.5)


def test_the_way_there_and_the_way_back_are_not_mistaken_for_each_other():
    assert Point(1, parts=[Times(to_device=0.25, compute=9.0, to_host=0.5)]).copies() == Copies(to_device_ms=250.0, to_host_ms=500.0)


def test_compute_leaves_the_copies_out():
    measured = point_of(0.25, 0.25, 0.25, 0.25).computed()
    assert (measured.images_per_second, measured.latency_ms.p50, measured.blocks, measured.calls) == (32.0, 250.0, 2, 4)


def test_the_calls_of_a_block_follow_each_other(monkeypatch):
    given = []
    monkeypatch.setattr(timing, "measured", lambda images, blocks, calls: given.append((images, blocks, calls)))
    point_of(1.0, 2.0, 4.0, 8.0).computed()
    assert given == [(16, [3.0, 12.0], [1.0, 2.0, 4.0, 8.0])]


def test_of_one_call_a_block_each_call_is_a_block(monkeypatch):
    given = []
    monkeypatch.setattr(timing, "measured", lambda images, blocks, calls: given.append((images, blocks)))
    point_of(1.0, 2.0).computed()
    assert given == [(8, [1.0, 2.0])]


def test_a_run_that_tells_its_parts_has_one_for_each_counted_call():
    clock = Clock()
    call = clock.call(1 / 64)

    def run():
        call()
        return Times(0.25 / 64, 0.5 / 64, 0.25 / 64)

    [point] = timing.interleave([run], 8, QUICK, clock)
    assert len(point.parts) == len(point.calls)
    assert point.measured().images_per_second == 512
    assert point.computed().images_per_second == 1024


def test_beside_another_the_uncounted_call_tells_no_part():
    clock = Clock()
    call = clock.call(0.1)

    def run():
        call()
        return Times(0.0, 0.1, 0.0)

    told, untold = timing.interleave([run, clock.call(0.1)], 1, QUICK, clock)
    assert len(told.parts) == len(told.calls)
    assert untold.parts == []


@pytest.mark.parametrize(("blocks", "known"), [(29, False), (30, True)])
def test_fewer_than_thirty_blocks_have_no_interval(blocks, known):
    assert (timing.measured(8, [1.0] * blocks, [1.0] * blocks).interval_fps is not None) == known


def test_the_expected_time_is_bounded_on_both_sides():
    profile = Profile(blocks=30, seconds=1.5, warm_up_seconds=2.0, limit_seconds=20.0)
    assert profile.expected_seconds(0.001, [1]) == 1.5
    assert profile.expected_seconds(0.01, [10]) == pytest.approx(3.0)
    assert profile.expected_seconds(1.0, [1, 10]) == 40.0
