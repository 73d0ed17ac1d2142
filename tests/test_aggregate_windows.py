"""The arithmetic of a common window, on clocks that are set: nothing here runs."""

import math

import numpy as np
import pytest

from helpers import aggregate_windows
from helpers.aggregate_windows import Apart, Clock, Ran

TRUE = Clock(0.0, 0.0)


def ran(*marks, images=10):
    return Ran(np.array(marks, float), images)


def test_the_shortest_round_trip_tells_the_clock_and_half_of_it_the_error():
    found = aggregate_windows.clock([(0.0, 100.3, 0.4), (1.0, 101.05, 1.1), (2.0, 102.9, 3.0)])
    assert (found.offset, found.error) == pytest.approx((100.0, 0.05))


def test_whatever_a_message_takes_either_way_the_clock_is_off_by_no_more_than_its_error():
    random = np.random.default_rng(0)
    for _ in range(100):
        there, back = random.uniform(0, 1, 2)
        found = aggregate_windows.clock([(5.0, 5.0 + there + 1000.0, 5.0 + there + back)])
        assert abs(found.offset - 1000.0) <= found.error


def test_each_piece_of_a_window_has_its_rate():
    found = aggregate_windows.rates([ran(0, 1, 2, 4, 6)], [TRUE], 0.0, 6.0, 3)  # 10 images a second, then 5
    assert found.tolist() == [10.0, 5.0, 5.0]


def test_a_block_across_an_edge_counts_with_the_share_that_lies_within():
    assert aggregate_windows.rates([ran(0, 4, 8)], [TRUE], 1.0, 5.0, 2).tolist() == [2.5, 2.5]
    assert aggregate_windows.rates([ran(0, 2, 8)], [TRUE], 1.0, 5.0, 1).tolist() == [(5 + 5) / 4]


def test_devices_add_up_in_the_same_moments_whatever_their_clocks_say():
    steady, slow_then_fast = ran(100, 101, 102, 103, 104, 105), ran(-7, -3, -2)
    found = aggregate_windows.rates([steady, slow_then_fast], [Clock(100.0, 0.0), Clock(-7.0, 0.0)], 0.0, 5.0, 5)
    assert found.tolist() == pytest.approx([12.5, 12.5, 12.5, 12.5, 20.0])


@pytest.mark.parametrize(
    ("marks", "error"),
    [
        ([0.5, 2, 9], 0.0),  # began too late
        ([0, 2, 4.5], 0.0),  # ended too early
        ([0, 2, 5.05], 0.1),  # by its clock's error perhaps too early
        ([-0.05, 2, 9], 0.1),
    ],
)
def test_a_device_that_does_not_fill_the_window_is_named(marks, error):
    with pytest.raises(Apart) as raised:
        aggregate_windows.rates([ran(-1, 9), ran(*marks)], [TRUE, Clock(0.0, error)], 0.0, 5.0, 1)
    assert raised.value.args == (1,)


def test_edges_bias_nothing_however_long_a_call_is():
    """Calls of random length, of which a window holds three: the mean over many windows is the true rate, that of whole calls is not."""
    random = np.random.default_rng(1)
    found, whole = [], []
    for _ in range(4000):
        offset = random.uniform(-1e4, 1e4)
        marks = offset - 20.0 + np.concatenate([[0.0], np.cumsum(random.gamma(2.0, 0.5, 60))])  # one second a call on the average
        ours = marks - offset
        found.append(aggregate_windows.rates([Ran(marks, 10)], [Clock(offset, 0.0)], 0.0, 3.0, 1)[0])
        inside = ours[(ours >= 0.0) & (ours <= 3.0)]
        whole.append(10 * (len(inside) - 1) / 3.0)
    assert np.mean(found) == pytest.approx(10.0, rel=0.02)
    assert np.mean(whole) < 8.0


def test_windows_have_a_mean_with_its_interval():
    """Means of windows 98, 102, 100, 98, 102, 100: Student's t of six values, 2.5706 * sqrt(16 / 5) / sqrt(6)."""
    windows, within = np.array([[98.0], [102.0], [100.0]] * 2), np.array([-1.0, 1.0, 0.0, 2.0, -2.0])
    found = aggregate_windows.measured(windows + within)
    half = 2.5706 * math.sqrt(16 / 5) / math.sqrt(6)
    assert found.images_per_second == pytest.approx(100.0)
    assert found.interval_fps == pytest.approx((100 - half, 100 + half), rel=1e-4)
    assert (found.blocks, found.calls, found.latency_ms) == (30, None, None)


def test_windows_that_tell_nothing_have_no_interval():
    assert aggregate_windows.measured(np.array([[1.0, 1.0], [100.0, 100.0]])).interval_fps is None


def test_efficiency_is_over_what_each_does_alone():
    together, alone = np.full((6, 5), 180.0), np.tile([[199.0], [201.0]], (3, 5))
    ratio, (low, high) = aggregate_windows.efficiency(together, alone)
    assert ratio == pytest.approx(0.9)
    assert low < 0.9 < high
    assert high / low < 1.02


def test_drift_that_both_met_falls_out_of_the_efficiency():
    drift = np.linspace(1.0, 2.0, 30).reshape(6, 5)
    ratio, (low, high) = aggregate_windows.efficiency(180 * drift, 200 * drift)
    assert (ratio, low, high) == pytest.approx((0.9, 0.9, 0.9))


@pytest.mark.parametrize("between", [0.0, 0.01, 0.03])
def test_intervals_hold_the_truth_as_often_as_they_say_when_windows_differ_too(between):
    """Of each device alone and of two together, pieces vary by 1 %, and windows by as much as is given."""
    random = np.random.default_rng(2)

    def windows(mean):
        return mean * (1 + between * random.normal(size=(6, 1)) + 0.01 * random.normal(size=(6, 5)))

    held = np.zeros(2)
    for _ in range(1000):
        together = windows(180.0)
        _, (low, high) = aggregate_windows.efficiency(together, windows(100.0) + windows(100.0))
        least, most = aggregate_windows.measured(together).interval_fps
        held += low <= 0.9 <= high, least <= 180.0 <= most
    assert held / 1000 == pytest.approx([0.95, 0.95], abs=0.02)
