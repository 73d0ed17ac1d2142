import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from helpers import timing
from helpers.records import Copies
from helpers.timing import Block, Point, Profile, Times


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


QUICK = Profile(blocks=30, seconds=1.5, longest_seconds=3.0, warm_up_seconds=2.0, limit_seconds=100.0)


class Timed:
    """A backend whose calls take known times, under a clock that only they move."""

    def __init__(self, clock, seconds, log=None, name="", parts=None):
        self.clock, self.run, self.parts, self.log = clock, clock.call(seconds, log, name), parts, log

    def block(self, calls, lead):
        if lead:
            self.run()
        return timing.block(self.once, calls, self.clock)

    def once(self):
        self.run()
        return self.parts


def measure(*seconds, batch=1, calls=1, profile=QUICK, clock=None):
    """Return the points of backends that took turns, each call so many seconds."""
    clock = clock or Clock()
    points = [Point(batch, calls) for _ in seconds]
    timing.interleave([Timed(clock, each) for each in seconds], points, profile, clock)
    return points


def jitter(*factors, mean=0.05):
    """Return a function that gives the next of some times over and over."""
    times = itertools.cycle([mean * factor for factor in factors])
    return lambda: next(times)


def test_known_durations_give_exact_figures():
    [point] = measure(1 / 64, batch=8, calls=4)
    measured = point.measured()
    assert measured.images_per_second == 512
    assert (measured.latency_ms.mean, measured.latency_ms.p50) == (15.625, 15.625)
    assert len(point.blocks) == 30  # 30 blocks of 62.5 ms are more than 1.5 s
    assert measured.calls == 120


def test_a_point_lasts_the_least_seconds_of_its_profile():
    [point] = measure(0.01)
    assert len(point.blocks) == 150


def test_slow_calls_are_a_block_each():
    [point] = measure(2.0, batch=8)
    assert len(point.blocks) == 30


def test_a_noisy_point_goes_on_until_its_interval_is_narrow_or_it_is_long_enough():
    [wide] = measure(jitter(0.5, 1.0, 1.5))
    assert 3.0 <= sum(block.seconds for block in wide.blocks) < 3.075
    [narrow] = measure(jitter(0.97, 1.0, 1.03))
    assert len(narrow.blocks) == 30
    [between] = measure(jitter(0.96, 1.0, 1.04))
    assert 30 < len(between.blocks) < 60
    assert timing.half_width(between.seconds, between.seconds.mean()) <= 0.01
    assert timing.half_width(between.seconds[:-1], between.seconds[:-1].mean()) > 0.01


def test_all_wait_for_the_noisiest():
    steady, noisy = measure(0.05, jitter(0.5, 1.0, 1.5))
    assert len(steady.blocks) == len(noisy.blocks) >= 60


def test_a_point_ends_at_its_limit_with_its_figure_and_without_an_interval():
    points = measure(4.0, 1.0, batch=8)
    assert [len(point.blocks) for point in points] == [20, 20]
    assert points[0].measured().images_per_second == pytest.approx(2)
    assert points[0].measured().interval_fps is None


def test_percentiles_need_enough_calls():
    def latency(calls):
        return timing.measured(1, np.full(30, 0.1), [0.02] * calls).latency_ms

    assert latency(63).p90 is None
    assert latency(64).p90 == pytest.approx(20)
    assert latency(458).p99 is None
    assert latency(459).p99 == pytest.approx(20)


def test_two_backends_take_turns_a_b_b_a_with_an_uncounted_call_before_each_block():
    clock, log = Clock(), []
    points = [Point(1, 1), Point(1, 1)]
    timing.interleave([Timed(clock, 0.1, log, "a"), Timed(clock, 0.2, log, "b")], points, QUICK, clock)
    assert log[:16] == ["a", "a", "b", "b", "b", "b", "a", "a"] * 2
    fast, slow = points
    assert len(fast.blocks) == len(slow.blocks) == 30
    assert fast.measured().images_per_second == pytest.approx(2 * slow.measured().images_per_second)


def test_one_backend_alone_has_no_uncounted_calls():
    clock, log = Clock(), []
    timing.interleave([Timed(clock, 0.1, log, "a")], [Point(1, 1)], QUICK, clock)
    assert len(log) == 30


def test_a_second_process_adds_blocks_of_its_own_until_it_has_enough():
    clock = Clock()
    [point] = measure(0.1, clock=clock)
    point.starts.append(len(point.blocks))
    timing.interleave([Timed(clock, 0.2)], [point], QUICK, clock)
    assert (len(point.blocks), point.starts) == (60, [0, 30])


# warm-up


def test_the_warm_up_ends_when_three_windows_agree():
    clock = Clock()
    used, fastest = timing.warm_up(clock.call(0.02), 2.0, clock)
    # windows of three calls: ten calls are in four of them, then three agree
    assert (used.calls, used.seconds, used.settled) == (21, 0.42, True)
    assert fastest == pytest.approx(0.02)


