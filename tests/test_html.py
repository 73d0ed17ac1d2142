import base64
import io
import re
from html import escape

import nbformat
import numpy as np
import pytest
from PIL import Image

from helpers import charts, html
from helpers.elements import Figure, Gallery, Group, Sentence, Table, Text
from helpers.records import Sweep
from tests.test_verdict import series

HOSTILE = '<script>alert("x")</script>&\u202e"'


@pytest.mark.parametrize(
    "element",
    [
        Sentence(HOSTILE, HOSTILE),
        Figure("<svg></svg>", HOSTILE, HOSTILE),
        Table([HOSTILE], [[HOSTILE]], HOSTILE),
        Gallery(np.zeros((1, 4, 4, 3), np.uint8), [HOSTILE], HOSTILE),
        Text(HOSTILE),
        Group([Sentence(HOSTILE)]),
    ],
    ids=lambda element: type(element).__name__,
)
def test_what_comes_from_data_is_escaped(element):
    assert "<script>" not in element._repr_html_()
    assert '"x"' not in element._repr_html_()


def test_columns_of_numbers_are_flush_right():
    text = Table(["a", "b", "c"], [[1, "x", None], ["2.5 to 3.1", "9", None]])._repr_html_()
    assert "<td class=number>2.5 to 3.1</td><td>9</td><td>–</td>" in text


def test_a_figure_with_its_interval_is_a_number_and_does_not_break():
    text = Table(["FPS"], [["1440 (1130 to 1980)"]])._repr_html_()
    assert "<td class=number>1440 (1130 to 1980)</td>" in text


def sources(gallery):
    return re.findall(r'src="data:image/(\w+);base64,([^"]*)"', gallery._repr_html_())


def test_a_gallery_is_exact_where_no_size_is_asked_for():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), np.uint8)
    [(kind, encoded)] = sources(Gallery(pixels, ["a"], ""))
    assert kind == "png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))), pixels[0])


@pytest.mark.parametrize("most", [6000, 2500])
def test_a_picture_needs_no_more_bytes_than_it_may(most):
    noise = np.random.default_rng(0).integers(0, 2, (1, 96, 96, 3), np.uint8) * 255
    [(kind, encoded)] = sources(Gallery(noise, ["a"], "", most))
    assert kind in ("jpeg", "webp")
    assert len(base64.b64decode(encoded)) <= most


def test_of_a_plain_picture_the_smallest_format_is_taken():
    plain, shades = np.zeros((1, 2, 2, 3), np.uint8), np.linspace(0, 255, 96 * 96 * 3).reshape(1, 96, 96, 3).astype(np.uint8)
    for pixels in (plain, shades):
        [(_, encoded)] = sources(Gallery(pixels, ["a"], "", 4500))
        [(_, exact)] = sources(Gallery(pixels, ["a"], ""))
        assert len(encoded) <= len(exact)


def test_lines_under_a_picture_are_lines_and_a_wrong_one_is_marked():
    shown = Gallery(np.zeros((1, 4, 4, 3), np.uint8), ["a.png\n✗ b\n✓ c"], "")._repr_html_()
    assert '<figure class="gallery wide">' in shown
    assert 'alt="picture: a.png"' in shown
    assert "<div><span>a.png</span><span class=wrong>✗ b</span><span>✓ c</span></div>" in shown


