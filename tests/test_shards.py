"""Workers on a real Ray cluster of three nodes: the serial run byte by byte, whoever works, dies, hangs or errs."""

import contextlib
import importlib.util
import os
import random
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from helpers import ROOT, cluster, shards, steps, work
from helpers.errors import ParameterError, UserError
from tests import ray_cluster
from tests.ray_cluster import evaluate, misbehave

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[ray]'")
NPU = {"backend": "ascend"}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ray_cluster.environment_of(tmp_path_factory.mktemp("simulators")).items():
            patch.setenv(name, value)
        for path in os.environ["PYTHONPATH"].split(os.pathsep):
            patch.syspath_prepend(path)
        with ray_cluster.three_nodes() as nodes:
            yield nodes


@pytest.fixture
def run(tmp_path):
    """A run of 200 digits with the bytes of its serial evaluation, whose workers misbehave as they are told."""
    folder = ray_cluster.write_run(tmp_path / "run", 200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "Evaluator", ray_cluster.Misbehaving)
        misbehave(folder)
        yield folder, evaluate(folder, "serial")[1]


# merged exactly


@pytest.mark.parametrize(("images", "count"), [(1, 1), (7, 5), (1000, 1), (1000, 2), (1000, 3), (1000, 4), (1000, 5)])
def test_the_merged_scores_are_those_of_the_serial_run_byte_by_byte(tmp_path, nodes, images, count):
    folder = ray_cluster.write_run(tmp_path / "run", images)
    told, serial = evaluate(folder, "serial")
    result, merged = evaluate(folder, count=count, unit_images=50)
    assert merged == serial
    assert (result.top1_pct, result.images, result.remarks) == (told.top1_pct, images, [])
    assert [unit.first for unit in result.units] == list(range(0, images, 56))  # whole batches of 8
    assert len({unit.place for unit in result.units}) == min(count, len(result.units))
    assert not (folder / "artefacts" / "units" / "candidate").exists()


def test_without_images_it_says_what_the_serial_run_says(tmp_path, nodes):
    folder = ray_cluster.write_run(tmp_path / "run", 0)
    with pytest.raises(UserError, match="there are no images to evaluate"):
        evaluate(folder, "serial")
    with pytest.raises(UserError, match="there are no images to evaluate"):
        evaluate(folder)


def test_npus_are_told_apart_by_card_and_chip_and_what_was_simulated_says_so(tmp_path, nodes):
    folder = ray_cluster.write_run(tmp_path / "run", 200, npu=True)
    serial = evaluate(folder, "serial", NPU, keep_logits=True)[1]
    result, merged = evaluate(folder, "ray", NPU, keep_logits=True, resource="NPU", count=3)
    assert merged == serial
    assert (result.device, result.simulated) == ("Ascend 310P3 (simulated device)", True)
    assert {unit.place.partition(", process")[0] for unit in result.units} == {"card 24, chip 0"}  # each node sees the same
    assert len({unit.place for unit in result.units}) == 3


# what goes wrong


class Killer(threading.Thread):
    """Kills what `choose` returns after a while, unless the evaluation is over before."""

    def __init__(self, choose, seconds):
        super().__init__()
        self._choose, self._seconds, self._over, self.killed = choose, seconds, threading.Event(), False

    def run(self):
        while not (victims := self._choose()):
            if self._over.wait(0.02):
                return
        if not self._over.wait(self._seconds):
            victims = self._choose() or victims
            with contextlib.suppress(psutil.NoSuchProcess):
                random.Random(self._seconds).choice(victims)()
                self.killed = True

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()