def test_the_warm_up_waits_for_calls_to_stop_getting_faster():
    clock = Clock()
    times = itertools.chain([0.5, 0.4, 0.3, 0.2], itertools.repeat(0.1))
    used, fastest = timing.warm_up(clock.call(lambda: next(times)), 30.0, clock)
    assert (used.calls, used.settled) == (7, True)  # a second is over after three calls; the fourth is slower than the three that agree
    assert fastest == pytest.approx(0.1)


def test_windows_that_differ_by_three_percent_do_not_agree():
    clock = Clock()
    times = itertools.cycle([0.1, 0.103])
    used, _ = timing.warm_up(clock.call(lambda: next(times)), 5.0, clock)
    assert not used.settled
    assert used.seconds >= 5.0


def test_the_warm_up_ends_at_its_limit_and_says_so():
    clock, log = Clock(), []
    used, _ = timing.warm_up(clock.call(1.5, log, "x"), 2.0, clock)
    assert (len(log), used.calls, used.settled) == (2, 2, False)


# intervals


def test_the_interval_is_students():
    """Ten values: mean 10, sample deviation 1.0541 -> half-width 2.262 * 1.0541 / sqrt(10) = 0.7541, a share of 0.07541."""
    blocks = np.array([9.0, 11.0] * 5)  # neighbours are anti-correlated, which is not used to shrink the interval
    assert timing.half_width(blocks, 10.0) == pytest.approx(0.07541, abs=1e-5)


def test_correlated_blocks_have_a_wider_interval():
    """Lag-1 correlation r raised by (1 + 4 r) / n leaves n (1 - r) / (1 + r) blocks."""
    blocks = np.array([1.0, 1.0, 2.0, 2.0] * 10)
    found = (39 - 2 * 19) * 0.25 / (40 * 0.25)  # 20 equal neighbours, 19 opposite ones
    raised = found + (1 + 4 * found) / 40
    independent = 40 * (1 - raised) / (1 + raised)
    expected = stats.t.ppf(0.975, independent - 1) * math.sqrt(10 / 39 / independent)
    assert timing.half_width(blocks, 1.0) == pytest.approx(expected)
    assert timing.half_width(np.repeat([1.0, 2.0, 3.0], 20), 1.0) > 3 * timing.half_width(np.tile([1.0, 2.0, 3.0], 20), 1.0)


def test_of_several_processes_the_means_are_the_values():
    blocks = np.array([9.0, 9.0, 11.0, 11.0, 10.0, 10.0])
    expected = stats.t.ppf(0.975, 2) * 1.0 / math.sqrt(3) / 10
    assert timing.half_width(blocks, 10.0, [0, 2, 4]) == pytest.approx(expected)


def test_official_weighs_each_process_alike_and_has_the_interval_of_their_means():
    """Means 9, 10 and 11 of 30, 60 and 30 blocks: 4.303 * 1 / sqrt(3) / 10 on both sides of 1 / 10."""
    seconds = np.repeat([9.0, 10.0, 11.0], [30, 60, 30])
    point = point_of_blocks(*seconds, starts=[0, 30, 90])
    half = stats.t.ppf(0.975, 2) / math.sqrt(3) / 10
    measured = point.measured()
    assert measured.images_per_second == pytest.approx(0.1)
    assert measured.interval_fps == pytest.approx((0.1 / (1 + half), 0.1 / (1 - half)))
    assert [len(part) for part in point.processes()] == [30, 60, 30]


def test_official_has_a_ratio_by_process():
    faster = point_of_blocks(*np.repeat([1.0, 1.1], 30), starts=[0, 30])
    slower = point_of_blocks(*np.repeat([2.0, 2.0], 30), starts=[0, 30])
    low, high = timing.ratio_interval(faster, slower)
    assert low < 1.5 < 2.5 < high  # two processes say little


def test_one_block_says_nothing_of_its_uncertainty():
    assert timing.half_width(np.array([1.0]), 1.0) == np.inf
    assert timing.half_width(np.array([1.0, 1.0]), 1.0) == 0


def point_of_blocks(*seconds, calls=1, batch=1, starts=(0,)):
    return Point(batch, calls, [Block(each, [each]) for each in seconds], list(starts))


def test_a_paired_ratio_does_not_see_what_both_have_in_common():
    disturbed = np.tile([1.0, 2.0, 3.0], 12)
    candidate, baseline = point_of_blocks(*disturbed), point_of_blocks(*(2 * disturbed))
    low, high = timing.ratio_interval(candidate, baseline)
    assert (low, high) == pytest.approx((2.0, 2.0))
    low, high = timing.ratio_interval(candidate, point_of_blocks(*(2 * disturbed[::-1])))
    assert low < 1.7
    assert high > 2.3


