import json

from helpers.journal import NAME, Journal
from helpers.records import Row
from helpers.timing import Block, Point, Times

POINT = Point(8, 3, [Block(0.5, [0.5]), Block(0.25, [0.25])], [0, 1])


def row(batch, **values):
    return Row(batch=batch, regions={}, **values)


def test_a_finished_point_is_in_the_file_at_once(tmp_path):
    Journal(tmp_path, "f").add(8, [row(8), None], [POINT, None])
    [line] = (tmp_path / f"{NAME}.partial").read_text().splitlines()
    read = json.loads(line)
    assert (read["fingerprint"], read["batch"]) == ("f", 8)
    told = {"images_per_block": 24, "processes_start_at": [0, 1], "block_seconds": [0.5, 0.25], "block_execution_seconds": None}
    assert read["points"] == [told, None]


def test_the_execution_alone_is_kept_too(tmp_path):
    parts = [Times(0.1, 0.3, 0.1), Times(0.1, 0.25, 0.1)]
    Journal(tmp_path, "f").add(8, [row(8)], [Point(8, 2, [Block(1.0, [0.5, 0.5], parts)])])
    [line] = (tmp_path / f"{NAME}.partial").read_text().splitlines()
    assert json.loads(line)["points"][0]["block_execution_seconds"] == [0.55]


def test_an_interrupted_sweep_continues(tmp_path):
    first = Journal(tmp_path, "f")
    first.add(8, [row(8, first_call_ms=3.5), row(8)], [POINT, POINT])
    first.add(1, [row(1), None], [POINT, None])
    again = Journal(tmp_path, "f")
    assert [batch in again for batch in (1, 8, 4)] == [True, True, False]
    assert again.rows(0) == [row(1), row(8, first_call_ms=3.5)]
    assert again.rows(1) == [row(8)]


def test_what_failed_is_tried_again(tmp_path):
    Journal(tmp_path, "f").add(8, [row(8), row(8, error="out of memory")], [POINT, None])
    assert 8 not in Journal(tmp_path, "f")


def test_what_another_sweep_left_is_dropped(tmp_path):
    Journal(tmp_path, "f").add(8, [row(8)], [POINT])
    assert 8 not in Journal(tmp_path, "g")
    assert 8 not in Journal(tmp_path, "f")  # its file was begun anew


def test_a_line_that_was_cut_off_is_dropped_and_the_others_stay(tmp_path):
    first = Journal(tmp_path, "f")
    first.add(8, [row(8)], [POINT])
    first.add(1, [row(1)], [POINT])
    partial = tmp_path / f"{NAME}.partial"
    partial.write_text(partial.read_text()[:-30])
    again = Journal(tmp_path, "f")
    assert [batch in again for batch in (8, 1)] == [True, False]
    again.add(1, [row(1)], [POINT])
    assert len(partial.read_text().splitlines()) == 2


def test_a_finished_sweep_is_not_continued(tmp_path):
    first = Journal(tmp_path, "f")
    first.add(8, [row(8)], [POINT])
    path = first.finish()
    assert path == tmp_path / NAME
    assert not (tmp_path / f"{NAME}.partial").exists()
    assert 8 not in Journal(tmp_path, "f")
