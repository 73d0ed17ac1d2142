"""A store in parts: the same images as in one file, however they are asked for, and each part's content checked when it is read."""

import os

import numpy as np
import pytest

from helpers import parts
from helpers.errors import UserError
from helpers.parts import Index, Part, open_pixels
from helpers.preprocess import Preprocess
from helpers.tensors import Tensors

CROP = 4
HOW = Preprocess(resize_short=4, crop=CROP, interpolation="bilinear", mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))


def written(folder, pixels, sizes):
    """Write pixels as parts of so many images each; return the index."""
    (folder / "tensors").mkdir(parents=True, exist_ok=True)
    found, first = [], 0
    for size in sizes:
        path = folder / "tensors" / f"{first}.npy"
        np.save(path, pixels[first : first + size])
        found.append(Part(file=f"tensors/{first}.npy", rows=size, bytes=path.stat().st_size, sha256=parts.sha256(path)))
        first += size
    (folder / "tensors.json").write_text(Index(image=pixels.shape[1:], parts=found).model_dump_json())
    return folder / "tensors.json"


@pytest.fixture
def whole():
    return np.random.default_rng(0).integers(0, 256, (10, CROP, CROP, 3), np.uint8)


@pytest.fixture
def index(tmp_path, whole):
    return written(tmp_path, whole, [3, 1, 4, 2])


def test_it_has_the_form_of_an_array(index, whole):
    read = open_pixels(index)
    assert (len(read), read.shape, read.dtype, read.nbytes) == (10, (10, 4, 4, 3), np.uint8, 480)
    np.testing.assert_array_equal(read, whole)


@pytest.mark.parametrize(
    "chosen",
    [np.s_[:], np.s_[2:9], np.s_[3:4], np.s_[:0], np.s_[8:99], np.s_[-3:], np.s_[::3], np.s_[7:2:-2], np.s_[4:6]],
    ids=str,
)
def test_slices_are_those_of_the_array_across_parts_too(index, whole, chosen):
    np.testing.assert_array_equal(open_pixels(index)[chosen], whole[chosen])


def test_slices_of_slices_keep_their_places(index, whole):
    np.testing.assert_array_equal(open_pixels(index)[2:9][1:][[0, -1]], whole[2:9][1:][[0, -1]])
    np.testing.assert_array_equal(open_pixels(index)[1::2][::-1][1], whole[1::2][::-1][1])


@pytest.mark.parametrize("chosen", [[9, 0, 3, 3], [-1, -10], [], 0, 9, -1, np.array([[0, 4], [5, 9]]), np.int64(7)], ids=str)
def test_places_are_those_of_the_array(index, whole, chosen):
    found = open_pixels(index)[chosen]
    np.testing.assert_array_equal(found, whole[chosen])
    assert found.dtype == np.uint8


@pytest.mark.parametrize("chosen", [10, -11, [0, 10], [-11]])
def test_a_place_beyond_the_images_is_an_error(index, chosen):
    with pytest.raises(IndexError, match="there are 10 images, and one beyond them was chosen"):
        open_pixels(index)[chosen]


@pytest.mark.parametrize("chosen", [[True] * 10, [0.5]])
def test_only_whole_numbers_choose_images(index, chosen):
    with pytest.raises(IndexError, match="images are chosen by whole numbers"):
        open_pixels(index)[chosen]


def test_a_single_file_is_opened_the_same_way(tmp_path, whole):
    np.save(tmp_path / "tensors.npy", whole)
    np.testing.assert_array_equal(open_pixels(tmp_path / "tensors.npy")[2:9], whole[2:9])


def test_no_part_is_read_before_it_is_needed_and_its_hash_is_checked_once(index, whole, monkeypatch):
    hashed, real = [], parts.sha256
    monkeypatch.setattr(parts, "sha256", lambda path: hashed.append(path.name) or real(path))
    read = open_pixels(index)
    view = read[3:9]
    assert hashed == []
    np.asarray(view[:2])
    np.asarray(read[3:5])
    assert hashed == ["3.npy", "4.npy"]


def test_many_parts_are_never_all_open(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(parts, "OPEN", 2)
    read = open_pixels(written(tmp_path, whole, [1] * 10))
    for _ in range(2):
        np.testing.assert_array_equal(read, whole)
    assert read._opened.cache_info().currsize == 2


def test_a_part_that_was_changed_or_is_gone_is_told_when_it_is_read(index, whole, tmp_path):
    changed = whole[3:4].copy()
    changed[0, 0, 0, 0] ^= 1
    np.save(tmp_path / "tensors" / "3.npy", changed)
    (tmp_path / "tensors" / "8.npy").unlink()
    read = open_pixels(index)
    np.testing.assert_array_equal(read[4:8], whole[4:8])
    for place, name in ((3, "3.npy"), (9, "8.npy")):
        with pytest.raises(UserError, match=f"tensors/{name} is not the file that data.json was written for: run 1_prepare_data again"):
            read[place]


def test_a_part_that_was_cut_off_or_is_gone_is_told_without_reading(index, tmp_path):
    assert parts.damaged(index) == []
    os.truncate(tmp_path / "tensors" / "0.npy", 200)
    (tmp_path / "tensors" / "4.npy").unlink()
    assert [path.name for path in parts.damaged(index)] == ["0.npy", "4.npy"]


@pytest.mark.parametrize(("value", "told"), [(1, ["3.npy"]), (0, [])], ids=["changed", "only written again"])
def test_a_part_that_was_written_after_the_index_is_read_to_see_whether_it_is_the_same(index, whole, tmp_path, value, told):
    np.save(tmp_path / "tensors" / "3.npy", whole[3:4] ^ np.uint8(value))
    later = index.stat().st_mtime_ns + 10**9
    os.utime(tmp_path / "tensors" / "3.npy", ns=(later, later))
    assert [path.name for path in parts.damaged(index)] == told


@pytest.mark.parametrize(("first", "count"), [(0, 10), (2, 5), (8, 5)])
def test_a_model_receives_the_same_batches(index, whole, first, count):
    pairs = [list(Tensors(pixels, HOW).part(first, count).batches(3)) for pixels in (open_pixels(index), whole)]
    for (place, batch), (expected_place, expected) in zip(*pairs, strict=True):
        np.testing.assert_array_equal(place, expected_place)
        np.testing.assert_array_equal(batch, expected)
