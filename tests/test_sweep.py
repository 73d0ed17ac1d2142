import os
from types import SimpleNamespace

import pytest

from helpers import noise, params, progress, sweep, timing
from helpers.errors import UserError
from helpers.host_lock import HostLock
from helpers.records import Measured, Refereed, Row
from helpers.worker import Failed
from tests import workers
from tests.workers import Here, Picky

FIGURE = Measured(images_per_second=10.0, interval_fps=None, latency_ms=None, blocks=1, calls=None)
FAST = timing.Profile(blocks=30, seconds=0.0, longest_seconds=0.0, warm_up_seconds=0.0, limit_seconds=5.0, block_seconds=1e-6)


@pytest.fixture
def swept(tmp_path, monkeypatch):
    """Return a function that sweeps over backends in this process, the candidate first, and returns what was measured."""
    monkeypatch.setattr(sweep, "Worker", Here)
    monkeypatch.setattr(Here, "hired", [])
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
    """A watch that always sees the same."""

    seen = noise.Seen(others_pct=50.0)

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
    assert all(row.regions["compute"].blocks >= 30 for series in found.series for row in series.rows)
    assert all(one.closed for one in Here.hired)


def test_a_row_tells_how_it_was_measured(swept):
    candidate, baseline = swept(Picky(), Picky()).series
    row = candidate.rows[0]
    assert row.warm_up.calls >= 1
    assert row.first_call_ms > 0
    assert "other processes took 50.0 % of the cores" in row.noise.reasons
    assert (set(row.regions), set(baseline.rows[0].regions)) == ({"compute", "host"}, {"compute"})
    assert row.ratio_interval[0] < row.ratio_interval[1]
    assert baseline.rows[0].ratio_interval is None
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
    assert baseline.rows[1].regions["compute"].blocks >= 30


def test_a_baseline_that_fails_leaves_the_candidate_its_figure(swept):
    candidate, baseline = swept(Picky(), Picky(fails_at=2)).series
    assert baseline.rows[0].error == "out of device memory"
    assert candidate.rows[0].regions["compute"].images_per_second > 0
    assert candidate.rows[0].ratio_interval is None


class Dying(Here):
    """Takes its process with it when a call fails."""

    def _ask(self, *arguments):
        try:
            return super()._ask(*arguments)
        except Failed:
            self.alive = False
            raise


def test_a_worker_that_died_is_replaced_at_the_next_batch_size(swept, monkeypatch):
    monkeypatch.setattr(sweep, "Worker", Dying)
    dies, fresh = Picky(fails_at=4), Picky()
    [series] = swept(dies, fresh, baseline="none", seed=0).series  # the order is 4, 2
    assert [row.error for row in series.rows] == [None, "out of device memory"]
    assert [one.closed for one in Here.hired] == [True, True]


def test_a_worker_that_can_not_be_replaced_has_its_error_in_each_row(swept, monkeypatch):
    monkeypatch.setattr(sweep, "Worker", Dying)
    hired = []

    class Once(Dying):
        def __init__(self, *arguments):
            hired.append(1)
            if len(hired) == 3:  # the candidate's second
                raise UserError("no memory to load it")  # so runtimes that load say it
            super().__init__(*arguments)

    monkeypatch.setattr(sweep, "Worker", Once)
    candidate, baseline = swept(Picky(fails_at=4), Picky(), seed=0).series
    assert [row.error for row in candidate.rows] == ["no memory to load it", "out of device memory"]
    assert [row.error for row in baseline.rows] == [None, None]


def test_one_that_can_not_be_loaded_at_all_is_the_users_to_correct(swept, monkeypatch):
    def refuse(*_):
        raise Failed("no memory to load it")

    monkeypatch.setattr(sweep, "Worker", refuse)
    with pytest.raises(UserError, match=r"^backend null can't be loaded: no memory to load it\.$"):
        swept(Picky())


def test_what_fails_alone_leaves_the_point_its_figure(swept):
    class NoHost(Picky):
        def __call__(self, batch):
            if batch.base is None:  # assembled for this call, not taken from the pool
                raise OSError("no host")
            return super().__call__(batch)

    [series] = swept(NoHost(), batch_sizes=[3], baseline="none").series
    [row] = series.rows
    assert row.error is None
    assert row.regions["compute"].blocks >= 30
    assert row.remark == "energy or host time could not be measured: no host"


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
            if len(batch) == 4:
                raise KeyboardInterrupt
            return super().__call__(batch)

    with pytest.raises(KeyboardInterrupt):
        swept(Interrupted(), seed=3)  # the order is 2, 4
    [kept] = (tmp_path / "artefacts" / "sweep_blocks.jsonl.partial").read_text().splitlines()
    assert all(one.killed for one in Here.hired)
    again = Picky(fails_at=2)
    [series] = swept(again, seed=3).series
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


