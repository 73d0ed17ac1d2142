from types import SimpleNamespace

import pytest

from helpers import contest, energy, noise, timing
from helpers.contest import Turn
from helpers.records import Energy, Telemetry
from helpers.timing import Block, Point

FAST = timing.Profile(blocks=3, seconds=0.0, longest_seconds=0.0, warm_up_seconds=0.0, limit_seconds=5.0, block_seconds=1e-6)


class Timed:
    """As much of a contender as takes turns: each block takes a second, and it counts its processes."""

    def __init__(self, role, log):
        self.role, self.log, self.alive = role, log, True
        self.loaded = SimpleNamespace(start=contest.Start(1.0, 0.1, 0.01), region="compute")
        self.worker = self

    def renew(self):
        self.log.append(f"renew {self.role}")

    def begin(self, *how, alone):
        self.log.append(f"begin {self.role} {' '.join(map(str, how))} {alone}")
        return contest.Ready(None, 1, None, None)

    def block(self, calls, lead):
        return Block(1.0, [1.0])

    def end(self):
        return contest.Used(None, None, None)


def test_official_measures_each_point_in_fresh_processes_which_are_there_before_any_warms_up():
    log = []
    contenders = [Timed("a", log), Timed("b", log)]
    profile = timing.Profile(30, 12.0, 36.0, 30.0, 600.0, processes=2)
    turns = contest._take_turns(contenders, 8, profile)
    assert log == ["renew a", "renew b", "begin a 8 30.0 0.05 False", "begin b 8 30.0 0.05 False"] * 2
    turn = turns[contenders[0]]
    assert (turn.point.starts, len(turn.point.blocks)) == ([0, 30], 60)
    assert (len(turn.used), len(turn.seen)) == (2, 2)


def test_in_one_process_only_the_dead_are_renewed():
    log = []
    alive, dead = Timed("a", log), Timed("b", log)
    dead.alive = False
    contest._take_turns([alive, dead], 8, FAST)
    assert log[0] == "renew b"
    assert "renew a" not in log


def test_one_contender_is_alone():
    log = []
    contest._take_turns([Timed("a", log)], 8, FAST)
    assert log == ["begin a 8 0.0 1e-06 True"]


def point(blocks):
    return Point(1, 1, [Block(1.0, [1.0])] * blocks)


def turn_of(made, **values):
    return Turn(made, contest.Ready(None, 1, None, None), None, seen=[noise.Seen()] * len(made.starts), **values)


def test_too_few_blocks_of_any_process_are_remarked():
    def remark(*blocks, **values):
        made = point(sum(blocks))
        made.starts = [sum(blocks[:at]) for at in range(len(blocks))]
        return contest._row(Timed("candidate", []), turn_of(made, **values), None, FAST).remark

    assert remark(3) is None
    assert remark(2) == "time limit: 2 of 3 blocks"
    assert remark(3, 2, 3) == "time limit: 2 of 3 blocks"
    assert remark(3, 3, remark="no host") == "no host"


def test_the_most_memory_of_all_processes_counts():
    used = [contest.Used(5, None, None), contest.Used(7, 6, None), contest.Used(None, 4, None)]
    row = contest._row(Timed("candidate", []), turn_of(point(3), used=used), None, FAST)
    assert (row.peak_memory_bytes, row.peak_device_memory_bytes) == (7, 6)


def test_the_noisiest_process_gives_the_verdict():
    made = Point(1, 1, [Block(each, [each]) for each in [1.0] * 10 + [1.0, 2.0] * 5], [0, 10])
    row = contest._row(Timed("candidate", []), turn_of(made), None, FAST)
    assert row.noise.verdict == "UNSTABLE"
    steady = Point(1, 1, [Block(each, [each]) for each in [1.0] * 10 + [1.5] * 10], [0, 10])
    assert (
        contest._row(Timed("candidate", []), turn_of(steady), None, FAST).noise.verdict == "STABLE"
    )  # they differ, and the interval says so


def test_the_paired_interval_is_of_whole_calls_beside_the_baseline():
    turn = turn_of(point(30))
    assert contest._row(Timed("candidate", []), turn, point(30), FAST).ratio_interval == (1.0, 1.0)
    assert contest._row(Timed("baseline", []), turn, turn.point, FAST).ratio_interval is None
    assert contest._row(Timed("candidate", []), turn, None, FAST).ratio_interval is None
    with_parts = Point(1, 1, [Block(1.0, [1.0], [timing.Times(0.1, 0.8, 0.1)])] * 30)
    assert contest._row(Timed("candidate", []), turn, with_parts, FAST).ratio_interval is None


def test_with_several_in_flight_there_is_no_host_time(monkeypatch):
    asked = []
    monkeypatch.setattr(contest, "_energy", lambda *_: (None, "no counter"))
    monkeypatch.setattr(contest, "_host", lambda *_: asked.append(1))
    one = Timed("candidate", [])
    one.loaded.requests = 2
    contest._go_alone(one, turn_of(point(3)), 8, FAST)
    assert asked == []
    one.loaded.requests = 1
    contest._go_alone(one, turn_of(point(3)), 8, FAST)
    assert asked == [1]


# energy


ENERGY = Energy(counter="c", joules_per_image=0.5, idle_w=1.0, mean_w=3.0, seconds=2.0, images=8, interval_seconds=0.001)


class Powered:
    """A contender whose device may tell its power."""

    def __init__(self, has_sampler=False):
        self.loaded = SimpleNamespace(provider="cpu", has_sampler=has_sampler)
        self.worker, self.log = self, []

    def begin(self, batch, *_):
        self.log.append(f"begin {batch}")

    def run_for(self, seconds):
        self.log.append(f"run {seconds:g}")
        return 100, seconds

    def idle_for(self, seconds):
        self.log.append(f"idle {seconds:g}")
        return Telemetry.model_construct(power_w=10.0, power_of="chip", samples=25, interval_seconds=1.0)

    def end(self):
        self.log.append("end")
        told = Telemetry.model_construct(power_w=30.0, power_of="chip", samples=25, interval_seconds=1.0)
        return contest.Used(None, None, told)


def test_energy_is_measured_alone_where_there_is_a_counter(monkeypatch):
    one = Powered()
    monkeypatch.setattr(energy, "find", lambda provider: provider)
    monkeypatch.setattr(energy, "measure", lambda counter, run, idle, seconds: (run(seconds), ENERGY)[1])
    assert contest._energy(one, 4, timing.PROFILES["quick"]) == (ENERGY, None)
    assert one.log == ["begin 4", "run 1.5", "end"]


def test_without_a_counter_nothing_runs(monkeypatch):
    def none(provider):
        raise energy.NoEnergy("no counter")

    one = Powered()
    monkeypatch.setattr(energy, "find", none)
    assert contest._energy(one, 4, timing.PROFILES["quick"]) == (None, "no counter")
    assert one.log == []


def test_a_device_that_tells_its_power_slowly_is_asked_in_official_only():
    one = Powered(has_sampler=True)
    found, why = contest._energy(one, 4, timing.PROFILES["standard"])
    assert (found, one.log) == (None, [])
    assert "only profile official" in why
    found, why = contest._energy(one, 4, timing.PROFILES["official"])
    assert one.log == ["idle 25", "begin 4", "run 25", "end"]
    assert (found.joules_per_image, found.idle_w, why) == (pytest.approx(20 * 25 / 100), 10.0, None)
