from types import SimpleNamespace

import numpy as np
import pytest

from helpers import energy, noise, params, progress, sweep, timing
from helpers.records import Energy, Measured, Refereed, Row, Telemetry
from helpers.timing import Block, Point
from tests import workers
from tests.workers import Here, Picky

FIGURE = Measured(images_per_second=10.0, interval_fps=None, latency_ms=None, blocks=1, calls=None)
FAST = timing.Profile(blocks=3, seconds=0.0, longest_seconds=0.0, warm_up_seconds=0.0, limit_seconds=5.0, block_seconds=0.0)


@pytest.fixture
def swept(tmp_path, monkeypatch):
    """Return a function that sweeps over backends in this process, the candidate first, and returns what was measured."""
    monkeypatch.setattr(sweep, "Worker", Here)
    monkeypatch.setitem(timing.PROFILES, "quick", FAST)
    monkeypatch.setattr(noise, "Watch", Peace)
    (tmp_path / "artefacts").mkdir()
    data, model = workers.records(tmp_path)

    def run(*loaded, **values):
        values = {"batch_sizes": [4, 2], "backend": "null", "baseline": "openvino" if len(loaded) > 1 else "none", **values}
        left = iter(loaded)
        monkeypatch.setattr(workers.worker.backends, "load", lambda *_: next(left))
        settings = params.check(params.BatchSweep, run=str(tmp_path), **values)
        step = SimpleNamespace(settings=settings, folder=tmp_path, artefacts=tmp_path / "artefacts", fingerprint="f")
        return sweep.measure(step, data, model)

    return run


class Peace:
    """A watch that sees nothing."""

    seen = noise.Seen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_every_line_has_a_row_for_each_batch_size(swept):
    found = swept(Picky(name="a"), Picky(name="b"), Picky(name="c"), options=[{"backend": "null"}])
    assert [(series.name, series.role, series.kind) for series in found.series] == [
        ("a fp32", "candidate", "measured"),
        ("b fp32", "baseline", "measured"),
        ("c fp32", "option", "measured"),
    ]
    assert [[row.batch for row in series.rows] for series in found.series] == [[2, 4]] * 3
    assert all(row.regions["compute"].blocks >= 3 for series in found.series for row in series.rows)


def test_a_row_tells_how_it_was_measured(swept):
    [row, _] = swept(Picky()).series[0].rows
    assert row.warm_up.calls >= 1
    assert row.first_call_ms > 0
    assert "only 3 blocks to judge by" in row.noise.reasons
    assert set(row.regions) == {"compute", "host"}
    assert (row.energy, row.no_energy) == (None, "no counter is known for none")


def test_the_blocks_are_kept_in_a_file_that_the_record_vouches_for(swept, tmp_path):
    found = swept(Picky())
    assert found.blocks_file == "artefacts/sweep_blocks.jsonl"
    assert len((tmp_path / found.blocks_file).read_text().splitlines()) == 2
    assert found.blocks_sha256 == sweep.files.sha256(tmp_path / found.blocks_file)


def test_a_batch_size_that_fails_is_recorded_and_the_others_go_on(swept):
    candidate, baseline = swept(Picky(fails_at=4), Picky()).series
    assert [(row.batch, row.error) for row in candidate.rows] == [(2, None), (4, "out of device memory")]
    assert [(row.batch, row.error) for row in baseline.rows] == [(2, None), (4, None)]
    assert candidate.rows[1].regions == {}
    assert baseline.rows[1].regions["compute"].blocks >= 3


def test_a_baseline_that_fails_leaves_the_candidate_its_figure(swept):
    candidate, baseline = swept(Picky(), Picky(fails_at=2)).series
    assert baseline.rows[0].error == "out of device memory"
    assert candidate.rows[0].regions["compute"].images_per_second > 0
    assert candidate.rows[0].ratio_interval is None


def test_a_worker_that_died_is_replaced(swept, monkeypatch):
    dies = Picky(fails_at=4)
    real = Here._ask

    def dying(self, function, method, *arguments):
        try:
            return real(self, function, method, *arguments)
        except sweep.Failed:
            self.alive = False
            raise

    monkeypatch.setattr(Here, "_ask", dying)
    fresh = Picky()
    [series] = swept(dies, fresh, baseline="none", batch_sizes=[4, 2], seed=1).series
    by_batch = {row.batch: row for row in series.rows}
    assert by_batch[4].error == "out of device memory"
    assert by_batch[2].regions["compute"].blocks >= 3


