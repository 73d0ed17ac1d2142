"""The pages in a real browser: who can read them, what they ask for, how they print, and what hostile data can do to them."""

import functools
import json
import re
import shutil

import nbformat
import numpy as np
import pytest

from helpers import charts, compare, html, index
from helpers.elements import Figure, Gallery, KeyFigures, Sentence, Table, Text
from tests.test_html import code, sweep_of

NOTEBOOKS = ["1_prepare_data", "2_convert", "3_accuracy", "4_batch_sweep", "report"]
PAGES = [*NOTEBOOKS, "index", "compare", "hostile", "hostile_index", "hostile_compare"]
DESKTOP, PHONE, PAPER = 1000, 390, 688  # CSS pixels; PAPER is A4 less the margins that the style sheet states
PAPER_HEIGHT = 1000
REACHED = "a[href], summary, [tabindex]"  # what the Tab key must come to

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror="alert(1)">'
BACKWARDS = "abc\u202edef"
LONG = "n" * 10_000
LINES = "one\ntwo\x00three"
FORMULA = r"a$\frac{$b"
pytestmark = pytest.mark.filterwarnings("ignore:Glyph", "ignore:constrained_layout")  # of hostile names in charts
HOSTILE = [SCRIPT, IMAGE, BACKWARDS, LONG, LINES, FORMULA]


@pytest.fixture(scope="module")
def pages(finished_run, tmp_path_factory):
    """Every page under test by its name."""
    index.write_index(finished_run.parent)
    paths = {name: finished_run / f"{name}.html" for name in NOTEBOOKS}
    paths["index"] = finished_run.parent / "index.html"
    paths["compare"] = write_comparison(tmp_path_factory.mktemp("compared"), finished_run, "openvino fp32")
    paths["hostile_compare"] = write_comparison(tmp_path_factory.mktemp("hostile"), finished_run, *HOSTILE)
    paths["hostile"] = write_hostile_page(tmp_path_factory.mktemp("hostile"))
    paths["hostile_index"] = write_hostile_index(tmp_path_factory.mktemp("runs"), finished_run)
    return paths


def write_hostile_page(folder):
    """Every element with every hostile text, and what a failed cell or a print leaves."""
    outputs = [output for text in HOSTILE for output in hostile_outputs(text)]
    cells = [nbformat.v4.new_markdown_cell("# A title\n\nText."), nbformat.v4.new_markdown_cell("## Hostile"), *outputs]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "hostile.ipynb")
    html.render(folder / "hostile.ipynb", folder / "hostile.html", " ".join(HOSTILE).replace("\n", " "))
    return folder / "hostile.html"


def hostile_outputs(text):
    sweep = sweep_of()
    sweep.series[0].name = sweep.series[0].device = text[:100]
    elements = [
        Sentence(text, text), charts.fps(sweep), KeyFigures([(text, text, text)]), Table([text, "n"], [[text, 1]], text), Table([text], []),
        Gallery(np.zeros((1, 4, 4, 3), np.uint8), [text], text), Text(text), Figure(charts.fps(sweep_of()).svg, text, text),
    ]  # fmt: skip
    shown = [code(text, output_type="display_data", data={"text/html": element._repr_html_()}) for element in elements]
    printed = [
        code(text, output_type="stream", name="stdout", text=text),
        code(text, output_type="display_data", data={"text/plain": text}),
    ]
    return [*shown, *printed, code(text, output_type="error", ename="UserError", evalue=text, traceback=[text])]


def write_hostile_index(folder, finished_run):
    """Runs whose folders and candidates have hostile names; a folder's name can't hold a slash or a NUL, nor 10 kB."""
    for text in (SCRIPT, IMAGE, BACKWARDS, LONG, "one\ntwo"):
        run = folder / text.replace("/", "")[:200]
        run.mkdir()
        for path in (*finished_run.glob("*.json"), *finished_run.glob("*.html")):
            shutil.copy(path, run)
        sweep = json.loads((run / "sweep.json").read_text())
        sweep["series"][0] |= {"name": text, "device": text}
        (run / "sweep.json").write_text(json.dumps(sweep))
    index.write_index(folder)
    return folder / "index.html"


def write_comparison(folder, finished_run, *names):
    """The run and one that is otherwise called, of another device and faster."""
    other = shutil.copytree(finished_run, folder / "other")
    sweep = json.loads((other / "sweep.json").read_text())
    sweep["series"][0] |= {"name": " ".join(names), "device": names[0]}
    sweep["environment"] |= dict.fromkeys(names, "another")
    (other / "sweep.json").write_text(json.dumps(sweep))
    return compare.write(str(finished_run), str(other), folder / "compare.html")[0]


