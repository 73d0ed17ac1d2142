from helpers import throughput_tables
from helpers.records import Copies, Energy, Latency, Measured, Noise, Refereed, Row, WarmUp
from tests.test_html import sweep_of
from tests.test_tables import cells
from tests.test_verdict import series


def option(figures, name="openvino int8", **facts):
    return series("option", figures, name=name).model_copy(update={"backend": f"{name} of tests", **facts})


def with_options(*options):
    """Return candidate, baseline and options at the batch sizes 1, 8, 64."""
    sweep = sweep_of()
    sweep.series += options
    return sweep


def candidate(row, region="compute"):
    sweep = sweep_of()
    sweep.series[0].rows, sweep.region = [row], region
    return sweep


def measured(fps, **latency):
    known = Latency(**{"mean": 10.0, "p50": 8.0, "p90": 12.5, "p99": None, **latency}) if latency is not None else None
    return Measured(images_per_second=fps, interval_fps=None, latency_ms=known, blocks=30, calls=30)


# configurations


def test_options_stand_beside_candidate_and_baseline_with_their_ratios():
    shown = cells(throughput_tables.options(with_options(option({1: 180, 8: 190, 64: None}))))
    assert shown == [
        ["configuration", "role", "what ran", "batch 1", "batch 8", "batch 64", "remark"],
        ["mine &lt;b&gt;", "candidate", "b", "100.0 (1.11)", "–", "300.0 (3.03)", "batch 8: out of memory"],
        ["theirs", "baseline", "b", "90.00", "95.00", "99.00", "–"],
        ["openvino int8", "option 1", "openvino int8 of tests", "180.0 (2.00)", "190.0 (2.00)", "–", "batch 64: out of memory"],
    ]


def test_without_options_there_is_no_table_of_them():
    assert throughput_tables.options(sweep_of()) is None


def test_a_refused_option_says_why_once():
    refused = option({1: None, 8: None})
    for row in refused.rows:
        row.error = "refused: never compared"
    assert cells(throughput_tables.options(with_options(refused)))[3][3:] == ["–", "–", "–", "batch 1, 8: refused: never compared"]


def test_without_a_baseline_there_are_no_ratios():
    sweep = with_options(option({1: 180}))
    del sweep.series[1]
    table = throughput_tables.options(sweep)
    assert table.caption == "Configurations beside each other, images per second in compute time"
    assert cells(table)[2][3] == "180.0"


def test_a_published_baseline_is_divided_by_but_no_line_of_the_table():
    sweep = with_options(option({1: 180}))
    sweep.series[1].kind = "published"
    table = throughput_tables.options(sweep)
    assert table.caption.endswith("(ratio to theirs at the same batch size)")
    assert [row[0] for row in table.rows] == ["mine <b>", "openvino int8"]
    assert cells(table)[2][3] == "180.0 (2.00)"


def test_another_region_is_shown_without_a_ratio():
    on_gpu = series("option", {1: 180}, region="device", name="gpu")
    assert cells(throughput_tables.options(with_options(on_gpu)))[3][3] == "180.0 in device time"
    sweep = with_options(option({1: 180}))
    sweep.series[1].rows[0].regions = {"device": measured(90)}
    assert cells(throughput_tables.options(sweep))[3][3] == "180.0"


def test_what_was_not_measured_here_is_called_so():
    sweep = with_options(option({1: 180}, kind="simulated"))
    sweep.series[0].kind = "replayed"
    assert [row[1] for row in throughput_tables.options(sweep).rows] == ["candidate, replayed", "baseline", "option 1, simulated"]


def test_lines_of_the_same_name_are_told_apart_by_their_place():
    sweep = with_options(option({1: 180}), option({1: 180}), option({1: 180}, name="openvino bf16"))
    assert [throughput_tables.name(one, sweep) for one in sweep.series[2:]] == [
        "openvino int8 (option 1)", "openvino int8 (option 2)", "openvino bf16",
    ]  # fmt: skip
    sweep.series[2].name = sweep.series[0].name
    assert [throughput_tables.name(sweep.series[at], sweep) for at in (0, 2)] == ["mine <b> (candidate)", "mine <b> (option 1)"]


# definitions


def definitions(row, region="compute"):
    shown = throughput_tables.definitions(candidate(row, region))
    return shown and cells(shown)[1:]


def test_the_same_calls_by_other_tools_definitions():
    row = Row(batch=4, regions={"compute": measured(396.0)})
    assert definitions(row) == [["4", "396.0", "400.0", "500.0", "–"]]


def test_the_90th_percentile_is_that_of_single_images():
    assert definitions(Row(batch=1, regions={"compute": measured(99.0)})) == [["1", "99.0", "100.0", "125.0", "12.50"]]
    assert definitions(Row(batch=1, regions={"compute": measured(99.0, p90=None)})) == [["1", "99.0", "100.0", "125.0", "–"]]


def test_with_copies_the_whole_call_and_the_execution_are_two():
    parts = {"compute": measured(400.0), "device": measured(198.0, mean=20.0, p50=16.0)}
    row = Row(batch=4, regions=parts, copies=Copies(to_device_ms=9.0, to_host_ms=1.0))
    assert definitions(row) == definitions(row, "device") == [["4", "198.0", "400.0", "250.0", "–"]]


def test_where_the_execution_was_not_timed_apart_ais_bench_has_no_figure():
    assert definitions(Row(batch=4, regions={"device": measured(396.0)}), "device") == [["4", "396.0", "–", "500.0", "–"]]


