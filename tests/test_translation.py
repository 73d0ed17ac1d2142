import base64

import pytest

from helpers import translation

CATALOGUE = {
    "Verdict": "结论",
    "batch size": "批大小",
    "{} is as fast as {}.": "{1} 与 {0} 一样快。",
    "{} is refused: {}.": "{0} 被拒绝:{1}。",
    "it differs by {}": "相差 {0}",
    "It is fast.": "很快。",
}


@pytest.fixture(autouse=True)
def catalogue(monkeypatch):
    monkeypatch.setattr(translation, "_catalogue", lambda language: translation._Catalogue(CATALOGUE))


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
        ("<p>m is refused: it differs by 3\u00a0%.</p>", "<p>m 被拒绝:相差 3 %。</p>"),
        ("<p>It is fast. Who knows?</p>", "<p>很快。 Who knows?</p>"),
        ("<p>Who knows? It is fast.</p>", "<p>Who knows? It is fast.</p>"),
        ("<p>Who knows. It is fast.</p>", "<p>Who knows. 很快。</p>"),
        ("<p>Unknown.</p>", "<p>Unknown.</p>"),
        ("<pre>Verdict</pre><code>Verdict</code>", "<pre>Verdict</pre><code>Verdict</code>"),
        ('<img alt="Verdict" src="data:image/png;base64,AA"/>', '<img alt="结论" src="data:image/png;base64,AA"/>'),
    ],
)
def test_known_texts_are_translated_and_others_stay(given, said):
    assert body(given) == said


def test_what_comes_from_data_stays_escaped():
    assert body("<p>&lt;script&gt; is as fast as &amp;.</p>") == "<p>&amp; 与 &lt;script&gt; 一样快。</p>"


def test_the_texts_of_a_chart_are_translated():
    def encoded(text):
        return base64.b64encode(f'<svg><text x="1">{text}</text><text>7 &lt; 8</text></svg>'.encode()).decode()

    shown = body(f'<img src="data:image/svg+xml;base64,{encoded("batch size")}"/>')
    assert shown == f'<img src="data:image/svg+xml;base64,{encoded("批大小")}"/>'