@pytest.fixture
def look(chromium, pages):
    """Return a function that opens a page; what the page asked for is in `asked`, every dialog in `dialogs`."""
    contexts = []

    def opened(name, width=DESKTOP, **options):
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme="light", **options)
        contexts.append(context)
        page, own = context.new_page(), pages[name].as_uri()
        page.asked, page.dialogs = [], []
        context.route("**/*", lambda route: route.continue_() if route.request.url == own else route.abort())
        context.on("request", lambda request: page.asked.append(request.url) if not request.url.startswith("data:") else None)
        page.on("dialog", lambda dialog: (page.dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(own)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_to_complain_of(look, name, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: pip install -e '.[dev]'")
    found = axe.Axe().run(look(name, width)).response["violations"]
    assert [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found] == []


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_no_wider_than_the_screen(look, name, width):
    assert look(name, width).evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_but_itself(look, pages, name):
    page = look(name)
    assert page.asked == [pages[name].as_uri()]
    policy = page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
    assert policy.startswith("default-src 'none'; ")
    assert page.evaluate("document.scripts.length") == 0
    handlers = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(name => name.startsWith('on'))"
    assert page.evaluate(handlers) == []


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", PAGES)
def test_the_tab_key_reaches_everything_in_the_order_of_the_document(look, name, width):
    page = look(name, width)
    expected, reached = page.locator(REACHED).count(), []
    for _ in range(expected):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(f"[...document.querySelectorAll('{REACHED}')].indexOf(document.activeElement)"))
    assert reached == list(range(expected))
    scrolls = (
        "[...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX == 'auto')"
    )
    assert page.evaluate(f"{scrolls}.every(e => e.tabIndex == 0 || e.querySelector('a'))")


@pytest.mark.parametrize("name", PAGES)
def test_what_is_read_first_stands_above(look, name):
    page = look(name)
    tops = page.evaluate("[...document.querySelectorAll('h1, h2, main p, figure, table, pre')].map(e => e.getBoundingClientRect().top)")
    shown = [top for top in tops if top > 0]  # what is folded away has none
    assert shown == sorted(shown)
    assert page.locator("h1").count() == 1
    assert page.get_attribute("html", "lang") == "en"


def test_a_screen_reader_meets_the_heading_the_verdict_and_the_figures_first(look):
    said = look("report").locator("main").aria_snapshot()
    met = re.findall(r"- (heading|paragraph)?:? ?\W?(Demo|PASS:|FAIL:|INCONCLUSIVE:|term: best throughput|figure)", said)
    assert [role or text for role, text in met[:4]] == ["heading", "paragraph", "term: best throughput", "figure"]


@pytest.mark.parametrize("name", PAGES)
def test_charts_are_svg_that_can_be_drawn(look, name):
    page = look(name)
    drawn = page.evaluate("[...document.images].map(i => [i.naturalWidth > 0, i.src.slice(0, 19), i.closest('.gallery') == null])")
    assert all(there for there, _, _ in drawn)
    assert all(kind == "data:image/svg+xml;" for _, kind, chart in drawn if chart)


@pytest.mark.parametrize("name", [*NOTEBOOKS, "compare"])
def test_a_page_without_its_galleries_is_at_most_100_kb(look, name):
    page = look(name)
    page.evaluate("document.querySelectorAll('.gallery').forEach(gallery => gallery.remove())")
    assert len(page.content().encode()) <= 100_000


@pytest.mark.parametrize("name", PAGES)
def test_no_chart_is_cut_in_print_and_headers_repeat(look, name):
    page = look(name, PAPER)
    page.emulate_media(media="print")
    style = functools.partial("[...document.querySelectorAll('{}')].map(e => getComputedStyle(e).{})".format)
    assert set(page.evaluate(style("figure, tr, .sentence", "breakInside"))) <= {"avoid"}
    assert set(page.evaluate(style("thead", "display"))) <= {"table-header-group"}
    assert set(page.evaluate(style("details", "display"))) <= {"none"}
    assert page.evaluate(f"[...document.querySelectorAll('figure img')].every(e => e.getBoundingClientRect().height < {PAPER_HEIGHT})")
    assert b"/Type /Page\n" in page.pdf(format="A4")


@pytest.mark.parametrize("name", [*NOTEBOOKS, "compare"])
def test_no_table_is_wider_than_the_paper(look, name):
    page = look(name, PAPER)
    page.emulate_media(media="print")
    assert page.evaluate("[...document.querySelectorAll('table')].filter(e => e.scrollWidth > document.body.clientWidth).length") == 0


def test_links_print_where_they_lead(look):
    page = look("report", PAPER)
    printed = "getComputedStyle(document.querySelector('p a'), '::after').content"
    assert page.evaluate(printed) == "none"
    page.emulate_media(media="print")
    assert page.evaluate(printed) == '" (1_prepare_data.html)"'


@pytest.mark.parametrize("name", ["hostile", "hostile_index", "hostile_compare"])
def test_hostile_texts_are_texts_even_without_the_policy(look, pages, name):
    """The page's own policy is switched off, so that nothing but the escaping keeps scripts from running."""
    page = look(name, bypass_csp=True)
    assert page.asked == [pages[name].as_uri()]
    assert page.dialogs == []
    shown = page.locator("body").inner_text()
    cut = (r"abc\u202edef", LONG[: index.MOST_CHARACTERS // 2]) if name == "hostile_index" else (BACKWARDS, LONG)
    assert [text for text in (SCRIPT, IMAGE, *cut) if text not in shown] == []
    assert page.locator("script, img[src='x'], [onerror]").count() == 0
