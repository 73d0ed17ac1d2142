from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from helpers import noise
from helpers.noise import Seen, Watch

QUIET = Seen(sentinel_pct=0.0, clock_pct=0.0, throttled=False, others_pct=0.0)
STEADY = np.full(30, 0.1)


def alternating(by, count=30):
    """Return blocks 100 - by, 100 + by, 100 - by, ..."""
    return 100 + by * np.resize([-1.0, 1.0], count)


def reasons(blocks=STEADY, seen=QUIET):
    return noise.judge(np.asarray(blocks, float), seen).reasons


# what the blocks say


def test_steady_blocks_on_a_quiet_machine_are_stable():
    judged = noise.judge(STEADY, QUIET)
    assert (judged.verdict, judged.reasons, judged.outliers) == ("STABLE", [], 0)
    assert (judged.variation_pct, judged.iqr_pct, judged.windows_pct, judged.drift_pct) == pytest.approx((0, 0, 0, 0))


def test_the_variation_is_that_of_a_sample():
    """Fifteen at 97.54 and fifteen at 102.46: deviation 2.46 sqrt(30 / 29) = 2.502."""
    assert noise.judge(alternating(2.46), QUIET).variation_pct == pytest.approx(2.502, abs=5e-4)


def test_blocks_may_vary_by_2_5_percent():
    assert reasons(alternating(2.45)) == []
    assert reasons(alternating(2.46)) == ["blocks vary by 2.5 %"]
    assert noise.judge(alternating(2.46), QUIET).verdict == "NOISY"


def test_their_middle_half_may_span_less_than_10_percent():
    assert "the middle half of the blocks spans 10.0 %" in reasons(alternating(5))
    assert reasons(alternating(4.9)) == ["blocks vary by 5.0 %"]


def test_from_25_percent_on_they_are_unstable():
    assert noise.judge(alternating(12.5), QUIET).verdict == "UNSTABLE"
    assert noise.judge(alternating(12.4), QUIET).verdict == "NOISY"


def test_the_last_three_windows_may_differ_by_10_percent():
    assert "the last three windows differ by 10.1 %" in reasons([100] * 27 + [110.1] * 3)
    assert "the last three windows differ by 10.1 %" in reasons([100] * 21 + [110.1] * 3 + [100] * 6)
    assert not any("windows" in reason for reason in reasons([100] * 27 + [109.9] * 3))


def test_earlier_windows_are_another_matter():
    assert not any("windows" in reason for reason in reasons([130] * 21 + [100] * 9))


def test_windows_are_tenths_of_many_blocks():
    assert noise.judge(np.array([100.0] * 87 + [118.0] * 3), QUIET).windows_pct == pytest.approx(6)
    assert noise.judge(np.array([100.0] * 63 + [118.0] * 9 + [100.0] * 18), QUIET).windows_pct == pytest.approx(18)


def test_windows_of_few_blocks_are_of_three():
    assert noise.judge(np.array([100.0] * 18 + [118.0] * 2), QUIET).windows_pct == pytest.approx(12)


def test_the_last_third_may_be_2_percent_from_the_first():
    assert reasons([100] * 20 + [102.1] * 10) == ["blocks became slower by 2.1 %"]
    assert reasons([100] * 20 + [97.9] * 10) == ["blocks became faster by 2.1 %"]
    assert reasons([100] * 20 + [101.9] * 10) == []
    assert reasons([100] * 10 + [102.1] * 10 + [100] * 10) == []


def test_outliers_are_counted_above_a_modified_z_score_of_3_5():
    """Deviations from the median 100 are 1, so the score of x is 0.6745 (x - 100): 3.5 at 105.19."""
    blocks = np.array([99.0] * 15 + [101.0] * 14)
    assert noise.judge(np.append(blocks, 105.18), QUIET).outliers == 0
    assert noise.judge(np.append(blocks, 105.20), QUIET).outliers == 1
    low = np.array([101.0] * 15 + [99.0] * 14)
    assert noise.judge(np.append(low, 94.80), QUIET).outliers == 1


