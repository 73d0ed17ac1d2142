import pytest

from helpers import charts
from tests.test_html import sweep_of


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
