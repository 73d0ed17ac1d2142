import pytest

from helpers import sweep_charts
from helpers.records import Latency, Moment, Telemetry
from tests.test_html import sweep_of

NOTHING = dict.fromkeys(("power_w", "power_of", "temperature_c", "temperature_max_c", "aicore_pct", "frequency_mhz"))


def timed(latencies):
    """Return a sweep whose candidate's calls took so long at its batch sizes."""
    sweep = sweep_of()
    measured = [row for row in sweep.series[0].rows if row.regions]
    for row, latency in zip(measured, latencies, strict=True):
        row.regions[sweep.region].latency_ms = latency
    return sweep


def sampled(*moments):
    sweep = sweep_of()
    timeline = [Moment(seconds=seconds, power_w=power, temperature_c=None, frequency_mhz=clock) for seconds, power, clock in moments]
    sweep.series[0].rows[0].telemetry = Telemetry(samples=len(moments), failed_samples=0, interval_seconds=1, **NOTHING, timeline=timeline)
    return sweep


def test_percentiles_are_drawn_by_batch_size():
    figure, table = sweep_charts.latency(timed([Latency(p50=2.0, p90=3.0, p99=None), Latency(p50=9.5, p90=None, p99=None)])).elements
    assert figure.alt.startswith("Half of the calls take at most 2 ms at batch size 1. p50: batch 1 2 ms, batch ")
    assert "p90: batch 1 3 ms, batch " in figure.alt
    assert figure.svg.count(">p50<") == figure.svg.count(">p90<") == 1
    assert ">p99<" not in figure.svg
    assert (table.headers, table.rows) == (["batch", "p50 ms", "p90 ms", "p99 ms"], [[1, "2", "3", None], [64, "9.5", None, None]])


def test_without_single_calls_there_is_no_such_chart():
    assert sweep_charts.latency(timed([None, None])) is None


def test_what_was_sampled_is_drawn_from_the_first_sample_on():
    figure, table = sweep_charts.timeline(sampled((100.0, 20.0, 1000.0), (101.0, None, 900.0), (103.0, 60.0, 950.0))).elements
    assert figure.alt == "3 samples over 3 s: clock, MHz 900 to 1000; power, W 20 to 60."
    assert "temperature" not in figure.svg
    assert table.rows == [["clock, MHz", 3, "900", "950", "1000"], ["power, W", 2, "20", "40", "60"]]
    assert "seconds since the first sample" in figure.svg


@pytest.mark.filterwarnings("error")
def test_a_device_that_is_said_to_take_nothing_has_a_timeline_too():
    assert "power, W 0 to 0" in sweep_charts.timeline(sampled((1.0, 0.0, None), (2.0, 0.0, None))).elements[0].alt


@pytest.mark.parametrize("moments", [[], [(1.0, None, None)]])
def test_where_nothing_was_sampled_there_is_no_timeline(moments):
    assert sweep_charts.timeline(sampled(*moments)) is None