def test_a_baseline_that_was_never_compared_gets_no_figure_and_a_reason(swept):
    candidate, baseline = swept(Picky(), Picky(refused="it was not compared with the original")).series
    assert candidate.rows[0].regions["compute"].images_per_second > 0
    assert (baseline.rows[0].regions, baseline.rows[0].error) == ({}, "refused: it was not compared with the original")


def test_a_refused_candidate_leaves_nobody_a_figure(swept):
    candidate, baseline = swept(Picky(refused="it differs"), Picky()).series
    assert candidate.rows[0].regions == baseline.rows[0].regions == {}
    assert [row.error for row in baseline.rows] == ["refused: it differs"] * 2


def test_an_interrupted_sweep_measures_only_what_is_left(swept, tmp_path):
    class Interrupted(Picky):
        def __call__(self, batch):
            if len(batch) == 2:
                raise KeyboardInterrupt
            return super().__call__(batch)

    with pytest.raises(KeyboardInterrupt):
        swept(Interrupted(), seed=0)  # the order is 4, 2
    [kept] = (tmp_path / "artefacts" / "sweep_blocks.jsonl.partial").read_text().splitlines()
    again = Picky(fails_at=4)
    [series] = swept(again, seed=0).series
    assert [row.error for row in series.rows] == [None, None]
    assert kept in (tmp_path / "artefacts" / "sweep_blocks.jsonl").read_text()


def test_the_order_is_drawn_from_the_seed():
    def order(seed):
        settings = SimpleNamespace(seed=seed, batch_sizes=[1, 2, 4, 8, 16, 32], profile="quick")
        loaded = SimpleNamespace(refusal=None, recorded=None, start=None)
        return list(sweep._points([SimpleNamespace(loaded=loaded)], [], settings))

    assert sorted(order(0)) == [1, 2, 4, 8, 16, 32]
    assert order(0) == order(0)
    assert order(0) != order(1)


class Timed:
    """As much of a contender as takes turns: each block takes a second, and it counts its processes."""

    def __init__(self, role, log):
        self.role, self.log = role, log
        self.loaded = SimpleNamespace(start=sweep.Start(1.0, None, 0.1, 0.01), region="compute")
        self.worker = self

    def renew(self):
        self.log.append(f"renew {self.role}")

    def begin(self, *_):
        self.log.append(f"begin {self.role}")
        return sweep.Ready(None, 1, None)

    def block(self, calls, lead):
        return Block(1.0, [1.0])

    def end(self):
        return sweep.Used(None, None, None)


def test_official_measures_each_point_in_fresh_processes():
    log = []
    contenders = [Timed("a", log), Timed("b", log)]
    profile = timing.Profile(30, 12.0, 36.0, 30.0, 600.0, processes=2)
    turns = sweep._take_turns(contenders, 8, profile)
    assert log == ["renew a", "begin a", "renew b", "begin b"] * 2
    point = turns[contenders[0]].point
    assert (point.starts, len(point.blocks)) == ([0, 30], 60)


def test_in_one_process_nothing_is_renewed():
    log = []
    sweep._take_turns([Timed("a", log)], 8, timing.Profile(3, 0.0, 0.0, 1.0, 60.0))
    assert log == ["begin a"]


def point(blocks):
    return Point(1, 1, [Block(1.0, [1.0])] * blocks)


@pytest.mark.parametrize(("blocks", "remark"), [(3, None), (2, "time limit: 2 of 3 blocks")])
def test_too_few_blocks_are_remarked(blocks, remark):
    turn = sweep.Turn(point(blocks), sweep.Ready(None, 1, None), None, sweep.Used(5, 6, None))
    row = sweep._row(Timed("candidate", []), turn, None, FAST, noise.judge(np.ones(9), noise.Seen()))
    assert (row.remark, row.peak_memory_bytes, row.peak_device_memory_bytes) == (remark, 5, 6)