def test_a_recording_of_the_execution_does_not_tell_of_whole_calls():
    row = Row(batch=1, regions={"compute": measured(100.0)}, copies=Copies(to_device_ms=None, to_host_ms=None))
    assert definitions(row) == [["1", "–", "100.0", "–", "–"]]


def test_with_several_requests_in_flight_one_calls_time_does_not_tell_the_rate():
    assert definitions(Row(batch=1, regions={"compute": measured(106.0)})) == [["1", "106.0", "–", "–", "–"]]  # 1.06 at once
    assert definitions(Row(batch=1, regions={"compute": measured(104.0)})) == [["1", "104.0", "100.0", "125.0", "12.50"]]


def test_calls_that_were_not_kept_have_no_definitions():
    unkept = Measured(images_per_second=100.0, interval_fps=None, latency_ms=None, blocks=1, calls=None)
    copies = Copies(to_device_ms=None, to_host_ms=None)
    assert definitions(Row(batch=1, regions={"compute": unkept}, copies=copies)) is None
    assert definitions(Row(batch=1, regions={}, error="out of memory")) is None
    assert definitions(Row(batch=1, regions={"compute": measured(99.0, mean=None)})) == [["1", "99.0", "–", "125.0", "12.50"]]


def test_calls_in_flight_are_rate_times_duration():
    row = Row(batch=4, regions={"compute": measured(800.0)})
    assert throughput_tables.in_flight(row, "compute") == 2.0
    assert throughput_tables.in_flight(Row(batch=4, regions={"compute": measured(800.0, mean=None)}), "compute") is None


# what it took


WARM_UP = WarmUp(calls=12, seconds=1.0, settled=True)


def energy(**facts):
    known = {"counter": "RAPL", "joules_per_image": 0.12345, "idle_w": 4.0, "mean_w": 9.0, "seconds": 1.0, "images": 40}
    return Energy(**known, interval_seconds=0.001, **facts)


def test_what_a_point_took():
    took = {"load_seconds": 1.234, "compile_seconds": 0.5, "first_call_ms": 20.04, "cores_busy": 1.988}
    memory = {"peak_memory_bytes": 2_500_000_000, "peak_device_memory_bytes": 1_500_000_000}
    table = throughput_tables.used(candidate(Row(batch=8, regions={}, warm_up=WARM_UP, energy=energy(), **took, **memory)))
    assert cells(table)[1] == ["mine &lt;b&gt;", "8", "1.23", "0.50", "20.0", "12", "1.99", "2.5 GB", "1.5 GB", "0.123 J"]
    assert table.caption.endswith("Energy, less what is taken idle: RAPL, renewed every 1 ms")


def test_what_is_not_known_is_no_figure():
    unsettled = WARM_UP.model_copy(update={"settled": False})
    table = throughput_tables.used(candidate(Row(batch=8, regions={}, warm_up=unsettled, no_energy="no counter")))
    assert cells(table)[1][2:] == ["–", "–", "–", "12, unsettled", "–", "not told", "–", "–"]
    assert table.caption.endswith("included. No energy: no counter")


def test_what_was_not_measured_here_took_nothing():
    assert throughput_tables.used(sweep_of()) is None


# noise


def noise(verdict="STABLE", reasons=(), **facts):
    return Noise(verdict=verdict, reasons=list(reasons), variation_pct=1.26, iqr_pct=1, windows_pct=1, drift_pct=0.5, outliers=2, **facts)


def test_every_reason_stands_beside_its_point():
    sweep = candidate(Row(batch=8, regions={}, noise=noise("NOISY", ["one", "two"], sentinel_pct=-0.24, clock_pct=0.26, others_pct=7.06)))
    sweep.series[1].rows[0].noise = noise()
    assert cells(throughput_tables.peace(sweep))[1:] == [
        ["mine &lt;b&gt;", "8", "NOISY", "1.3 %", "+0.5 %", "-0.2 %", "+0.3 %", "7.1 %", "2", "one; two"],
        ["theirs", "1", "stable", "1.3 %", "+0.5 %", "–", "–", "–", "2", "–"],
    ]


def test_where_nothing_was_watched_there_is_no_table():
    assert throughput_tables.peace(sweep_of()) is None


# the referee


def test_the_referees_figures_stand_beside_ours():
    sweep = sweep_of()
    known = {"batch": 1, "images_per_second": 99.0, "ours": 100.0, "disagreement_pct": -1.0, "pairs": 4}
    sweep.referee = [
        Refereed(scenario="SingleStream", interval_pct=(-1.5, -0.5), latency_p90_ms=10.5, **known),
        Refereed(scenario="Offline", interval_pct=None, latency_p90_ms=None, **known),
    ]
    assert cells(throughput_tables.referee(sweep))[1:] == [
        ["SingleStream, batch 1", "99.0", "100.0", "-1.00 %", "-1.50 to -0.50", "4", "10.500"],
        ["Offline, batch 1", "99.0", "100.0", "-1.00 %", "–", "4", "–"],
    ]


def test_a_referee_that_said_nothing_says_why():
    said = throughput_tables.referee(sweep_of().model_copy(update={"referee_remark": "The referee has no figure: out of memory"}))
    assert said.text == "The referee has no figure: out of memory"


def test_without_a_referee_there_is_no_table_of_it():
    assert throughput_tables.referee(sweep_of()) is None
