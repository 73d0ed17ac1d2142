"""Several devices at once: on a Ray of this machine with devices that sleep, and, without Ray, what the driver makes of answers."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from helpers import aggregate, aggregate_team, cluster, params, sweep, timing
from helpers.aggregate_team import Lost, Team
from helpers.aggregate_windows import Ran
from helpers.crew import Answer
from helpers.errors import ParameterError
from helpers.host_lock import HostLock
from helpers.params import BatchSweep, Workers
from tests import aggregate_run, ray_cluster
from tests.aggregate_faults import Misbehaving

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[ray]'")


# without Ray


class Played:
    """A worker whose answers are given; `late` times it begins too late, `dies_at` is the number of the run that it does not survive."""

    def __init__(self, number, rate=100.0, late=0, dies_at=None, device="d"):
        self.number, self.rate, self.late, self.dies_at, self.doing, self.killed, self.runs = number, rate, late, dies_at, None, False, 0
        described = {"device": device, "backend": "b", "simulated": False}
        self.loaded = SimpleNamespace(host="h", place=f"process {number}", described=described)

    def __str__(self):
        return f"worker {self.number}"

    def ask(self, doing, method, *arguments):
        self.doing, self.answer = doing, getattr(self, method)(*arguments)

    def now(self):
        return Answer(aggregate_team.time.perf_counter())

    def run(self, begin, end):
        self.runs += 1
        if self.runs == self.dies_at:
            return Answer(error="its process or its host died", lost="died")
        began = begin if self.late < self.runs else end
        return Answer(Ran(np.arange(began, end + 1, 0.05), self.rate * 0.05))

    def kill(self):
        self.killed = True


@pytest.fixture
def taken(monkeypatch):
    """Return a function that takes turns with workers, 1, 2 and 4 at once, and returns the team and the record."""

    def answered(workers):
        found = [(worker, worker.doing, worker.answer) for worker in workers if worker.doing]
        for worker in workers:
            worker.doing = None
        return found

    monkeypatch.setattr(aggregate_team.crew, "answered", answered)

    def take(*workers, count=4):
        team = Team(workers)
        pieces = aggregate._take_turns(team, aggregate.sizes(count), 0.25)
        job = SimpleNamespace(batch_size=8, resource="CPU", target=SimpleNamespace(threads=1))
        return team, aggregate._record(team, pieces, job, 0.25, count)

    return take


@pytest.mark.parametrize(
    ("count", "at_once"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (64, [1, 2, 4, 8, 16, 32, 64])]
)
def test_the_numbers_of_devices(count, at_once):
    assert aggregate.sizes(count) == at_once


def test_each_device_is_measured_alone_and_the_turns_go_up_and_down(taken, monkeypatch):
    groups, window = [], aggregate._window
    monkeypatch.setattr(
        aggregate, "_window", lambda team, group, seconds: (groups.append([one.number for one in group]), window(team, group, seconds))[1]
    )
    taken(Played(1), Played(2), count=2)
    assert groups[:6] == [[1], [2], [1, 2], [1, 2], [2], [1]]
    assert groups == groups[:6] * 3


def test_devices_that_do_not_disturb_each_other_have_an_efficiency_of_one(taken):
    _, found = taken(*map(Played, range(1, 5)))
    assert [row.together.images_per_second for row in found.rows] == pytest.approx([100.0, 200.0, 400.0])
    assert [row.efficiency for row in found.rows] == [None, pytest.approx(1.0), pytest.approx(1.0)]
    assert (found.region, found.kind, found.batch, found.windows, found.window_seconds) == ("aggregate", "measured", 8, 6, 0.25)
    assert [device.alone.blocks for device in found.devices] == [30] * 4
    assert all(0 < device.clock_error_ms < 1000 for device in found.devices)


def test_devices_of_two_kinds_are_held_against_the_sum_of_each(taken):
    _, found = taken(Played(1, 100.0, device="fast"), Played(2, 20.0, device="slow"), count=2)
    assert [(device.device, device.alone.images_per_second) for device in found.devices] == [
        ("fast", pytest.approx(100)),
        ("slow", pytest.approx(20)),
    ]
    assert found.rows[1].together.images_per_second == pytest.approx(120.0)
    assert found.rows[1].efficiency == pytest.approx(1.0)


@pytest.mark.parametrize("dies_at", [1, 2, 9])
def test_a_device_that_dies_leaves_the_others_their_rows(taken, dies_at):
    dying = Played(2, dies_at=dies_at)
    _, found = taken(Played(1), dying, Played(3), Played(4))
    assert dying.killed
    assert [device.place for device in found.devices] == ["process 1", "process 3", "process 4"]
    assert [row.together and row.together.images_per_second for row in found.rows] == [pytest.approx(100.0), pytest.approx(200.0), None]
    assert [row.error for row in found.rows[:2]] == [None, None]
    assert found.rows[2].error.startswith("worker 2 was lost while ")
    assert found.rows[2].error.endswith(" measured: its process or its host died")


def test_where_all_die_every_row_has_the_reasons(taken):
    _, found = taken(Played(1, dies_at=1), Played(2, dies_at=1), count=2)
    assert found.devices == []
    said = "; ".join(f"worker {number} was lost while 1 device was measured: its process or its host died" for number in (1, 2))
    assert [row.error for row in found.rows] == [said, said]


def test_a_device_that_begins_late_begins_again_and_is_put_aside_when_it_always_does(taken):
    _, found = taken(Played(1, late=2), Played(2), count=2)
    assert [row.error for row in found.rows] == [None, None]
    _, found = taken(Played(1), Played(2, late=100), count=2)
    assert found.rows[1].error == "worker 2 began late 5 times when 1 device was to be measured"


def test_a_device_that_does_not_tell_its_time_is_lost(taken):
    worker = Played(1)
    worker.now = lambda: Answer(error="gave no answer in 5 s", lost="hung")
    team = Team([worker])
    with pytest.raises(Lost):
        team.clock(worker)
    assert (team.left, team.lost) == ([], ["worker 1 was lost while 1 device was measured: gave no answer in 5 s"])


def test_a_host_where_a_sweep_is_measuring_is_waited_for(taken, monkeypatch, capsys):
    monkeypatch.setattr(aggregate_team.crew, "POLL_SECONDS", 0.0)
    said = iter(["run x, process 5, on h"] * 3 + [""])
    free, busy = Played(1), Played(2)
    free.hold, busy.hold = (lambda: Answer("")), (lambda: Answer(next(said)))
    Team([free, busy])._hold()
    assert capsys.readouterr().out == "Waiting for run x, process 5, on h: several devices at once are measured when it is done.\n"


@pytest.mark.parametrize(
    ("given", "batch"),
    [({}, 8), ({"engine": "ray", "count": 1}, 8), ({"engine": "ray", "count": 2}, None)],
    ids=["serial", "one", "no figure"],
)
def test_without_several_devices_or_a_figure_of_one_nothing_is_measured(tmp_path, monkeypatch, given, batch):
    monkeypatch.setattr(cluster, "joined", lambda _: pytest.fail("Ray is not wanted"))
    step = SimpleNamespace(
        settings=BatchSweep.model_construct(workers=Workers.model_construct(**{**Workers().model_dump(), **given}), profile="quick")
    )
    assert aggregate.measure(step, None, None, batch) is None


@with_ray
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"backend": "replay", "provider_options": {"results": "x"}},
            "backend replay runs nothing that could be measured on several devices",
        ),
        ({"provider_options": {"device_id": 1}}, "with workers Ray chooses the devices: leave device_id out of provider_options."),
        ({"workers": {"engine": "ray", "count": 0}}, "workers.count: Input should be greater than 0, not 0."),
    ],
)
def test_what_can_not_be_measured_on_several_devices_is_refused(given, said):
    with pytest.raises(ParameterError) as raised:
        params.check(BatchSweep, **{"workers": {"engine": "ray"}, **given})
    assert said in str(raised.value)
    assert params.check(BatchSweep, backend="null", workers={"engine": "ray"}).workers.engine == "ray"


# on Ray


@pytest.fixture(scope="module")
def ray_of_three(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ray_cluster.environment_of(tmp_path_factory.mktemp("simulators")).items():
            patch.setenv(name, value)
        patch.setitem(timing.PROFILES, "quick", aggregate_run.BRIEF)
        with cluster.joined(Workers(engine="ray", count=3)):
            yield


@pytest.fixture
def brief(ray_of_three, monkeypatch):
    """Fewer turns and shorter waits than a figure needs."""
    for name, value in {"PASSES": 2, "DELIVERY_SECONDS": 0.05, "SETTLE_SECONDS": 0.05}.items():
        monkeypatch.setattr(aggregate, name, value)


def left_over():
    """Return the processes of devices below this one that have not ended within ten seconds."""
    return psutil.wait_procs([one for one in psutil.Process().children(recursive=True) if one.name().startswith("ray::Actor")], timeout=10)[
        1
    ]


@with_ray
def test_a_sweep_of_one_device_is_followed_by_several_at_once(tmp_path, brief):
    step = aggregate_run.step_of(tmp_path / "run", 2)
    found = sweep.measure(step, *step.inputs)
    [series] = found.series
    assert [row.error for row in series.rows] == [None]
    assert set(series.rows[0].regions) == {"compute", "host"}
    together = found.aggregate
    assert (together.kind, together.batch, len(together.devices)) == ("simulated", 8, 2)
    assert [(row.devices, row.error) for row in together.rows] == [(1, None), (2, None)]
    assert together.rows[1].together.images_per_second <= 8000.0  # 8 images in 2 ms, twice
    assert len({device.place for device in together.devices}) == 2
    assert left_over() == []
    lock = HostLock("the test")
    assert lock.take() == ""
    lock.release()


@with_ray
@pytest.mark.parametrize(("fault", "why"), [("dies", "its process or its host died"), ("hangs", "gave no answer in ")])
def test_a_device_lost_in_the_middle_is_named_and_the_others_stay(tmp_path, brief, monkeypatch, fault, why):
    monkeypatch.setattr(aggregate, "Device", Misbehaving)
    step = aggregate_run.step_of(tmp_path / "run", 3)
    (step.folder / "fault").write_text(fault)
    found = aggregate.measure(step, *step.inputs, 8)
    assert [row.error is None for row in found.rows] == [True, True, False]
    assert f") was lost while 2 devices were measured: {why}" in found.rows[2].error
    assert len(found.devices) == 2
    assert left_over() == []


@with_ray
def test_a_model_that_was_not_compared_is_measured_on_no_device(tmp_path, brief):
    step = aggregate_run.step_of(tmp_path / "run", 2, backend="onnxruntime", provider_options={})
    found = aggregate.measure(step, *step.inputs, 16)
    assert found.devices == []
    assert (
        "was lost while it loaded the model: onnxruntime fp32 on CPUExecutionProvider was not compared at batch 16" in found.rows[0].error
    )


@with_ray
def test_too_few_devices_are_told_before_anything_is_measured(tmp_path, brief, monkeypatch):
    monkeypatch.setattr(sweep, "Worker", lambda *_: pytest.fail("a device was loaded"))
    step = aggregate_run.step_of(tmp_path / "run", workers={"engine": "ray", "count": 9, "address": "auto"})
    with pytest.raises(ParameterError, match="workers.count is 9 but Ray has 3 CPU"):
        sweep.measure(step, *step.inputs)