def page_of(tmp_path, *cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A title\n\nText."), *cells])
    nbformat.write(notebook, tmp_path / "x.ipynb")
    html.render(tmp_path / "x.ipynb", tmp_path / "x.html")
    return (tmp_path / "x.html").read_text()


def code(source="1 + 1", tags=(), **output):
    outputs = [nbformat.v4.new_output(**output)] if output else []
    return nbformat.v4.new_code_cell(source, outputs=outputs, metadata={"tags": list(tags)})


def test_a_page_is_one_file_without_script_or_network(tmp_path):
    text = page_of(tmp_path, code(output_type="display_data", data={"text/html": "<p>shown</p>", "text/plain": "no"}))
    assert "Content-Security-Policy" in text
    assert "default-src 'none'" in text
    assert text.count("<h1") == 1
    assert "<title>A title</title>" in text
    assert '<html lang="en">' in text
    assert "<p>shown</p>" in text
    assert not re.search(r"<script|https?://|@import|url\((?!data:)| on\w+=", text)


@pytest.mark.parametrize(
    "title",
    [
        "![p](http://evil/x.png)",
        "[x](javascript:alert(1))",
        "a *b* `c` $d$ \\*",
        "http://a.b/c",
        "**<b>**",
        "ends with #",
        "two\n\n## lines",
    ],
)
def test_a_title_is_text_and_no_markdown(tmp_path, title):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A title\n\nText with `code`.")])
    nbformat.write(notebook, tmp_path / "x.ipynb")
    html.render(tmp_path / "x.ipynb", tmp_path / "x.html", title)
    shown = escape(" ".join(title.split()))
    text = (tmp_path / "x.html").read_text()
    assert f"<h1>{shown}</h1>" in text
    assert f"<title>{shown}</title>" in text
    assert "Text with <code>code</code>." in text


def test_tags_decide_what_is_shown(tmp_path):
    shown = {"output_type": "stream", "name": "stdout", "text": "result"}
    assert "secret_code" in page_of(tmp_path, code("secret_code", **shown))
    hidden = page_of(tmp_path, code("secret_code", ["hide"], **shown))
    assert "secret_code" not in hidden
    assert "result" in hidden
    assert "result" not in page_of(tmp_path, code("secret_code", ["skip"], **shown))


def test_an_error_is_shown_as_its_sentence_and_escaped(tmp_path):
    text = page_of(tmp_path, code(output_type="error", ename="UserError", evalue="x", traceback=[f"\x1b[31mUserError: {HOSTILE}\x1b[0m"]))
    assert "UserError: &lt;script&gt;" in text
    assert "\x1b" not in text


def test_a_notebook_that_failed_and_left_no_record_names_no_host_of_a_worker(tmp_path):
    said = "UserError: images 0 to 15 failed 4 times, last on worker 2 on npu-lab-7 (process 5): npu-lab-7 is busy."
    text = page_of(tmp_path, code(output_type="error", ename="UserError", evalue="x", traceback=[said]))
    assert "last on worker 2 on (host 1) (process 5): (host 1) is busy." in text


def test_progress_bars_are_not_in_the_page(tmp_path):
    assert "50%" not in page_of(tmp_path, code(output_type="stream", name="stderr", text="50%|###"))


def sweep_of():
    head = dict.fromkeys(("git_commit", "git_dirty"))
    mine, theirs = (
        series("candidate", {1: 100, 8: None, 64: 300}, name="mine <b>"),
        series("baseline", {1: 90, 8: 95, 64: 99}, name="theirs"),
    )
    return Sweep(
        run="r", step="s", created_utc="t", params={}, fingerprint="f", inputs={}, environment={}, seconds=1.0, **head,
        series=[mine, theirs],
        region="compute", ratios=[], geomean_ratio=1.5, best_over_best_ratio=None, gate="geomean", verdict="PASS", sentence="",
    )  # fmt: skip


def test_the_chart_says_its_numbers_in_its_alt_text_and_starts_at_zero():
    figure = charts.fps(sweep_of())
    assert figure.alt == (
        "mine <b> runs at 1.50 × theirs. "
        "mine <b>: batch 1 100.0, batch 8 failed, batch 64 300.0; theirs: batch 1 90.00, batch 8 95.00, batch 64 99.00."
    )
    assert "mine &lt;b&gt; runs at 1.50 × theirs" in figure.svg
    assert ">0<" in figure.svg.replace(" ", "")


def test_a_chart_has_the_same_bytes_every_time():
    assert charts.fps(sweep_of()).svg == charts.fps(sweep_of()).svg