# the referee


class Refereeing:
    def __init__(self, requests=1):
        self.loaded = SimpleNamespace(region="compute", requests=requests, recorded=None)
        self.worker, self.log, self.alive = self, [], True

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
    one = Refereeing(requests)
    settings = SimpleNamespace(referee=asked, profile="quick")
    found, remark = sweep._referee(one, [*rows(b1=5.0, b8=20.0, b64=15.0), Row(batch=128, regions={}, error="x")], settings)
    assert one.log == runs
    assert (len(found), remark) == (len(runs), "")


def test_a_referee_that_fails_leaves_the_sweep_its_figures():
    class Silent(Refereeing):
        def referee(self, *_):
            raise Failed("INVALID")

    settings = SimpleNamespace(referee=True, profile="quick")
    assert sweep._referee(Silent(), rows(b1=5.0), settings) == ([], "The referee has no figure: INVALID")


def test_a_referee_drives_a_fresh_process_where_the_last_has_died():
    one = Refereeing()
    one.alive, one.renewed = False, []
    one.renew = lambda: one.renewed.append(1)
    sweep._referee(one, rows(b1=5.0), SimpleNamespace(referee=True, profile="quick"))
    assert one.renewed == [1]


def test_a_referee_has_nothing_to_say_of_what_was_measured_elsewhere():
    one = Refereeing()
    one.loaded.recorded = "something"
    settings = SimpleNamespace(referee=True, profile="quick")
    assert sweep._referee(one, rows(b1=5.0), settings)[1] == "The referee was asked for, but nothing was measured here."


def test_the_sweep_asks_the_referee(swept, monkeypatch):
    monkeypatch.setattr(sweep.loadgen, "module", lambda: None)
    monkeypatch.setattr(sweep, "_referee", lambda candidate, measured, settings: ([], f"{candidate.role} {len(measured)}"))
    assert swept(Picky(), referee=True).referee_remark == "candidate 2"


def test_a_missing_referee_is_missed_before_anything_is_measured(swept, monkeypatch):
    def missing():
        raise UserError("referee needs MLPerf LoadGen")

    monkeypatch.setattr(sweep.loadgen, "module", missing)
    with pytest.raises(UserError, match="referee needs MLPerf LoadGen"):
        swept(Picky(), referee=True)
    assert Here.hired == []


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


# several devices at once, and one sweep at a time


def test_while_one_device_is_measured_its_host_is_kept_and_free_when_several_are(swept, monkeypatch):
    seen = []

    def holder():
        lock = HostLock("another")
        said = lock.take(shared=True)
        lock.release()
        return said

    class Watching(Picky):
        def __call__(self, batch):
            seen.append(holder())
            return super().__call__(batch)

    monkeypatch.setattr(sweep.aggregate, "measure", lambda step, data, model, batch: seen.append((holder(), batch, Here.hired[0].closed)))
    assert swept(Watching()).aggregate is None
    assert all(said.endswith(f", process {os.getpid()}") for said in seen[:-1])
    assert seen[-1][0] == ""
    assert seen[-1][1] in (2, 4)
    assert seen[-1][2]


def test_several_are_measured_at_the_batch_size_that_is_fastest_for_one(swept, monkeypatch):
    monkeypatch.setattr(sweep.aggregate, "measure", lambda step, data, model, batch: batch)
    assert swept(Picky(fails_at=4)).aggregate == 2
    assert swept(Picky(fails_at="any")).aggregate is None


def test_what_an_interrupt_of_several_leaves_is_the_sweep_of_one(swept, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep.aggregate, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        swept(Picky())
    assert len((tmp_path / "artefacts" / "sweep_blocks.jsonl.partial").read_text().splitlines()) == 2


def test_a_sweep_of_recordings_waits_for_nobody(tmp_path, capsys):
    held = HostLock("another")
    held.take()
    settings = params.BatchSweep.model_construct(backend="replay", baseline="none", options=[], threads=0)
    with sweep._alone(settings, SimpleNamespace(folder=tmp_path)):
        held.release()
    assert capsys.readouterr().out == ""
