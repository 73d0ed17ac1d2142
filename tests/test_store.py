import os

import numpy as np
import pytest

from helpers import store
from helpers.errors import UserError
from helpers.store import Progress, Store

CROP = 4


def rows(count, first=0):
    """Return rows that tell which they are."""
    return np.arange(first, first + count, dtype=np.uint8)[:, None, None, None] * np.ones((1, CROP, CROP, 3), np.uint8)


def what(first, count, rejected=()):
    kept = [index for index in range(first, first + count) if index not in rejected]
    return Progress(count, kept, [f"{index:064}" for index in kept], [[f"{index}.png", "torn"] for index in rejected], [], 0.5)


def test_rows_become_an_array_file_in_order(tmp_path):
    made = Store(tmp_path, "key", CROP)
    made.append(rows(3), what(0, 3))
    made.append(rows(2, first=3), what(3, 2))
    assert not made.path.exists()
    made.finish()
    np.testing.assert_array_equal(np.load(tmp_path / "tensors.npy"), rows(5))
    assert sorted(os.listdir(tmp_path)) == ["tensors.jsonl.partial", "tensors.npy"]
    assert made.progress == Progress(5, [0, 1, 2, 3, 4], [f"{index:064}" for index in range(5)], [], [], 1.0)


def test_rejected_images_have_no_row(tmp_path):
    made = Store(tmp_path, "key", CROP)
    made.append(rows(2), what(0, 3, rejected=[1]))
    made.finish()
    assert np.load(tmp_path / "tensors.npy").shape == (2, CROP, CROP, 3)
    assert made.progress.kept == [0, 2]
    assert made.progress.rejected == [["1.png", "torn"]]


def half_done(folder, key="key"):
    """Leave what a kill leaves: three rows that count, two that do not, and a torn one."""
    left = Store(folder, key, CROP)
    left.append(rows(3), what(0, 4, rejected=[2]))
    left.checkpoint()
    left.append(rows(2, first=7), what(4, 2))
    left._file.write(b"torn")
    left._file.close()


def test_what_counts_is_continued_and_what_does_not_is_written_again(tmp_path):
    half_done(tmp_path)
    again = Store(tmp_path, "key", CROP)
    assert again.progress == what(0, 4, rejected=[2])
    again.append(rows(1, first=3), what(4, 1))
    again.finish()
    np.testing.assert_array_equal(np.load(tmp_path / "tensors.npy"), rows(4))
    assert again.progress.kept == [0, 1, 3, 4]


def test_a_line_that_was_cut_off_does_not_count(tmp_path):
    half_done(tmp_path)
    with (tmp_path / "tensors.jsonl.partial").open("a") as journal:
        journal.write('{"key": "key", "progress": {"done": 2, "ke')
    again = Store(tmp_path, "key", CROP)
    assert again.progress.done == 4
    again.append(rows(1, first=3), what(4, 1))
    again.finish()
    assert Store(tmp_path, "key", CROP).progress.done == 5  # the journal is whole again


@pytest.mark.parametrize("change", [{"key": "other"}, {"anew": True}])
def test_another_key_and_a_run_on_purpose_begin_again(tmp_path, change):
    half_done(tmp_path)
    fresh = Store(tmp_path, **{"key": "key", "crop": CROP, **change})
    assert fresh.progress == Progress()
    fresh.append(rows(1, first=9), what(0, 1))
    fresh.finish()
    np.testing.assert_array_equal(np.load(tmp_path / "tensors.npy"), rows(1, first=9))
    assert Store(tmp_path, **{"crop": CROP, "key": change.get("key", "key")}).progress.done == 1


def test_rows_that_are_gone_are_prepared_again(tmp_path):
    half_done(tmp_path)
    os.truncate(tmp_path / "tensors.npy.partial", store.HEADER_BYTES + 10)
    assert Store(tmp_path, "key", CROP).progress == Progress()


def finished(folder):
    made = Store(folder, "key", CROP)
    made.append(rows(2), what(0, 2))
    made.finish()
    return made


@pytest.mark.parametrize("renamed", [True, False], ids=["after the rename", "before it"])
def test_a_finished_store_is_used_as_it_is(tmp_path, renamed):
    finished(tmp_path)
    if not renamed:
        os.replace(tmp_path / "tensors.npy", tmp_path / "tensors.npy.partial")
    again = Store(tmp_path, "key", CROP)
    assert again.finished
    assert again.progress.kept == [0, 1]
    again.finish()
    np.testing.assert_array_equal(np.load(tmp_path / "tensors.npy"), rows(2))
    assert sorted(os.listdir(tmp_path)) == ["tensors.jsonl.partial", "tensors.npy"]


def test_a_finished_store_that_was_changed_since_is_made_again(tmp_path):
    path = finished(tmp_path).path
    os.utime(path, ns=(0, 0))
    again = Store(tmp_path, "key", CROP)
    assert not again.finished
    assert again.progress == Progress()


def test_the_store_of_an_earlier_run_stays_until_the_new_one_is_whole(tmp_path):
    finished(tmp_path)
    fresh = Store(tmp_path, "other", CROP)
    fresh.append(rows(1, first=9), what(0, 1))
    np.testing.assert_array_equal(np.load(tmp_path / "tensors.npy"), rows(2))
    fresh.discard()
    np.testing.assert_array_equal(np.load(tmp_path / "tensors.npy"), rows(2))
    assert os.listdir(tmp_path) == ["tensors.npy"]


def test_a_full_disk_is_a_sentence(tmp_path):
    made = Store(tmp_path, "key", CROP)

    def full():
        raise OSError(28, "No space left on device")

    made._file.flush = full
    with pytest.raises(UserError, match=r"tensors.npy.partial: No space left on device; free space"):
        made.checkpoint()
