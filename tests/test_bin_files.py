import stat

import numpy as np
import pytest

from helpers.ascend import bin_files
from helpers.errors import UserError


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["val/ILSVRC2012_val_00000001.JPEG", "b-1.tar.png"], ["ILSVRC2012_val_00000001", "b-1"]),
        (["a/1.png", "b/1.png"], ["image_00000001", "image_00000002"]),
        (["a b.png", "c.png"], ["image_00000001", "image_00000002"]),
        (["ä.png"], ["image_00000001"]),
        ([".png"], ["image_00000001"]),
        ([], []),
    ],
)
def test_stems_are_those_of_the_guide_or_numbers(names, expected):
    assert bin_files.stems(names) == expected


def test_an_image_is_its_values_in_c_order_for_owner_and_group(tmp_path):
    batch = np.arange(2 * 3 * 224 * 224, dtype=np.float32).reshape(2, 224, 224, 3).transpose(0, 3, 1, 2)
    bin_files.write_bin(tmp_path / "bin", ["a", "b", "c"], iter([batch, batch[:1]]))
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == ["a.bin", "b.bin", "c.bin"]
    assert (tmp_path / "bin" / "b.bin").stat().st_size == 602_112
    np.testing.assert_array_equal(np.fromfile(tmp_path / "bin" / "b.bin", np.float32), batch[1].ravel())
    assert stat.S_IMODE((tmp_path / "bin").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "bin" / "a.bin").stat().st_mode) == 0o640


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "other").write_text("kept")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "a.bin").symlink_to(tmp_path / "other")
    bin_files.write_bin(tmp_path / "bin", ["a"], [np.zeros((1, 2), np.uint8)])
    assert (tmp_path / "other").read_text() == "kept"
    assert (tmp_path / "bin" / "a.bin").read_bytes() == b"\0\0"


def test_a_file_that_would_be_read_too_is_refused(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "old.bin").write_text("x")
    with pytest.raises(UserError, match="bin holds old.bin, which is not of this run but would be read with it: remove the folder."):
        bin_files.write_bin(tmp_path / "bin", ["a"], [np.zeros((1, 2), np.float32)])
