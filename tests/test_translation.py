import base64

import pytest

from helpers import drawings, translation
from helpers.catalogue import Catalogue

CATALOGUE = {
    "Verdict": "结论",
    "batch": "批大小",
    "{} is as fast as {}.": "{1} 与 {0} 一样快。",
    "{} is refused: {}.": "{0} 被拒绝：{1}。",
    "it differs by {}": "相差 {0}",
    "It is fast.": "很快。",
    "FPS of {} and {}: see {}.": "{1} 和 {0} 的 FPS：见 {2}。",
    "images": "图像",
    "class": "类别",
    "remark": "备注",
    "{#} images": "{0} 张图像",
    "no figure at batch size {#}, since {}": "批大小 {0} 没有数据：{1}",
    "runs at {#} × {}": "是 {1} 的 {0} 倍",
    "{} (simulated)": "{0}（模拟）",
}


@pytest.fixture(autouse=True)
def catalogue(monkeypatch):
    monkeypatch.setattr(translation, "_catalogue", lambda language: Catalogue(CATALOGUE))


def body(text):
    page = f'<!DOCTYPE html>\n<html lang="en"><head><title>Verdict</title></head><body>{text}</body></html>'
    return translation.translated(page, "zh").partition("<body>")[2].removesuffix("</body></html>")


def test_english_is_the_page_itself():
    assert translation.translated("<p>Verdict", "en") == "<p>Verdict"


def test_a_page_says_its_language_and_keeps_its_form():
    page = translation.translated('<!DOCTYPE html>\n<html lang="en"><head><title>Verdict</title></head><body></body></html>', "zh")
    assert page == '<!DOCTYPE html>\n\n<html lang="zh-CN"><head><title>结论</title></head><body></body></html>'


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("<h2>Verdict</h2>", "<h2>结论</h2>"),
        ("<p> Verdict\n</p>", "<p> 结论\n</p>"),
        ("<p>mine is as fast as theirs.</p>", "<p>theirs 与 mine 一样快。</p>"),
        ("<p>m is refused: it differs by 3\u00a0%.</p>", "<p>m 被拒绝：相差 3 %。</p>"),
        ("<p>It is fast. Who knows?</p>", "<p>很快。Who knows?</p>"),
        ("<p>Who knows? It is fast.</p>", "<p>Who knows? It is fast.</p>"),
        ("<p>Who knows. It is fast.</p>", "<p>Who knows. 很快。</p>"),
        ("<p>Unknown.</p>", "<p>Unknown.</p>"),
        ("<pre>Verdict</pre><code>Verdict</code>", "<pre>Verdict</pre><code>Verdict</code>"),
        ('<img alt="Verdict" src="data:image/png;base64,AA"/>', '<img alt="结论" src="data:image/png;base64,AA"/>'),
    ],
)
def test_known_texts_are_translated_and_others_stay(given, said):
    assert body(given) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,000 images", "1,000 张图像"),
        ("-1.5e-06 images", "-1.5e-06 张图像"),
        ("5 of my images", "5 of my images"),
        ("no figure at batch size 1, 4, since m (simulated)", "批大小 1, 4 没有数据：m（模拟）"),
        ("runs at 2 × theirs. mine: 1,000 images", "是 theirs 的 2 倍。mine: 1,000 张图像"),
    ],
)
def test_a_number_is_a_number_and_a_place_ends_with_its_sentence(text, said):
    assert Catalogue(CATALOGUE).say(text) == said


def test_a_title_is_broken_between_characters_and_words_and_loses_nothing():
    assert drawings.wrapped("结" * 31, 2) == ["结" * 30, "结"]
    assert drawings.wrapped(f"{'a' * 40} {'b' * 40} c", 3) == ["a" * 40, f"{'b' * 40} c"]
    assert drawings.wrapped("结" * 100, 2) == ["结" * 30, "结" * 70]


def test_a_sentence_keeps_its_links_and_code_in_the_translations_order():
    given = '<p>FPS of <em>Verdict</em> and <code>images</code>: see <a href="x.html">images</a>.</p>'
    assert body(given) == '<p><code>images</code> 和 <em>结论</em> 的 FPS：见 <a href="x.html">图像</a>。</p>'


def test_characters_that_stand_for_elements_are_not_taken_from_data():
    given = "<p>FPS of \ue001 and <code>images</code>: see <b>b</b>.</p>"
    assert body(given) == given


def test_what_comes_from_data_stays_escaped():
    assert body("<p>&lt;script&gt; is as fast as &amp;.</p>") == "<p>&amp; 与 &lt;script&gt; 一样快。</p>"


def test_names_in_a_column_of_names_stay_what_else_they_may_mean():
    table = "<table><thead><tr><th>class</th><th>remark</th></tr></thead><tbody><tr><td>batch</td><td>batch</td></tr></tbody></table>"
    assert "<th>类别</th><th>备注</th></tr></thead><tbody><tr><td>batch</td><td>批大小</td></tr>" in body(table)


def drawing(*texts):
    lines = "\n".join(f'<text x="1">{text}</text>' for text in texts)
    return f"data:image/svg+xml;base64,{base64.b64encode(f'<svg {lines}<g/><text>7 &lt; 8</text></svg>'.encode()).decode()}"


def drawn(page):
    return base64.b64decode(page.partition("base64,")[2].partition('"')[0]).decode()


def test_the_texts_of_a_chart_are_translated_and_stay_escaped():
    svg = drawn(body(f'<img src="{drawing("a&lt;b is as fast as b.")}"/>'))
    assert svg == '<svg xml:lang="zh-CN" <text x="1">b 与 a&lt;b 一样快。</text><g/><text>7 &lt; 8</text></svg>'


def test_the_lines_of_a_title_are_one_sentence():
    svg = drawn(body(f'<img src="{drawing("mine is as fast", "as theirs.")}"/>'))
    assert '<text x="1">theirs 与 mine 一样快。</text><g/>' in svg


@pytest.mark.parametrize(
    "text",
    [
        " is as fast as " * 2000,
        " is refused: it differs by" * 2000,
        "a, b; c. " * 3000,
        "(" * 20000,
        "1,1." * 5000,
        "FPS of and : see " * 1000,
    ],
)
def test_a_hostile_text_is_looked_up_in_one_pass(text):
    """Where a pattern has two ways to match the same characters, this does not end."""
    assert body(f"<p>{text}</p>").count("is as fast as") in (0, text.count("is as fast as"))
