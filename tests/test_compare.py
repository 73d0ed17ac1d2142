import json
import re
from html.parser import HTMLParser

import pytest

from helpers import compare, embedded, run
from helpers.errors import UserError
from tests import runs
from tests.test_html import HOSTILE
from tests.test_tables import noise
from tests.test_verdict import series

MANY = {"answers": [0, 1] * 1000, "labels": [0, 1] * 1000}


@pytest.fixture
def two(tmp_path):
    """Return a function that writes runs a and b, of which b is otherwise, and gives the headline and the page."""

    def compared(first=None, **otherwise):
        folders = [runs.write(tmp_path / "a", **{**MANY, **(first or {})}), runs.write(tmp_path / "b", **{**MANY, **otherwise})]
        page, headline = compare.write(*map(str, folders), tmp_path / "c.html")
        return headline, page.read_text()

    return compared


def report_of(folder):
    page = folder.parent / f"{folder.name}.html"
    page.write_text(f'<pre hidden id="records">{embedded.pack(folder)}</pre>')
    return page


def test_two_alike_runs_have_one_verdict(two):
    headline, page = two(fps={1: 150.0, 8: 450.0})
    assert headline == (
        "B is as accurate as A, within 0.5 points on the same 2,000 images, and runs at 1.50 times the speed of A (95 % interval "
        "1.49 to 1.52, geometric mean of 2 batch sizes)."
    )
    assert f'<p class="sentence pass">{headline.replace(" %", chr(160) + "%")}</p>' in page
    assert re.findall('<dd class="value">([^<]*)</dd>', page) == ["+0.00 points", "1.50 ×"]


@pytest.mark.parametrize(
    ("otherwise", "said", "values"),
    [
        ({"model": {"weights": "x" * 64, "onnx": "y" * 64}}, "Not comparable: other model weights (", ["none", "none"]),
        ({"model": {"refused": "it differs"}}, "Not comparable: the model of B was refused (it differs).", ["none", "none"]),
        (
            {"labels": [0, 1], "answers": [0, 1]},
            "Not comparable: accuracy (other images or pixels: 2,000 images in A and 2 in B). B runs at 1.00 times",
            ["none", "1.00 ×"],
        ),
        (
            {"line": {"kind": "simulated"}},
            "Not comparable: speed (B ran on a simulated device). B is as accurate as A, within",
            ["+0.00 points", "none"],
        ),
        (
            {"line": {"kind": "simulated"}, "data": {"classes": 3}},
            "Not comparable: accuracy (other classes (2 in A, 3 in B)), speed (B ran on a simulated device).",
            ["none", "none"],
        ),
    ],
)
def test_unlike_runs_are_not_called_comparable_and_have_no_figure_for_it(two, otherwise, said, values):
    headline, page = two(**otherwise)
    assert headline.startswith(said)
    assert re.findall('<dd class="value">([^<]*)</dd>', page) == values
    assert '<p class="sentence warning">Not comparable' in page


def test_one_that_is_worse_and_one_that_can_not_be_told_have_their_colour(two):
    assert '<p class="sentence fail">B is less accurate than A' in two(answers=[1, 0] * 100 + [0, 1] * 900)[1]
    assert '<p class="sentence inconclusive">B is as accurate' in two()[1]  # the ratio's interval holds 1


def test_a_ratio_of_noisy_figures_says_so_and_is_not_green(two):
    line = series("candidate", {1: 150.0, 8: 450.0})
    line.rows[0].noise = noise("UNSTABLE")
    headline, page = two(sweep={"series": [line]})
    assert headline.endswith(
        "runs at 1.50 times the speed of A (95 % interval 1.49 to 1.52, geometric mean of 2 batch sizes; not all of it was quiet)."
    )
    assert '<p class="sentence inconclusive">B is as accurate' in page
    assert "not measured in turns" in page


def test_folders_and_reports_give_the_same_page(tmp_path):
    a, b = runs.write(tmp_path / "a", **MANY), runs.write(tmp_path / "b", fps={1: 150.0}, **MANY)
    pages = [compare.write(str(one), str(two), tmp_path / "c.html")[0].read_text() for one, two in ((a, b), (report_of(a), report_of(b)))]
    assert pages[0] == pages[1]
    assert "somebody" not in pages[0]


