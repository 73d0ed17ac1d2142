import re
from xml.etree import ElementTree

import pytest

from helpers import charts
from tests.test_html import sweep_of
from tests.test_tables import noise


def test_a_chart_of_a_simulated_device_says_so_in_its_title():
    sweep = sweep_of()
    sweep.series[0].kind = "simulated"
    figure = charts.fps(sweep)
    assert figure.alt.startswith("Simulated: mine <b> runs at 1.50 × theirs. ")
    assert "Simulated: mine &lt;b&gt; runs at 1.50 × theirs" in figure.svg


@pytest.mark.parametrize("kind", ["measured", "replayed"])
def test_a_chart_of_a_real_device_does_not(kind):
    sweep = sweep_of()
    sweep.series[0].kind = kind
    assert charts.fps(sweep).alt.startswith("mine <b> runs at")


@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_name_is_drawn_as_it_is_written():
    """Dollars are no formula, and what XML forbids does not break the picture."""
    sweep = sweep_of()
    sweep.series[0].device = r"costs $\frac$"
    sweep.series[1].name = "theirs\x1b"
    texts = [element.text for element in ElementTree.fromstring(charts.fps(sweep).svg).iter() if element.text]
    assert r"compute time, costs $\frac$, fp32" in texts
    assert "theirs\ufffd" in texts


def test_a_chart_brings_its_own_white_ground_so_that_it_is_read_on_a_dark_page():
    background = re.search(r'<path d="M 0 [^"]*" style="([^"]*)"', charts.fps(sweep_of()).svg)
    assert background[1] == "fill: #ffffff"


def test_figures_that_were_not_steady_are_hollow_and_called_so():
    sweep, plain = sweep_of(), charts.fps(sweep_of())
    sweep.series[0].rows[0].noise, sweep.series[1].rows[2].noise = noise("NOISY"), noise("UNSTABLE")
    sweep.series[1].rows[0].noise = noise("STABLE")
    figure = charts.fps(sweep)
    assert "batch 1 100.0 (NOISY)," in figure.alt
    assert figure.alt.endswith("batch 64 99.00 (UNSTABLE).")
    assert figure.alt.count("(") == 2
    assert figure.svg.count("fill: #ffffff; stroke: #0072b2") == 1
    assert figure.svg.count("fill: #ffffff; stroke: #d55e00") == 1
    assert "fill: #ffffff; stroke: " not in plain.svg
