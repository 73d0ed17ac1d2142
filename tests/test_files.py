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
        assert files.is_being_written(tmp_path)
        temporary.write_text("whole")
    assert os.listdir(tmp_path) == ["data.json"]
    assert not files.is_being_written(tmp_path)


def test_the_size_of_a_folder_is_that_of_its_files_and_not_of_what_links_lead_to(tmp_path):
    (tmp_path / "run" / "artefacts").mkdir(parents=True)
    (tmp_path / "run" / "data.json").write_bytes(bytes(10))
    (tmp_path / "run" / "artefacts" / "tensors.npy").write_bytes(bytes(200))
    (tmp_path / "elsewhere").write_bytes(bytes(4000))
    (tmp_path / "run" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "run" / "round").symlink_to(tmp_path / "run")
    (tmp_path / "run" / "dangling").symlink_to(tmp_path / "nowhere")
    assert files.size_of(tmp_path / "run") == 210
    assert files.size_of(tmp_path / "run" / "data.json") == 10
    assert files.size_of(tmp_path / "nowhere") == 0


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
