import csv
import json

import pytest

from helpers import table_files
from helpers.elements import Table

PAGE = (
    "<h1>A run</h1>"
    + Table(["batch", "FPS"], [[1, "100.5"], [8, None]])._repr_html_()
    + "<h2>Is it <em>fast</em>?</h2>"
    + Table(["name", "change"], [["<b>", "+0.5 %"], ["=1+1", "-2 to 3"]], "What = changed")._repr_html_()
)


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "4_batch_sweep.html"
    path.write_text(PAGE)
    return path


def test_every_table_is_a_file_named_by_its_heading(page, tmp_path):
    table_files.write(page)
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        "4_batch_sweep.json",
        "4_batch_sweep_1_a_run.csv",
        "4_batch_sweep_2_is_it_fast.csv",
    ]
    with (tmp_path / "tables" / "4_batch_sweep_1_a_run.csv").open(newline="", encoding="utf-8-sig") as file:
        assert list(csv.reader(file)) == [["batch", "FPS"], ["1", "100.5"], ["8", "–"]]


def test_all_tables_of_a_page_are_in_one_json_as_shown(page, tmp_path):
    table_files.write(page)
    assert json.loads((tmp_path / "tables" / "4_batch_sweep.json").read_text())[1] == {
        "heading": "Is it fast?",
        "caption": "What = changed",
        "headers": ["name", "change"],
        "rows": [["<b>", "+0.5 %"], ["=1+1", "-2 to 3"]],
    }


def test_files_of_an_earlier_rendering_are_removed_and_those_of_other_pages_stay(page, tmp_path):
    table_files.write(page)
    other = tmp_path / "tables" / "4_batch_sweep_more.csv"
    other.write_text("")
    page.write_text("<h1>Nothing</h1>")
    table_files.write(page)
    assert list((tmp_path / "tables").iterdir()) == [other]


def test_a_page_whose_name_begins_with_anothers_keeps_its_files(tmp_path):
    for name in ("compare_a_b", "compare_a_b_2_c", "a[1]"):
        (tmp_path / f"{name}.html").write_text(PAGE)
        table_files.write(tmp_path / f"{name}.html")
    table_files.remove(tmp_path / "compare_a_b.html")
    table_files.remove(tmp_path / "a[1].html")
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        "compare_a_b_2_c.json",
        "compare_a_b_2_c_1_a_run.csv",
        "compare_a_b_2_c_2_is_it_fast.csv",
    ]


def test_a_heading_of_other_letters_and_none_still_make_a_name(tmp_path):
    page = tmp_path / "x.html"
    page.write_text(
        "<h2>精度 / ../..</h2>" + Table(["a"], [])._repr_html_() + "<h2>" + 100 * "long " + "</h2>" + Table(["b"], [])._repr_html_()
    )
    table_files.write(page)
    assert (tmp_path / "tables" / "x_1_table.csv").read_text(encoding="utf-8-sig") == "a\n"
    assert (tmp_path / "tables" / "x_2_long_long_long_long_long_long_long_long.csv").read_text(encoding="utf-8-sig") == "b\n"