def test_blocks_too_few_for_three_windows_of_three_are_never_stable():
    assert reasons([0.1] * 8) == ["only 8 blocks to judge by"]
    assert reasons([0.1] * 9) == []


def test_one_block_has_figures_without_spread():
    judged = noise.judge(np.array([0.1]), QUIET)
    assert (judged.verdict, judged.variation_pct, judged.windows_pct, judged.drift_pct) == ("NOISY", 0, 0, 0)


# what the machine did


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Seen(sentinel_pct=3.0), None),
        (Seen(sentinel_pct=3.1), "the sentinel slowed by 3.1 %"),
        (Seen(sentinel_pct=-3.0), None),
        (Seen(sentinel_pct=-3.1), "the sentinel sped up by 3.1 %"),
        (Seen(clock_pct=-2.0), None),
        (Seen(clock_pct=-2.1), "the clock fell by 2.1 %"),
        (Seen(clock_pct=50.0), None),
        (Seen(throttled=False), None),
        (Seen(throttled=True), "the processor throttled itself because of heat"),
        (Seen(others_pct=5.0), None),
        (Seen(others_pct=5.1), "other processes took 5.1 % of the cores"),
        (Seen(), None),  # nothing is told
    ],
)
def test_each_reason_of_the_machine_has_its_threshold(seen, reason):
    judged = noise.judge(STEADY, seen)
    assert judged.reasons == ([reason] if reason else [])
    assert judged.verdict == ("NOISY" if reason else "STABLE")


def test_what_was_seen_is_in_the_record():
    judged = noise.judge(STEADY, Seen(sentinel_pct=1.0, clock_pct=-0.5, throttled=False, others_pct=2.0))
    assert (judged.sentinel_pct, judged.clock_pct, judged.throttled, judged.others_pct) == (1.0, -0.5, False, 2.0)


# watching


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)


def watched(**answers):
    """Return what is seen when each probe answers with the first of its two values before, and the second after."""
    usual = {"sentinel": (0.005, 0.005), "frequency": (None, None), "throttles": (None, None), "others": (0, 0), "clock": (0, 3)}
    with Watch(**{name: iter(values).__next__ for name, values in (usual | answers).items()}) as watch:
        pass
    return watch.seen


@pytest.mark.usefixtures("two_cores")
def test_a_quiet_machine_that_tells_little():
    assert watched() == Seen(sentinel_pct=0.0, clock_pct=None, throttled=None, others_pct=0.0)


def test_a_sentinel_that_took_longer_has_moved_upwards():
    assert watched(sentinel=(0.005, 0.0052)).sentinel_pct == pytest.approx(4)


def test_the_clock_is_compared_where_it_is_told_both_times():
    assert watched(frequency=(3_000_000, 2_850_000)).clock_pct == pytest.approx(-5)
    assert watched(frequency=(3_000_000, None)).clock_pct is None
    assert watched(frequency=(None, 3_000_000)).clock_pct is None


def test_throttling_is_a_count_that_grew():
    assert watched(throttles=(7, 8)).throttled is True
    assert watched(throttles=(7, 7)).throttled is False
    assert watched(throttles=(None, 7)).throttled is None


@pytest.mark.usefixtures("two_cores")
def test_others_are_a_share_of_all_cores():
    assert watched(others=(10, 10.6), clock=(100, 103)).others_pct == pytest.approx(10)


def test_the_cores_are_those_of_the_machine_not_of_the_quota(monkeypatch):
    monkeypatch.setattr(psutil, "cpu_count", lambda: 64)
    assert watched(others=(0, 64), clock=(0, 10)).others_pct == pytest.approx(10)


@pytest.mark.usefixtures("two_cores")
def test_ticks_that_come_out_below_zero_are_none():
    assert watched(others=(10, 9.99)).others_pct == 0


def test_the_frequency_is_read_when_the_sentinel_has_run_on_both_sides():
    log = []

    def probe(name):
        return lambda: log.append(name) or len(log)

    with Watch(probe("sentinel"), probe("frequency"), probe("throttles"), probe("others"), probe("clock")):
        log.append("work")
    before, after = log[: log.index("work")], log[log.index("work") + 1 :]
    assert before[:2] == after[:2] == ["sentinel", "frequency"]


