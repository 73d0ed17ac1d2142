"""One sweep at a time on a host, between processes."""

import os
import signal
import subprocess
import sys

import pytest

from helpers import ROOT, host_lock
from helpers.errors import UserError
from helpers.host_lock import HostLock

HOLDER = """
import signal, sys
from helpers import host_lock
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell ignores it
with host_lock.alone("run theirs"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Another process that measures on this host until its standard input is closed."""
    monkeypatch.setenv(host_lock.VARIABLE, str(tmp_path / "lock"))
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.stdout.close()
    process.wait()


def test_a_second_one_says_for_whom_it_waits_and_goes_on_when_that_is_done(other, capsys, monkeypatch):
    wait = HostLock.wait
    monkeypatch.setattr(HostLock, "wait", lambda lock: (other.stdin.close(), wait(lock)))
    with host_lock.alone("run mine"):
        assert HostLock("run third").take() == f"run mine, process {os.getpid()}"
    assert capsys.readouterr().out == (
        f"Waiting for run theirs, process {other.pid}, which is measuring on this host: two sweeps side by side would measure each other.\n"
    )


def test_a_host_that_is_free_is_taken_without_a_word(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(host_lock.VARIABLE, str(tmp_path / "lock"))
    for _ in range(2):
        with host_lock.alone("run mine"):
            pass
    assert capsys.readouterr().out == ""
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o666


def test_the_lock_ends_with_its_process_however_that_dies(other):
    lock = HostLock("run mine")
    assert lock.take() == f"run theirs, process {other.pid}"
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert lock.take() == ""
    lock.release()


def test_an_interrupt_ends_the_waiting(other):
    waits = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert waits.stdout.readline().startswith("Waiting for run theirs")
    waits.send_signal(signal.SIGINT)
    _, said = waits.communicate(timeout=60)
    assert said.endswith("KeyboardInterrupt\n")


def test_devices_of_an_aggregate_share_a_host_and_keep_a_sweep_off_it(tmp_path, monkeypatch):
    monkeypatch.setenv(host_lock.VARIABLE, str(tmp_path / "lock"))
    first, second, sweep = HostLock("run a"), HostLock("run b"), HostLock("run c")
    assert (first.take(shared=True), second.take(shared=True)) == ("", "")
    assert sweep.take() == f"run b, process {os.getpid()}"
    first.release()
    assert sweep.take() != ""
    second.release()
    assert sweep.take() == ""
    assert HostLock("run d").take(shared=True) == f"run c, process {os.getpid()}"
    sweep.release()


def test_what_another_user_wrote_there_is_shown_on_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv(host_lock.VARIABLE, str(tmp_path / "lock"))
    held = HostLock("run a")
    held.take()
    (tmp_path / "lock").write_bytes(b"x\n\x1b[31m" + 300 * b"y")
    assert HostLock("run b").take() == "x\\n\\x1b[31m" + 193 * "y"
    held.release()


def test_a_file_that_can_not_be_locked_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv(host_lock.VARIABLE, str(tmp_path / "link"))
    with pytest.raises(UserError, match="can't open .*: remove it, or name another file in the variable INFERENCE_REPORT_LOCK."):
        HostLock("run a")
    assert not (tmp_path / "elsewhere").exists()


def test_without_the_variable_all_users_of_a_host_have_the_same_file(monkeypatch):
    monkeypatch.delenv(host_lock.VARIABLE)
    assert host_lock.path().name == "inference_report_sweep.lock"
