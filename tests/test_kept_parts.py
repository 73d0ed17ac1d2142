"""Parts while workers write them: continued by the next run of the same key, and in the end the only store there is."""

import os
from pathlib import Path

import numpy as np
import pytest

from helpers import part_files, parts
from helpers.kept_parts import KeptParts
from helpers.part_files import Made
from helpers.store import Progress
from helpers.units import Unit, cut
from tests.test_units import done

CROP = 4


def pixels(unit):
    return np.repeat(np.arange(unit.first, unit.first + unit.count, dtype=np.uint8), CROP**2 * 3).reshape(-1, CROP, CROP, 3)


def make(folder, unit, rejected=()):
    """Do what a worker does: write a part, and return what is to be said of it."""
    kept = [place for place in range(unit.first, unit.first + unit.count) if place not in rejected]
    path = part_files.path(folder, unit)
    np.save(path, pixels(unit)[[place - unit.first for place in kept]])
    state, said = path.stat(), [[f"{place}.png", "torn"] for place in rejected]
    what = Progress(unit.count, kept, [str(place) for place in kept], said)
    return Made(what, state.st_size, state.st_mtime_ns, parts.sha256(path))


def opened(folder, key="key", unit_images=4, refuse=lambda found: None, **given):
    return KeptParts(folder, key, cut(10, unit_images, 1), refuse, **given)


def all_done(folder):
    """Have all parts made, the last first; the second has no image that can be used."""
    kept = opened(folder)
    for unit in reversed(kept.missing):
        kept.add(make(folder, unit, range(4, 8) if unit.first == 4 else ()), done(*unit))
    return kept


def test_parts_made_in_any_order_are_one_store_in_the_order_of_the_images(tmp_path):
    kept = all_done(tmp_path)
    what, who = kept.joined()
    assert what.kept == [0, 1, 2, 3, 8, 9]
    assert [name for name, _ in what.rejected] == ["4.png", "5.png", "6.png", "7.png"]
    assert [unit.first for unit in who] == [0, 4, 8]
    (tmp_path / "tensors.unfinished" / ".unfinished-1-4.npy").write_text("begun by a worker that died")
    read = parts.open_pixels(kept.finish(CROP))
    assert np.asarray(read)[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 8, 9]
    assert sorted(os.listdir(tmp_path / "tensors")) == ["0.npy", "4.npy", "8.npy"]


def test_what_a_dying_worker_removes_itself_is_no_error(tmp_path, monkeypatch):
    kept, unlink = all_done(tmp_path), Path.unlink
    (tmp_path / "tensors.unfinished" / ".unfinished-1-4.npy").touch()
    monkeypatch.setattr(Path, "unlink", lambda path, **given: (path.exists() and os.remove(path), unlink(path, **given))[1])
    kept.finish(CROP)
    assert sorted(os.listdir(tmp_path / "tensors")) == ["0.npy", "4.npy", "8.npy"]


def test_the_store_of_an_earlier_run_stays_until_the_new_one_is_whole(tmp_path):
    (tmp_path / "tensors.npy").write_text("earlier")
    (tmp_path / "tensors.npy.partial").write_text("")
    (tmp_path / "tensors").mkdir()
    (tmp_path / "tensors" / "1.npy").write_text("earlier still")
    kept = all_done(tmp_path)
    assert (tmp_path / "tensors.npy").exists()
    assert (tmp_path / "tensors" / "1.npy").exists()
    kept.finish(CROP)
    assert sorted(os.listdir(tmp_path)) == ["tensors", "tensors.json", "tensors.jsonl.partial"]
    assert not (tmp_path / "tensors" / "1.npy").exists()


def test_the_next_run_has_what_was_done(tmp_path):
    kept = opened(tmp_path)
    kept.add(make(tmp_path, Unit(4, 4)), done(4, 4, host="b", tries=2))
    again = opened(tmp_path)
    assert (again.missing, again.images) == ([(0, 4), (8, 2)], 4)
    for unit in again.missing:
        again.add(make(tmp_path, unit), done(*unit))
    assert [(one.first, one.host, one.tries) for one in again.joined()[1]] == [(0, "h", 1), (4, "b", 2), (8, "h", 1)]


@pytest.mark.parametrize("change", [{"key": "other"}, {"unit_images": 5}, {"anew": True}], ids=str)
def test_another_key_or_cut_and_a_run_on_purpose_begin_again(tmp_path, change):
    opened(tmp_path).add(make(tmp_path, Unit(0, 4)), done(0, 4))
    assert opened(tmp_path, **change).images == 0
    assert opened(tmp_path).images == 0  # there is one journal


def test_a_finished_store_without_its_record_is_taken_up_again(tmp_path):
    all_done(tmp_path).finish(CROP)
    again = opened(tmp_path)
    assert again.missing == []
    assert np.asarray(parts.open_pixels(again.finish(CROP))).shape == (6, CROP, CROP, 3)


@pytest.mark.parametrize(
    "damage", [lambda path: os.truncate(path, 150), lambda path: path.unlink(), lambda path: os.utime(path, ns=(0, 0))]
)
def test_a_part_that_is_not_as_it_was_written_is_made_again(tmp_path, damage):
    opened(tmp_path).add(make(tmp_path, Unit(0, 4)), done(0, 4))
    damage(part_files.path(tmp_path, Unit(0, 4)))
    assert opened(tmp_path).images == 0


def test_a_dropped_part_is_missing_to_the_next_run_too(tmp_path):
    kept = opened(tmp_path)
    kept.add(make(tmp_path, Unit(0, 4)), done(0, 4))
    kept.drop(Unit(0, 4))
    assert kept.images == opened(tmp_path).images == 0


def test_images_that_are_left_out_are_told_in_order_as_soon_as_they_are_known(tmp_path):
    told = []
    kept = opened(tmp_path, refuse=told.append)
    kept.add(make(tmp_path, Unit(8, 2), [9]), done(8, 2))
    kept.add(make(tmp_path, Unit(4, 4)), done(4, 4))
    kept.add(make(tmp_path, Unit(0, 4), [2]), done(0, 4))
    assert told == [[["9.png", "torn"]], [["2.png", "torn"], ["9.png", "torn"]]]


def test_nothing_is_left_of_parts_that_are_of_no_use(tmp_path):
    all_done(tmp_path).discard()
    assert os.listdir(tmp_path) == []
