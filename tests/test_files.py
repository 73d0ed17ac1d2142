import os
import subprocess
import sys

import pytest

from helpers import files


def test_what_a_process_that_is_gone_was_writing_is_removed_and_nothing_else(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, kept = [f"{gone.pid}-data.json.x.json", "data.json"], f"{os.getpid()}-data.json.y.json"
    for name in (*left, kept):
        (tmp_path / f".unfinished-{name}").touch()
    (tmp_path / "data.json").touch()
    files.remove_unfinished(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [f".unfinished-{kept}", "data.json"]


def test_a_file_being_written_says_by_whom(tmp_path):
    with files.whole(tmp_path / "data.json") as temporary:
        assert temporary.name.startswith(f".unfinished-{os.getpid()}-data.json.")
        files.remove_unfinished(tmp_path)
        temporary.write_text("whole")
    assert os.listdir(tmp_path) == ["data.json"]


@pytest.fixture
def linked(tmp_path):
    """A folder with a linked folder, a link that leads round, and a name that is no text."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.png").write_text("b")
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "round").symlink_to(folder)
    with open(os.fsencode(folder) + b"/a\xff.png", "w") as file:
        file.write("a")
    return folder


def test_linked_folders_are_walked_each_once(linked):
    assert sorted(str(path.relative_to(linked)) for path in files.walk(linked)) == ["a\udcff.png", "linked/b.png"]


def test_the_hash_of_a_folder_is_that_of_linked_files_too(linked):
    before = files.sha256(linked)
    assert files.sha256(linked) == before
    (linked / "linked" / "b.png").write_text("other")
    assert files.sha256(linked) != before
