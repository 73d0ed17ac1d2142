"""Workers are real processes here, with backends that need no model."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from helpers import ROOT, worker
from helpers.errors import UserError
from helpers.params import Target
from helpers.worker import Failed
from tests import workers


@pytest.fixture
def hired(tmp_path):
    """Return a worker of the null backend."""
    one = workers.hire(tmp_path)
    yield one
    one.close()


def its_process(hired):
    return psutil.Process(hired._process)


def test_a_worker_measures_in_a_process_of_its_own(hired):
    assert hired.loaded.label == "null fp32"
    assert (hired.loaded.simulated, hired.loaded.refusal, hired.loaded.region) == (True, None, "compute")
    assert hired.loaded.start.first_call > 0
    ready = hired.begin(4, 0.05, 0.01)
    block = hired.block(ready.calls_per_block, True)
    assert len(block.calls) == ready.calls_per_block
    assert hired.run_for(0.01)[0] >= 4
    used = hired.end()
    assert used.peak_memory_bytes is None or used.peak_memory_bytes > 10e6


def test_what_the_bench_raises_is_said_in_one_line(hired):
    with pytest.raises(Failed) as failed:
        hired.begin("no batch", 0.05, 0.01)
    assert failed.value.worker is hired
    assert hired.alive
    assert "\n" not in str(failed.value)


def test_a_worker_that_dies_says_so_and_can_be_closed(hired):
    its_process(hired).kill()
    with pytest.raises(Failed, match="its process died, most often for want of memory"):
        hired.begin(4, 0.05, 0.01)
    assert not hired.alive
    hired.close()


def test_a_worker_whose_device_hung_says_where(hired, tmp_path):
    (tmp_path / "artefacts" / "ascend_hang_1.log").write_text("in _execute")
    its_process(hired).kill()
    with pytest.raises(Failed, match=r"the device did not answer in time .* artefacts/ascend_hang_1.log"):
        hired.begin(4, 0.05, 0.01)


def test_a_worker_ends_with_its_parent(tmp_path):
    command = [sys.executable, "-m", "tests.workers", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the worker outlived its parent")


def test_a_model_that_is_refused_is_not_started(tmp_path, monkeypatch):
    monkeypatch.setattr(worker.backends, "load", lambda *_: workers.Picky(refused="it was not compared"))
    loaded = worker._load(tmp_path, *workers.records(tmp_path), [2], Target(backend="null"))
    assert (loaded.refusal, loaded.start) == ("it was not compared", None)


def test_a_first_call_that_fails_leaves_the_measurement_to_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(worker.backends, "load", lambda *_: workers.Picky(fails_at="any"))
    loaded = worker._load(tmp_path, *workers.records(tmp_path), [2], Target(backend="null"))
    assert (loaded.refusal, loaded.start) == (None, None)
    with pytest.raises(Failed, match="^out of device memory$"):
        worker._call("begin", 2, 0.05, 0.01)


def test_an_interrupt_is_the_parents_to_handle(hired):
    os.kill(its_process(hired).pid, signal.SIGINT)
    assert hired.begin(4, 0.05, 0.01).calls_per_block >= 1


def test_a_closed_worker_is_gone_fails_and_can_be_closed_again(hired):
    process = its_process(hired)
    hired.close()
    assert not process.is_running()
    with pytest.raises(Failed, match="^its process has ended$"):
        hired.begin(4, 0.05, 0.01)
    hired.close()
    hired.kill()


def test_a_killed_worker_does_not_wait_for_its_call(hired):
    process = its_process(hired)
    hired.kill()
    assert not process.is_running()


def test_closing_frees_what_the_runtime_holds(monkeypatch):
    freed = []
    monkeypatch.setattr(worker, "_bench", SimpleNamespace(backend=SimpleNamespace(close=lambda: freed.append(1))), raising=False)
    worker._close()
    assert freed == [1]


def test_a_load_that_fails_is_the_users_to_correct_or_a_failure(tmp_path, monkeypatch):
    def load(error):
        def raise_it(*_):
            raise error

        monkeypatch.setattr(worker, "load", raise_it)
        return worker._load(tmp_path)

    with pytest.raises(UserError, match="^run 2_convert again$"):
        load(UserError("run 2_convert again"))
    with pytest.raises(Failed, match="^MemoryError$"):
        load(MemoryError())