def actors():
    """How to kill each worker's process of this cluster, those that are still loading included."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended
            if (process.cmdline() or [""])[0].startswith("ray::Actor"):
                found.append(process.kill)
    return found


def test_with_a_worker_killed_at_any_point_of_seventeen_runs_the_scores_are_the_same(run, nodes):
    folder, serial = run
    misbehave(folder, slow_seconds=0.03)
    killed = 0
    for seed in range(60):
        with Killer(actors, random.Random(seed).uniform(0, 1.5)) as killer:
            result, merged = evaluate(folder, count=2, unit_images=8)
        assert merged == serial
        assert not killer.killed or len(result.remarks) <= 1
        killed += killer.killed
        if killed == 17:
            break
    assert killed == 17  # and three hosts below


@pytest.mark.parametrize("done", [0, 6, 13])
def test_with_a_host_killed_the_scores_are_the_same(run, nodes, done):
    folder, serial = run
    misbehave(folder, slow_seconds=0.3)  # what a host was at lives on for a moment
    host = next(iter(nodes.worker_nodes))

    def now():
        return [lambda: nodes.remove_node(host, allow_graceful=False)] if actors() and len(ray_cluster.kept(folder)) >= done else []

    with Killer(now, 0.0) as killer:
        result, merged = evaluate(folder, count=3, resource="NPU", unit_images=8)
    nodes.add_node(**ray_cluster.NODE)
    assert killer.killed
    assert merged == serial
    assert len(result.remarks) == 1
    assert "its process or its host died" in result.remarks[0]


def test_what_hangs_is_done_by_another_and_is_named(run, nodes):
    folder, serial = run
    misbehave(folder, hangs=1)
    result, merged = evaluate(folder, count=2, unit_timeout_seconds=3)
    assert merged == serial
    [remark] = result.remarks
    assert remark.startswith("worker ")
    assert remark.endswith("gave no answer in 3 s.")
    assert sorted({unit.tries for unit in result.units}) == [1, 2]


def test_a_slow_worker_does_less(run, nodes):
    folder, serial = run
    misbehave(folder, slow=1)
    result, merged = evaluate(folder, count=2, unit_images=8)
    assert merged == serial
    shares = sorted([unit.place for unit in result.units].count(place) for place in {unit.place for unit in result.units})
    assert sum(shares) == 25
    assert shares[0] < 5 < shares[1]


def test_a_worker_that_answers_otherwise_is_put_aside_before_it_did_anything(run, nodes):
    folder, serial = run
    misbehave(folder, wrong=1)
    result, merged = evaluate(folder, count=3)
    assert merged == serial
    [remark] = result.remarks
    assert remark.endswith("answers the first images otherwise than it should: it was put aside.")
    assert len({unit.place for unit in result.units}) == 2


def test_of_two_that_differ_the_one_is_put_aside_that_is_not_what_was_converted(run, nodes):
    folder, serial = run
    misbehave(folder, wrong=1)
    result, merged = evaluate(folder, count=2)
    assert merged == serial
    assert "put aside" in result.remarks[0]


def test_what_a_worker_did_that_became_wrong_is_done_again(run, nodes):
    folder, serial = run
    misbehave(folder, drifts=1)
    result, merged = evaluate(folder, count=2)
    assert merged == serial
    [remark] = result.remarks
    assert "answers the first images otherwise than it should: it was put aside; " in remark
    assert remark.endswith("that it did.")
    assert len({unit.place for unit in result.units}) == 1


def test_a_worker_that_did_many_units_is_asked_before_it_does_more(run, nodes, monkeypatch):
    folder, serial = run
    misbehave(folder, drifts=1)
    monkeypatch.setattr(work, "PROVE_UNITS", 2)
    result, merged = evaluate(folder, count=2, unit_images=8)
    assert merged == serial
    [remark] = result.remarks
    assert remark.endswith("was put aside; done again: 2 units that it did.")


def test_a_host_with_other_helpers_is_refused(run, nodes, monkeypatch):
    monkeypatch.setattr(steps, "helpers_hash", lambda: "of another commit")
    with pytest.raises(UserError, match="no worker is left, .* has other helpers than this host: have the same commit on all hosts"):
        evaluate(run[0], count=2)


def test_a_unit_that_always_fails_stops_the_run_and_the_next_does_only_what_is_missing(run, nodes):
    folder, serial = run
    misbehave(folder, fails_at=64)
    expected = (
        r"images 64 to 79 failed 3 times, last on worker \d on .* \(process \d+\): out of device memory; correct that and run 3_accuracy"
    )
    with pytest.raises(UserError, match=expected):
        evaluate(folder, count=2, max_retries=2)
    there = ray_cluster.kept(folder)
    assert {0, 16, 32, 48} <= set(there)
    assert 64 not in there
    misbehave(folder)
    result, merged = evaluate(folder, count=1)  # another number of workers decides nothing
    assert merged == serial
    [place] = {unit.place for unit in result.units if unit.first not in there}
    assert place not in {unit.place for unit in result.units if unit.first in there}


def test_a_unit_that_ends_every_process_stops_the_run(run, nodes):
    folder, _ = run
    misbehave(folder, kills_at=0)
    with pytest.raises(
        UserError, match="images 0 to 15 failed 2 times, last on worker . on .*: its process or its host died; correct that"
    ):
        evaluate(folder, count=1, max_retries=1)


def test_where_no_worker_can_load_the_model_the_cause_is_said(run, nodes):
    folder, _ = run
    misbehave(folder, load_fails="device busy.\nat 0x1")
    expected = "no worker is left, worker . on .* left at loading the model: device busy; correct that and run 3_accuracy again: it goes on"
    with pytest.raises(UserError, match=expected):
        evaluate(folder, count=2)


def test_units_of_other_parameters_do_not_count(run, nodes):
    folder, _ = run
    misbehave(folder, fails_at=64)
    with pytest.raises(UserError, match="failed 1 time"):
        evaluate(folder, count=1, max_retries=0)
    misbehave(folder)
    with_logits = evaluate(folder, "serial", keep_logits=True)[1]
    assert evaluate(folder, keep_logits=True)[1] == with_logits


def test_a_refused_model_gets_no_figure_from_workers_either(run, nodes):
    folder, _ = run
    step = ray_cluster.step_of(folder, batch_size=4)  # which was not compared
    [result] = ray_cluster.accuracy.results(step, *step.inputs)
    assert (result.evaluated, result.top1_pct, result.units) == (False, None, [])
    assert "was not compared at batch 4" in result.reason


def test_more_workers_than_devices_are_refused(run, nodes):
    expected = r"workers.count is 9 but Ray has 3 NPU, enough for 3 \(each takes 1 of one host\): lower it or join more."
    with pytest.raises(ParameterError, match=expected):
        evaluate(run[0], count=9, resource="NPU")


# a Ray of one's own, and none


def driver(folder, address=""):
    """A process that evaluates a run, whose own processes and theirs are marked."""
    command = [sys.executable, "-m", "tests.ray_cluster", str(folder), address]
    marked = {**os.environ, "SHARDS_TEST": str(folder)}
    return subprocess.Popen(command, cwd=ROOT, env=marked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_an_interrupt_leaves_no_process_and_keeps_what_is_done(run, nodes):
    folder, serial = run
    misbehave(folder, slow_seconds=0.3)
    own = driver(folder)
    until(lambda: ray_cluster.kept(folder) or own.poll() is not None)
    own.send_signal(signal.SIGINT)
    said = own.communicate(timeout=60)[0]
    assert "KeyboardInterrupt" in said.splitlines()[-1]
    until(lambda: not marked_processes(str(folder)))
    assert ray_cluster.kept(folder)
    misbehave(folder)
    assert evaluate(folder)[1] == serial


def test_a_ray_that_runs_is_joined_by_its_address_and_stays(run, nodes):
    folder, serial = run
    other = driver(folder, nodes.address)
    said = other.communicate(timeout=120)[0]
    assert other.returncode == 0, said
    assert [line for line in said.replace("\r", "\n").splitlines() if line and "image/s" not in line] == []  # not a word of Ray's
    assert (folder / "artefacts" / "scores_candidate.npz").read_bytes() == serial
    assert len(nodes.list_all_nodes()) == 3
    assert evaluate(folder)[1] == serial


def test_an_address_where_nobody_answers_is_one_sentence(monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 2)
    with pytest.raises(UserError, match="no Ray answers at 127.0.0.1:9 within 2 s: check address and firewall"):
        cluster.check_answers("127.0.0.1:9")


def until(holds, seconds=60):
    """Wait until something holds."""
    for _ in range(seconds * 20):
        if holds():
            return
        time.sleep(0.05)
    pytest.fail("waited in vain")


def marked_processes(mark):
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SHARDS_TEST") == mark:
                found.append(process)
        except psutil.Error:  # it has ended, or is another's
            continue
    return found