def test_the_sentinel_is_the_fastest_of_eight():
    marks = iter(np.cumsum([0, 9, 1, 8, 1, 7, 1, 3, 1, 5, 1, 6, 1, 9, 1, 4]).tolist())
    assert noise.sentinel(lambda: next(marks)) == 3
    assert next(marks, None) is None


# what the system's files say


@pytest.fixture
def cpus(monkeypatch, tmp_path):
    monkeypatch.setattr(noise, "CPUS", tmp_path)

    def write(file, text):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)

    return write


def test_no_files_tell_nothing(cpus):
    assert noise.frequency_khz() is None
    assert noise.throttle_count() is None


def test_the_frequency_is_that_of_the_fastest_core(cpus):
    cpus("cpu0/cpufreq/scaling_cur_freq", "800000\n")
    cpus("cpu11/cpufreq/scaling_cur_freq", "3400000\n")
    cpus("cpufreq/scaling_cur_freq", "9900000\n")
    assert noise.frequency_khz() == 3_400_000


@pytest.mark.parametrize("text", ["<unknown>\n", "0\n"])
def test_a_frequency_that_is_unknown_is_none(cpus, text):
    cpus("cpu0/cpufreq/scaling_cur_freq", text)
    assert noise.frequency_khz() is None


def test_throttling_is_counted_over_cores_and_packages(cpus):
    cpus("cpu0/thermal_throttle/core_throttle_count", "1\n")
    cpus("cpu0/thermal_throttle/package_throttle_count", "2\n")
    cpus("cpu1/thermal_throttle/core_throttle_count", "4\n")
    cpus("cpu1/thermal_throttle/core_throttle_total_time_ms", "99\n")
    assert noise.throttle_count() == 7


def test_counts_of_zero_are_told(cpus):
    cpus("cpu0/thermal_throttle/core_throttle_count", "0\n")
    assert noise.throttle_count() == 0


# other processes

Spent = namedtuple("Spent", "user system children_user children_system iowait")


class Process:
    def __init__(self, *spent, children=(), ended=False):
        self.spent, self.kin, self.ended = Spent(*spent), children, ended

    def cpu_times(self):
        if self.ended:
            raise psutil.NoSuchProcess(1)
        return self.spent

    def children(self, recursive=False):
        return [*self.kin, *(grandchild for child in self.kin for grandchild in child.kin if recursive)]


def machine(monkeypatch, own, **times):
    usual = dict.fromkeys(("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"), 0.0) | times
    monkeypatch.setattr(psutil, "cpu_times", lambda: SimpleNamespace(_asdict=lambda: usual))
    monkeypatch.setattr(psutil, "Process", lambda: own)


def test_all_that_is_busy_counts_once_and_what_is_idle_does_not(monkeypatch):
    busy = {"user": 1.0, "nice": 2.0, "system": 4.0, "irq": 8.0, "softirq": 16.0, "steal": 32.0}
    machine(monkeypatch, Process(0, 0, 0, 0, 0), idle=500.0, iowait=600.0, guest=1.0, guest_nice=2.0, **busy)
    assert noise.others_seconds() == 63


def test_this_process_and_its_descendants_living_and_ended_are_not_others(monkeypatch):
    grandchild = Process(0.5, 0.25, 0, 0, 99)
    worker = Process(16, 8, 4, 2, 99, children=[grandchild])
    machine(monkeypatch, Process(128, 64, 32, 1, 99, children=[worker]), user=300.0)
    assert noise.others_seconds() == 300 - 225 - 30 - 0.75


def test_a_child_that_ends_while_it_is_asked_is_passed_over(monkeypatch):
    machine(monkeypatch, Process(10, 0, 0, 0, 0, children=[Process(5, 0, 0, 0, 0, ended=True)]), user=100.0)
    assert noise.others_seconds() == 90
