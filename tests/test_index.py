import csv
import json
import re
from html.parser import HTMLParser

import pytest

from helpers import index
from helpers.records import Accuracy, Data, Model
from tests import finished_runs

HOSTILE = '<script>alert("x")</script>&\u202e"'
PAGES = [order.page for order in index.ORDERS]


class Page(HTMLParser):
    """Reads rows of the first table as texts, and every tag with its attributes."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.rows, self.inside = [], [], True
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)
        self.rows = [[" ".join(text.split()) for text in row] for row in self.rows]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if self.inside and tag == "tr":
            self.rows.append([])
        if self.inside and tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside &= tag != "table"

    def handle_data(self, data):
        if self.inside and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def all(self, wanted):
        return [attributes for tag, attributes in self.tags if tag == wanted]

    def names(self):
        return [row[0] for row in self.rows[1:] if len(row) > 1]


def written(reports, page="index.html"):
    index.write_index(reports)
    return Page(reports / page)


def test_a_row_says_what_the_records_say(tmp_path):
    finished_runs.write(tmp_path / "one", "2026-03-01T10:20:30+00:00", model="m", fps={1: 100, 8: 250}, ratio=0.5, top1=91.234)
    page = written(tmp_path)
    assert page.rows[1] == ["one", "2026-03-01 10:20", "m", "onnxruntime fp32 on cpu", "250.0", "8", "0.500", "91.23 %", "PASS"]
    assert {"href": "one/report.html"} in page.all("a")
    assert "1 run: 1 PASS." in page.text


def test_what_a_run_has_not_is_a_dash(tmp_path):
    finished_runs.write(tmp_path / "one", fps={1: None}, ratio=None, top1=None, verdict="NONE")
    assert written(tmp_path).rows[1][4:] == ["–", "–", "–", "–", "no verdict"]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("index.html", ["third", "second", "first", "broken"]),
        ("index_by_model.html", ["second", "third", "first", "broken"]),
        ("index_by_fps.html", ["first", "third", "second", "broken"]),
        ("index_by_ratio.html", ["second", "third", "first", "broken"]),
        ("index_by_top1.html", ["third", "first", "second", "broken"]),
    ],
)
def test_every_order_is_a_page_that_says_so_and_links_to_the_others(tmp_path, page, expected):
    finished_runs.write(tmp_path / "first", "2026-01-01", model="c", fps={1: 30}, ratio=None, top1=2.0)
    finished_runs.write(tmp_path / "second", "2026-01-02", model="a", fps={1: 10}, ratio=3.0, top1=1.0)
    finished_runs.write(tmp_path / "third", "2026-01-03", model="b", fps={1: 20}, ratio=2.0, top1=3.0)
    finished_runs.write(tmp_path / "broken", kinds=(Data,))
    shown = written(tmp_path, page)
    assert shown.names() == expected
    assert [header["aria-sort"] for header in shown.all("th") if "aria-sort" in header] == [index.ORDERS[PAGES.index(page)].direction]
    assert index.ORDERS[PAGES.index(page)].words in shown.text
    assert {link["href"] for link in shown.all("a")} >= set(PAGES) - {page}


def test_runs_that_are_not_finished_have_an_empty_row_with_the_reason(tmp_path):
    finished_runs.write(tmp_path / "half", kinds=(Data, Model, Accuracy))
    finished_runs.write(tmp_path / "failed", kinds=())
    finished_runs.write(tmp_path / "foreign")
    (tmp_path / "foreign" / "sweep.json").write_text("[1]")
    finished_runs.write(tmp_path / "torn")
    (tmp_path / "torn" / "report.json").write_bytes(b'{"schema": 1, "ru\xff')
    finished_runs.write(tmp_path / "folder", kinds=(Data,))
    (tmp_path / "folder" / "model.json").mkdir()
    page = written(tmp_path)
    assert sorted(page.rows[1:]) == [
        ["failed", "data.json is not in run failed: run 1_prepare_data first.", "not finished"],
        ["folder", page.rows[1:][1][1], "not finished"],
        ["foreign", "sweep.json of run foreign has another version's form: run 4_batch_sweep again.", "not finished"],
        ["half", "sweep.json is not in run half: run 4_batch_sweep first.", "not finished"],
        ["torn", "report.json of run torn has another version's form: run 5_report again.", "not finished"],
    ]
    assert "Is a directory" in page.text
    assert {"href": "failed/1_prepare_data.html"} in page.all("a")


def test_each_folder_of_runs_is_a_section_that_links_can_single_out(tmp_path):
    for place in ("plain", "acme/one", "acme/two", "acme/line 2/deep"):
        finished_runs.write(tmp_path / place)
    page = written(tmp_path)
    assert [body["id"] for body in page.all("tbody") if body] == [".", "acme", "acme/line%202"]
    assert [row[0] for row in page.rows if len(row) == 1] == [
        "reports 1 run, by when (UTC) model best FPS ratio top-1",
        "reports / acme 2 runs, by when (UTC) model best FPS ratio top-1",
        "reports / acme / line 2 1 run, by when (UTC) model best FPS ratio top-1",
    ]
    links = [link["href"] for link in page.all("a")]
    assert links.count("#acme") == 3  # the list of folders, its own heading, the heading of the folder below it
    assert {"acme/line%202/deep/report.html", "index_by_fps.html#acme/line%202"} <= set(links)


def test_its_tables_are_files_too(tmp_path):
    finished_runs.write(tmp_path / "acme" / "one", "2026-03-01T10:20:30+00:00", model="=m", fps={1: 100, 8: 250}, ratio=0.5, top1=91.234)
    finished_runs.write(tmp_path / "two", "2026-03-02T10:20:30+00:00", model="=m", fps={8: 240})
    finished_runs.write(tmp_path / "half", kinds=(Data,))
    index.write_index(tmp_path)
    with (tmp_path / "tables" / "index_1_inference_reports.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["two", "acme/one", "half"]
    assert (rows["acme/one"]["model"], rows["acme/one"]["best FPS"], rows["acme/one"]["top-1"]) == ("'=m", "250.0", "91.23 %")
    assert (rows["half"]["verdict"], rows["half"]["why it is not finished"][:12]) == ("not finished", "model.json i")
    over_time = json.loads((tmp_path / "tables" / "index.json").read_text())[1]
    assert over_time["rows"] == [["=m", "onnxruntime fp32 on cpu", "fp32", "compute", "8", "2", "250.0", "240.0", "240.0", "250.0"]]


def test_one_folder_needs_no_list_of_folders(tmp_path):
    finished_runs.write(tmp_path / "plain")
    page = written(tmp_path)
    assert not page.all("nav")
    assert not [row for row in page.rows if len(row) == 1]


def test_hostile_names_and_texts_are_harmless(tmp_path):
    finished_runs.write(tmp_path / "<b>\u202e'", model=HOSTILE, name="n" * 10_000, device=HOSTILE, created=HOSTILE)
    finished_runs.write(tmp_path / "<b>2", model=HOSTILE, name="n" * 10_000, device=HOSTILE, created=HOSTILE)
    finished_runs.write(tmp_path / ("W" * 255), model="\x00\n\u2066", fps={1: 1e300})
    finished_runs.write(tmp_path / "bytes_\udcff", kinds=())
    page = written(tmp_path)
    assert "\u202e" not in page.text
    assert "<b>" not in page.text
    assert "<script" not in page.text
    assert {"<b>\\u202e'", "<b>2"} <= set(page.names())
    assert all(len(text) <= index.MOST_CHARACTERS for row in page.rows if len(row) == 9 for text in row)
    titles = [span["title"] for span in page.all("span") if "title" in span]
    assert "W" * 255 in titles
    assert max(map(len, titles)) > 10_000
    assert "bytes_\\xff" in page.names()
    assert {"href": "bytes_%FF/1_prepare_data.html"} in page.all("a")


def test_figures_too_large_to_be_written_are_a_reason_and_no_exception(tmp_path):
    run = finished_runs.write(tmp_path / "vast")
    sweep = (run / "sweep.json").read_text()
    (run / "sweep.json").write_text(sweep.replace('"interval_fps":[99.0,101.0]', '"interval_fps":[-1e308,1e308]'))
    assert written(tmp_path).rows[1][-1] == "not finished"


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_offline_and_accessible(tmp_path, name):
    for number in range(2):
        finished_runs.write(tmp_path / "group" / str(number), f"2026-01-0{number + 1}")
    page = written(tmp_path, name)
    assert page.all("html") == [{"lang": "en"}]
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page.text
    assert not {"script", "link", "iframe", "object", "embed", "form"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?://|@import|url\(| on\w+=", page.text)
    assert all(header["scope"] in ("col", "row", "rowgroup") for header in page.all("th"))
    assert all(image["alt"] and image["src"].startswith("data:image/svg+xml;base64,") for image in page.all("img"))
    assert len(page.all("img")) == (1 if name == "index.html" else 0)
    assert page.text.count("<caption") == page.text.count("<table")


def test_no_run_at_all_says_how_to_make_one(tmp_path):
    assert "No run yet: python -m helpers.run params/demo.yaml makes one." in written(tmp_path).text


def test_the_pages_of_500_runs_in_20_folders_are_less_than_1_mb_together(tmp_path):
    for number in range(500):
        folder = tmp_path / f"job_{number % 20:02d}" / f"run_{number:03d}"
        finished_runs.write(folder, f"2026-01-01T{number:05d}", model=f"conformer_base_{number % 7}", fps={1: 10, 8: 20, 64: 30})
    index.write_index(tmp_path)
    assert sum((tmp_path / name).stat().st_size for name in PAGES) < 1_000_000