def test_a_run_and_its_own_report_are_one_and_the_same(tmp_path):
    folder = runs.write(tmp_path / "a")
    page, _ = compare.write(str(folder), str(report_of(folder)), tmp_path / "c.html")
    assert "A and B are one and the same run." in page.read_text()


def test_its_tables_are_files_beside_it(tmp_path):
    a, b = runs.write(tmp_path / "a"), runs.write(tmp_path / "b")
    compare.write(str(a), str(b), tmp_path / "c.html")
    tables = json.loads((tmp_path / "tables" / "c.json").read_text())
    headings = ["Two runs, compared", "Is it the same model?", "Is it as accurate?", "Is it as accurate?", "Is it as fast?"]
    assert [table["heading"] for table in tables] == headings  # nothing changed, which is a sentence
    assert len(list((tmp_path / "tables").glob("c_*.csv"))) == 5


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def test_a_page_is_one_file_without_script_network_or_what_hostile_runs_put_in(two):
    hostile = {
        "data": {"source": HOSTILE, "class_names": [HOSTILE, "dog"]},
        "model": {"name": HOSTILE},
        "result": {"backend": HOSTILE, "device": HOSTILE},
        "line": {"name": f"$x {HOSTILE}", "device": HOSTILE},
        "environment": {HOSTILE: HOSTILE, "cpu": HOSTILE},
    }
    _, page = two(first=hostile, **hostile | {"environment": {"cpu": "another"}})
    found = Page(page)
    assert "Content-Security-Policy" in page
    assert found.tags.count("h1") == 1
    assert not {"script", "link", "iframe", "a"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert all(value.startswith("data:image/") for name, value in found.attributes if name in ("src", "href"))
    assert all(value for name, value in found.attributes if name == "alt")


def test_runs_are_found_by_name_folder_and_report(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "REPORTS", tmp_path)
    a, b = runs.write(tmp_path / "a"), runs.write(tmp_path / "b")
    page, _ = compare.write("a", str(report_of(b)))
    assert page == tmp_path / "compare_a_b.html"
    assert compare.find("a") == a
    for nothing in ("", "nowhere", "x" * 5000):
        with pytest.raises(
            UserError, match="there is no run .*: give the name of a folder below reports/, a run's folder or its report.html"
        ):
            compare.find(nothing)


def test_a_comparison_is_called_as_the_runs_are_with_their_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "REPORTS", tmp_path)
    one, other = runs.write(tmp_path / "acme" / "v1.1"), runs.write(tmp_path / "v1.2")
    (other / "report.html").write_text(report_of(other).read_text())
    assert compare.write("acme/v1.1", "v1.2")[0].name == "compare_acme_v1.1_v1.2.html"
    assert compare.write(str(other / "report.html"), str(one))[0].name == "compare_v1.2_acme_v1.1.html"


def test_a_report_is_not_replaced_by_its_comparison(tmp_path):
    report = report_of(runs.write(tmp_path / "a"))
    before = report.read_text()
    with pytest.raises(UserError, match="a.html is one of the reports to compare: give -o another name"):
        compare.write(str(report), str(tmp_path / "a"), report)
    assert report.read_text() == before


def test_the_command_writes_a_page_and_says_the_headline(tmp_path, capsys):
    a, b = runs.write(tmp_path / "a", **MANY), runs.write(tmp_path / "b", **MANY)
    assert run.main(["--compare", str(a), str(b), "-o", str(tmp_path / "c.html")]) == 0
    assert re.fullmatch(r"comparison: .*c\.html\nB is as accurate as A, .*\n", capsys.readouterr().out)


@pytest.mark.parametrize("second", ["nowhere", "empty", "text.html"])
def test_what_is_no_run_is_one_sentence_and_leaves_nothing(tmp_path, capsys, second):
    runs.write(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.html").write_text("<p>none</p>")
    assert run.main(["--compare", str(tmp_path / "a"), str(tmp_path / second), "-o", str(tmp_path / "out" / "c.html")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"[^\n]+\.\n", printed.err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--compare", "a"], ["--compare", "a", "b", "--force"], ["x.yaml", "--compare", "a", "b"], ["x.yaml", "-o", "y"], []],
)
def test_arguments_that_do_not_go_together_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        run.main(arguments)
    assert stopped.value.code == 2
    assert "error: " in capsys.readouterr().err
