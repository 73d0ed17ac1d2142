"""Units of work: cut at batches, kept on disk, merged to the bytes of the serial run."""

import numpy as np
import pytest

from helpers.errors import UserError
from helpers.records import UnitDone
from helpers.scores import Scores
from helpers.units import Found, Kept, Unit, cut, seconds


def answered(first, count, keep_logits=False):
    """What a unit came to: answers to images of a set in which each has probabilities of its own."""
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 1000).astype(np.float32)[first : first + count]
    places = np.arange(first, first + count, dtype=np.int32)
    return Found(Scores.of(places, places % 7, probabilities, keep_logits))


def done(first, count, **other):
    told = {"host": "h", "device": "d", "place": "process 1", "started_utc": "2026-01-01T00:00:00+00:00", "seconds": 1.0, "tries": 1}
    return UnitDone(first=first, count=count, **{**told, **other})


def test_a_unit_is_whole_batches_and_the_last_has_what_is_left():
    assert cut(10, 3, 2) == [(0, 4), (4, 4), (8, 2)]
    assert cut(8, 4, 4) == [(0, 4), (4, 4)]
    assert cut(5, 1, 64) == [(0, 5)]


@pytest.mark.parametrize("images", [1, 7, 64, 1000])
@pytest.mark.parametrize("size", [1, 6, 64])
@pytest.mark.parametrize("keep_logits", [False, True])
def test_units_kept_in_any_order_merge_to_the_bytes_of_the_serial_run(tmp_path, images, size, keep_logits):
    parts = [answered(first, min(3, images - first), keep_logits).scores for first in range(0, images, 3)]
    Scores.joined(parts).save(tmp_path / "serial.npz")
    units = cut(images, size, 3)
    kept = Kept(tmp_path / "units", "key", units)
    for at in np.random.default_rng(1).permutation(len(units)):
        kept.add(answered(*units[at], keep_logits), done(*units[at]))
    Kept(tmp_path / "units", "key", units).joined()[0].scores.save(tmp_path / "merged.npz")
    assert (tmp_path / "merged.npz").read_bytes() == (tmp_path / "serial.npz").read_bytes()


@pytest.mark.parametrize(
    ("spans", "expected"),
    [([(0, 2.0)], 2.0), ([(0, 2.0), (1, 2.0)], 3.0), ([(1, 1.0), (0, 5.0)], 5.0), ([(0, 1.0), (10, 2.5)], 3.5)],
    ids=["one", "overlapping", "within", "with a gap"],
)
def test_the_time_of_units_is_that_in_which_anyone_worked(spans, expected):
    worked = [done(0, 4, started_utc=f"2026-01-01T00:00:{start:02}.000+00:00", seconds=lasted) for start, lasted in spans]
    assert seconds(worked) == pytest.approx(expected)


def test_without_images_units_and_scores_say_the_same():
    for nothing in (lambda: Scores.joined([]), lambda: cut(0, 4, 4)):
        with pytest.raises(UserError, match="there are no images to evaluate: run 1_prepare_data with some."):
            nothing()


def test_the_next_run_has_what_was_done_and_who_did_it(tmp_path):
    units = cut(10, 4, 2)
    Kept(tmp_path, "key", units).add(answered(4, 4), done(4, 4, host="b", tries=2))
    again = Kept(tmp_path, "key", units)
    assert again.missing == [(0, 4), (8, 2)]
    assert again.images == 4
    again.add(answered(0, 4), done(0, 4))
    again.add(answered(8, 2), done(8, 2))
    assert [(one.first, one.host, one.tries) for one in again.joined()[1]] == [(0, "h", 1), (4, "b", 2), (8, "h", 1)]


def test_a_unit_done_twice_counts_once(tmp_path):
    kept = Kept(tmp_path, "key", [Unit(0, 4)])
    kept.add(answered(0, 4), done(0, 4))
    kept.add(answered(0, 4), done(0, 4, host="b"))
    found, who = kept.joined()
    assert found.scores.image.tolist() == [0, 1, 2, 3]
    assert [one.host for one in who] == ["b"]


@pytest.mark.parametrize(("key", "unit_images"), [("other", 4), ("key", 6)])
def test_units_of_another_key_or_size_are_removed(tmp_path, key, unit_images):
    kept = Kept(tmp_path, "key", cut(10, 4, 2))
    kept.add(answered(0, 4), done(0, 4))
    units = cut(10, unit_images, 2)
    assert Kept(tmp_path, key, units).missing == units
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [lambda whole: whole[:200], lambda whole: b"", lambda whole: whole.replace(b"PK", b"XX")])
def test_a_file_that_was_cut_off_or_damaged_is_done_again(tmp_path, damage):
    Kept(tmp_path, "key", [Unit(0, 4)]).add(answered(0, 4), done(0, 4))
    [path] = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert Kept(tmp_path, "key", [Unit(0, 4)]).missing == [(0, 4)]


def test_a_dropped_unit_is_missing_on_disk_too(tmp_path):
    kept = Kept(tmp_path, "key", cut(8, 4, 2))
    kept.add(answered(0, 4), done(0, 4))
    kept.drop(Unit(0, 4))
    assert kept.missing == [(0, 4), (4, 4)]
    assert Kept(tmp_path, "key", cut(8, 4, 2)).missing == [(0, 4), (4, 4)]


def test_images_that_can_not_be_read_are_told_in_order_and_counted(tmp_path):
    units, told = [Unit(0, 4), Unit(4, 4)], []
    kept = Kept(tmp_path, "key", units, told.append)
    kept.add(Found(answered(5, 3).scores, [["4", "empty"]], [["5", "odd"]]), done(4, 4))
    kept.add(Found(answered(0, 3).scores, [["3", "torn"]]), done(0, 4))
    again = Kept(tmp_path, "key", units, told.append)
    found, _ = again.joined()
    assert (found.rejected, found.remarks) == ([["3", "torn"], ["4", "empty"]], [["5", "odd"]])
    assert found.scores.image.tolist() == [0, 1, 2, 5, 6, 7]
    assert told == [[["4", "empty"]], [["3", "torn"], ["4", "empty"]]]


def test_a_unit_of_which_too_little_is_there_counts_for_nothing(tmp_path):
    Kept(tmp_path, "key", [Unit(0, 4)]).add(answered(0, 3), done(0, 4))
    assert Kept(tmp_path, "key", [Unit(0, 4)]).missing == [(0, 4)]


def test_where_no_image_can_be_read_there_is_nothing_to_evaluate(tmp_path):
    kept = Kept(tmp_path, "key", [Unit(0, 2)])
    kept.add(Found(answered(0, 0).scores, [["0", "empty"], ["1", "empty"]]), done(0, 2))
    with pytest.raises(UserError, match="there are no images to evaluate"):
        kept.joined()


def test_nothing_is_left_once_merged(tmp_path):
    kept = Kept(tmp_path / "units", "key", [Unit(0, 4)])
    kept.add(answered(0, 4), done(0, 4))
    kept.remove()
    assert not (tmp_path / "units").exists()
