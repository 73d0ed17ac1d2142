import numpy as np
import pytest

from helpers import sweep, timing
from helpers.timing import Profile


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
