import mmap

import numpy as np
import pytest

from helpers import memory

MIB = 2**20


def touched(size):
    """Return pages that are new to the process: an array may lie in memory that an earlier one left."""
    pages = mmap.mmap(-1, size)
    np.frombuffer(pages, np.uint8)[:] = 1
    return pages


def test_what_was_used_in_the_window_is_the_peak_also_after_it_is_freed():
    assert memory.reset()
    before = memory.peak_bytes()
    touched(64 * MIB).close()
    assert 60 * MIB < memory.peak_bytes() - before < 100 * MIB


def test_a_new_window_forgets_what_was_freed():
    pages = touched(64 * MIB)
    memory.reset()
    with_it = memory.peak_bytes()
    pages.close()
    assert with_it - memory.peak_bytes() < 4 * MIB  # the kernel's count is not exact to the page
    memory.reset()
    assert with_it - memory.peak_bytes() > 60 * MIB


def test_where_the_peak_cannot_be_reset_there_is_none(monkeypatch, tmp_path):
    assert memory.reset()
    monkeypatch.setattr(memory, "PROC", tmp_path / "absent")
    assert memory.reset() is False
    monkeypatch.undo()
    assert memory.peak_bytes() is None


@pytest.fixture
def proc(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "PROC", tmp_path)
    monkeypatch.setattr(memory, "_reset", False)
    return tmp_path


def test_before_the_first_reset_there_is_no_peak(proc):
    (proc / "status").write_text("VmHWM:\t  2048 kB\n")
    assert memory.peak_bytes() is None


def test_the_high_water_mark_of_resident_memory_is_read(proc):
    (proc / "status").write_text("VmPeak:\t  9999 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n")
    assert memory.reset() is True
    assert (proc / "clear_refs").read_text() == "5"
    assert memory.peak_bytes() == 2 * MIB


def test_a_system_without_the_mark_has_no_peak(proc):
    (proc / "status").write_text("Name:\tpython\n")
    memory.reset()
    assert memory.peak_bytes() is None