def test_the_ratios_interval_is_that_of_the_residuals():
    """d = a / mean(a) - b / mean(b): with a = 1 but for noise in b alone the half-width is b's own."""
    noise = np.tile([0.9, 1.0, 1.1], 10)
    low, high = timing.ratio_interval(point_of_blocks(*[1.0] * 30, calls=3), point_of_blocks(*noise, calls=1))
    half = timing.half_width(noise, 1.0)
    assert (low, high) == pytest.approx((3 * math.exp(-half), 3 * math.exp(half)))


def test_fewer_than_thirty_pairs_have_no_ratio_interval():
    few, enough = point_of_blocks(*[1.0] * 29), point_of_blocks(*[1.0] * 30)
    assert timing.ratio_interval(few, few) is None
    assert timing.ratio_interval(enough, enough) == (1.0, 1.0)
    assert timing.ratio_interval(enough, point_of_blocks(*[1.0] * 31)) is None


# the parts of a call


def point_of(*computes, blocks=2, batch=8):
    """Return a point of calls that computed for so many seconds, with copies of 2 and 4 ms and of 1 and 2 ms by turns."""
    parts = [Times(0.002 + 0.002 * (turn % 2), compute, 0.001 + 0.001 * (turn % 2)) for turn, compute in enumerate(computes)]
    each = len(parts) // blocks
    made = [Block(1.0, [0.5] * each, parts[at * each : (at + 1) * each]) for at in range(blocks)]
    return Point(batch, each, made)


def test_copies_are_the_means_of_both_ways():
    copies = point_of(0.1, 0.1).copies()
    assert copies.to_device_ms == pytest.approx(3.0)
    assert copies.to_host_ms == pytest.approx(1.5)


def test_the_way_there_and_the_way_back_are_not_mistaken_for_each_other():
    point = Point(1, 1, [Block(1.0, [1.0], [Times(to_device=0.25, compute=9.0, to_host=0.5)])])
    assert point.copies() == Copies(to_device_ms=250.0, to_host_ms=500.0)


def test_compute_leaves_the_copies_out():
    measured = point_of(0.25, 0.25, 0.25, 0.25).computed()
    assert (measured.images_per_second, measured.latency_ms.p50, measured.blocks, measured.calls) == (32.0, 250.0, 2, 4)


def test_each_block_computes_what_its_own_calls_do():
    measured = point_of(1.0, 2.0, 4.0, 8.0).computed()
    assert (measured.images_per_second, measured.latency_ms.mean) == (pytest.approx(16 * 2 / 15), 3750.0)


def test_without_parts_there_are_neither_copies_nor_execution_alone():
    point = point_of_blocks(1.0, 1.0)
    assert (point.copies(), point.computed()) == (None, None)


def test_cores_busy_is_cpu_time_over_wall_time():
    point = Point(1, 1, [Block(1.0, [1.0], cpu_seconds=1.5), Block(3.0, [3.0], cpu_seconds=4.5)])
    assert point.cores_busy() == 1.5


def test_a_run_that_tells_its_parts_has_one_for_each_counted_call():
    clock = Clock()
    told = Timed(clock, 1 / 64, parts=Times(0.25 / 64, 0.5 / 64, 0.25 / 64))
    points = [Point(8, 4), Point(8, 4)]
    timing.interleave([told, Timed(clock, 1 / 64)], points, QUICK, clock)
    assert all(len(block.parts) == len(block.calls) == 4 for block in points[0].blocks)
    assert points[0].measured().images_per_second == 512
    assert points[0].computed().images_per_second == 1024
    assert points[1].computed() is None


@pytest.mark.parametrize(("blocks", "known"), [(29, False), (30, True)])
def test_fewer_than_thirty_blocks_have_no_interval(blocks, known):
    assert (timing.measured(8, np.ones(blocks), [1.0] * blocks).interval_fps is not None) == known


def test_the_expected_time_is_bounded_on_both_sides():
    assert QUICK.expected_seconds(0.001, [1]) == 1.0 + 1.5  # warm-up and blocks
    assert QUICK.expected_seconds(0.01, [10]) == pytest.approx(1.0 + 3.0)
    assert QUICK.expected_seconds(10.0, [1, 10]) == 2 * (2.0 + 100.0)
    assert replace(QUICK, processes=5).expected_seconds(0.001, [1]) == 5 * 2.5


def test_the_profiles_are_those_of_the_specification():
    assert {
        "quick": Profile(30, 1.5, 1.5, warm_up_seconds=1.0, limit_seconds=20.0),
        "standard": Profile(30, 10.0, 30.0, warm_up_seconds=30.0, limit_seconds=240.0),
        "official": Profile(30, 12.0, 36.0, warm_up_seconds=30.0, limit_seconds=600.0, processes=5),  # 60 s and more in all
    } == timing.PROFILES