def test_the_paired_interval_is_of_whole_calls_beside_the_baseline():
    turn = sweep.Turn(point(30), sweep.Ready(None, 1, None), None, sweep.Used(None, None, None))
    seen = noise.judge(np.ones(9), noise.Seen())
    assert sweep._row(Timed("candidate", []), turn, point(30), FAST, seen).ratio_interval == (1.0, 1.0)
    assert sweep._row(Timed("baseline", []), turn, turn.point, FAST, seen).ratio_interval is None
    assert sweep._row(Timed("candidate", []), turn, None, FAST, seen).ratio_interval is None
    with_parts = Point(1, 1, [Block(1.0, [1.0], [timing.Times(0.1, 0.8, 0.1)])] * 30)
    assert sweep._row(Timed("candidate", []), turn, with_parts, FAST, seen).ratio_interval is None


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
        return sweep.Used(None, None, told)


def test_energy_is_measured_alone_where_there_is_a_counter(monkeypatch):
    one = Powered()
    monkeypatch.setattr(energy, "find", lambda provider: provider)
    monkeypatch.setattr(energy, "measure", lambda counter, run, idle, seconds: (run(seconds), ENERGY)[1])
    assert sweep._energy(one, 4, timing.PROFILES["quick"]) == (ENERGY, None)
    assert one.log == ["begin 4", "run 1.5", "end"]


def test_without_a_counter_nothing_runs(monkeypatch):
    def none(provider):
        raise energy.NoEnergy("no counter")

    one = Powered()
    monkeypatch.setattr(energy, "find", none)
    assert sweep._energy(one, 4, timing.PROFILES["quick"]) == (None, "no counter")
    assert one.log == []


def test_a_device_that_tells_its_power_slowly_is_asked_in_official_only():
    one = Powered(has_sampler=True)
    found, why = sweep._energy(one, 4, timing.PROFILES["standard"])
    assert (found, one.log) == (None, [])
    assert "only profile official" in why
    found, why = sweep._energy(one, 4, timing.PROFILES["official"])
    assert one.log == ["idle 25", "begin 4", "run 25", "end"]
    assert (found.joules_per_image, found.idle_w, why) == (pytest.approx(20 * 25 / 100), 10.0, None)


# the referee


class Refereeing:
    def __init__(self, requests=1):
        self.loaded = SimpleNamespace(region="compute", requests=requests)
        self.worker, self.log = self, []

    def referee(self, scenario, batch, seconds, pairs):
        self.log.append((scenario, batch))
        pct = {"disagreement_pct": 0.0, "interval_pct": None, "latency_p90_ms": None}
        return Refereed(scenario=scenario, batch=batch, images_per_second=1.0, ours=1.0, pairs=pairs, **pct)


def rows(**fps):
    return [
        Row(batch=int(batch[1:]), regions={"compute": FIGURE.model_copy(update={"images_per_second": one})}) for batch, one in fps.items()
    ]


@pytest.mark.parametrize(
    ("requests", "asked", "runs"),
    [
        (1, True, [("SingleStream", 1), ("Offline", 8)]),
        (2, True, [("Offline", 8)]),  # SingleStream is one call at a time
        (1, False, []),
    ],
)
def test_the_referee_drives_the_smallest_and_the_fastest_batch_size(requests, asked, runs):
    pytest.importorskip("mlperf_loadgen")
    one = Refereeing(requests)
    settings = SimpleNamespace(referee=asked, profile="quick")
    found = sweep._referee(one, [*rows(b1=5.0, b8=20.0, b64=15.0), Row(batch=128, regions={}, error="x")], settings)
    assert one.log == runs
    assert len(found) == len(runs)


def test_what_takes_longer_than_a_minute_is_announced(capsys):
    progress.announce("comparing", 59)
    assert capsys.readouterr().out == ""
    progress.announce("comparing", 150)
    assert capsys.readouterr().out == "comparing: about 2 minutes\n"


def test_recorded_times_without_answers_are_tied_to_no_model():
    known = [Row(batch=batch, regions={"compute": FIGURE}) for batch in (1, 8)] + [Row(batch=16, regions={})]
    recorded = SimpleNamespace(recorded=True, identity="recorded fp16 on x")
    model = SimpleNamespace(checks=[SimpleNamespace(candidate="recorded fp16 on x", batch=8)])
    assert sweep._unproven(recorded, model, known) == "no answers were recorded at batch size 1 to compare"
    assert sweep._unproven(recorded, model, known[1:]) == ""
    assert sweep._unproven(SimpleNamespace(recorded=None), model, known) == ""
