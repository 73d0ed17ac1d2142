import re

import pytest

from helpers import formats, tables
from helpers.records import Check, Copies, Measured, Noise, Ratio, Row, Telemetry
from tests.test_html import sweep_of
from tests.test_om import onnx_stage


def cells(element):
    """The texts of a table's cells, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", element._repr_html_().replace("\u00a0", " "))
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_the_fps_table_holds_candidate_baseline_and_ratio_of_each_batch_size():
    sweep = sweep_of()
    sweep.ratios = [
        Ratio(batch=1, ratio=100 / 90, interval=(1.1, 1.12), verdict="PASS"),
        Ratio(batch=8, ratio=None, interval=None, verdict="NONE"),
        Ratio(batch=64, ratio=300 / 99, interval=(3.0, 3.06), verdict="PASS", remark="odd"),
    ]
    sweep.best_over_best_ratio = 3.03
    assert cells(tables.fps(sweep)) == [
        ["batch", "FPS", "95 % interval", "p50 ms", "p90 ms", "baseline FPS", "ratio", "95 % interval", "verdict", "noise", "remark"],
        ["1", "100.0", "99.0 to 101.0", "1.00", "–", "90.00", "1.111", "1.100 to 1.120", "PASS", "–", "–"],
        ["8", "–", "–", "–", "–", "95.00", "–", "–", "–", "–", "out of memory"],
        ["64", "300.0", "297.0 to 303.0", "1.00", "–", "99.00", "3.030", "3.000 to 3.060", "PASS", "–", "odd"],
    ]
    assert "Geometric mean of the ratios 1.50; best batch over best batch 3.03." in tables.fps(sweep)._repr_html_()


def test_a_baseline_without_a_figure_says_why():
    sweep = sweep_of()
    sweep.series[1].rows[0].error = "refused: never compared"
    sweep.series[1].rows[0].regions = {}
    assert cells(tables.fps(sweep))[1][-1] == "baseline: refused: never compared"


def test_the_checks_table_names_what_was_compared_and_why_it_was_refused():
    known = {"reference": "PyTorch", "images": 16, "max_abs_diff": 3.2e-6, "cosine_min": 0.99999, "spread": 9.26}
    good = Check(candidate="onnxruntime fp32", batch=3, top1_agree_pct=100.0, passed=True, reason="", **known)
    rough = Check(candidate="openvino bf16", batch=3, top1_agree_pct=100.0, passed=True, exact=False, reason="", **known)
    bad = Check(candidate="openvino bf16", batch=4, top1_agree_pct=87.5, passed=False, reason="too far", **known)
    assert cells(tables.checks([good, rough, bad]))[1:] == [
        ["onnxruntime fp32", "PyTorch", "3", "3.2e-06", "9.3", "0.999990", "100.0 %", "same", "–"],
        ["openvino bf16", "PyTorch", "3", "3.2e-06", "9.3", "0.999990", "100.0 %", "same direction", "–"],
        ["openvino bf16", "PyTorch", "4", "3.2e-06", "9.3", "0.999990", "87.5 %", "REFUSED", "too far"],
    ]


@pytest.mark.parametrize(
    ("fps", "half", "shown"),
    [(3927.4, 224.0, "3930"), (12.345, 0.41, "12.35"), (8.6, 0.0456, "8.600"), (250000.0, 12345.0, "250000"), (100.0, None, "100.0")],
)
def test_digits_shown_are_those_that_the_interval_supports(fps, half, shown):
    interval = (fps - half, fps + half) if half else None
    assert formats.fps(Measured(images_per_second=fps, interval_fps=interval, latency_ms=None, blocks=30, calls=30)) == shown


def test_sizes_are_in_the_unit_that_fits():
    assert [formats.size(number) for number in (None, 1234, 1_788_649, 25_276_502_016)] == [None, "1.2 kB", "1.8 MB", "25.3 GB"]


# a device's own columns


def table(element, caption):
    """Return the cells of the table whose caption begins so."""
    [part] = [part for part in element._repr_html_().split("<table>") if part.startswith(f"<caption>{caption}")]
    return cells(type("Part", (), {"_repr_html_": lambda self: part})())


def sweep_with(**changes):
    """Return a sweep of which the candidate's rows of batch 1 and 64 have these further facts."""
    sweep = sweep_of()
    for row in (sweep.series[0].rows[0], sweep.series[0].rows[2]):
        for name, value in changes.items():
            setattr(row, name, value)
    return sweep


def telemetry(**values):
    seen = {"samples": 3, "failed_samples": 0, "interval_seconds": 1.0, "frequency_mhz": 1000.0}
    known = {"power_w": 20.5, "power_of": "card", "temperature_c": 40.25, "temperature_max_c": 44.0, "aicore_pct": 99.0}
    return Telemetry(**{**seen, **known, **values})


def test_what_the_device_said_of_itself_stands_under_its_name():
    assert table(tables.fps(sweep_with(telemetry=telemetry())), "The device while it was measured, asked every 1 s") == [
        ["batch", "AI cores busy, %", "mean °C", "highest °C", "power of the card, W", "samples"],
        ["1", "99.0", "40.2", "44.0", "20.5", "3"],
        ["64", "99.0", "40.2", "44.0", "20.5", "3"],
    ]


def test_what_it_did_not_say_is_a_dash():
    silent = telemetry(power_w=None, power_of=None, temperature_c=None, temperature_max_c=None)
    shown = table(tables.fps(sweep_with(telemetry=silent)), "The device")
    assert shown[0][4] == "power, W"
    assert shown[1] == ["1", "99.0", "–", "–", "–", "3"]


def test_without_telemetry_there_is_no_table_of_it():
    assert "The device while" not in tables.fps(sweep_of())._repr_html_()


def test_copies_stand_under_the_way_they_went():
    sweep = sweep_with(copies=Copies(to_device_ms=1.25, to_host_ms=0.5))
    device = Measured(images_per_second=80.0, interval_fps=None, latency_ms=None, blocks=30, calls=30)
    sweep.series[0].rows[0].regions["device"] = device
    assert table(tables.fps(sweep), "Compute is") == [
        ["batch", "compute FPS", "device FPS", "copy to the device, ms", "copy back, ms"],
        ["1", "100.0", "80.0", "1.250", "0.500"],
        ["64", "300.0", "not recorded", "1.250", "0.500"],
    ]


def test_the_way_from_pixels_to_classes_stands_beside_the_headline():
    sweep = sweep_with()
    row = sweep.series[0].rows[0]
    row.regions["host"] = row.regions["compute"].model_copy(update={"images_per_second": 90.0, "interval_fps": (89.0, 91.0)})
    shown = table(tables.fps(sweep), "Compute is the call; host adds")
    assert shown[0] == ["batch", "compute FPS", "host FPS"]
    assert shown[1][2] == "90.0"
    assert len(shown) == 2


def test_what_was_not_recorded_is_said():
    sweep = sweep_with(copies=Copies(to_device_ms=None, to_host_ms=0.5))
    sweep.series[0].rows[2].copies = Copies(to_device_ms=0.0, to_host_ms=None)
    assert [row[2:] for row in table(tables.fps(sweep), "Compute is")[1:]] == [
        ["not recorded", "not recorded", "0.500"],
        ["not recorded", "0.000", "not recorded"],
    ]


def test_without_copies_there_are_no_regions_to_tell_apart():
    assert "device FPS" not in tables.fps(sweep_of())._repr_html_()


# remarks


def test_all_that_is_odd_of_a_row_is_in_its_remark():
    sweep = sweep_with(remark="time limit: 3 of 30 blocks")
    sweep.ratios = [Ratio(batch=1, ratio=1.1, interval=None, verdict="NONE", remark="odd")]
    shown = cells(tables.fps(sweep))
    assert shown[1][-1] == "time limit: 3 of 30 blocks; odd"
    assert shown[3][-1] == "time limit: 3 of 30 blocks"


def test_an_error_is_the_remark_alone():
    sweep = sweep_of()
    sweep.series[0].rows[1] = Row(batch=8, regions={}, error="out of memory", remark="input of zeros")
    assert cells(tables.fps(sweep))[2][-1] == "out of memory"


def test_the_start_is_that_of_the_first_row_that_has_one():
    sweep = sweep_of()
    sweep.series[0].rows[2].load_seconds, sweep.series[0].rows[2].first_call_ms = 1.5, 20.0
    assert "Loading the model took 1.50 s and its first call 20.0 ms." in tables.fps(sweep)._repr_html_()


def test_a_stage_that_was_made_elsewhere_has_no_seconds(tmp_path):
    (tmp_path / "artefacts").mkdir()
    stage = onnx_stage(tmp_path / "artefacts")
    made = {"opset": 17, "command": "torch", "sha256": "0123456789abcdef", "bytes": 1234}
    here, there = (stage.model_copy(update={**made, "seconds": seconds}) for seconds in (2.25, None))
    assert cells(tables.stages([here, there]))[1:] == [
        ["onnx", "m_dynamicbs.onnx", "17", "1.2 kB", "torch", "2.2", "0123456789ab"],
        ["onnx", "m_dynamicbs.onnx", "17", "1.2 kB", "torch", "–", "0123456789ab"],
    ]


# noise


def noise(verdict, *reasons):
    return Noise(verdict=verdict, reasons=list(reasons), variation_pct=1, iqr_pct=1, windows_pct=1, drift_pct=0, outliers=0)


STABLE, NOISY, UNSTABLE = noise("STABLE"), noise("NOISY", "it drifts"), noise("UNSTABLE", "it varies", "it drifts")


@pytest.mark.parametrize(
    ("mine", "theirs", "shown"),
    [
        (None, None, "–"),
        (STABLE, None, "STABLE"),
        (NOISY, None, "NOISY"),
        (STABLE, STABLE, "STABLE"),
        (UNSTABLE, NOISY, "UNSTABLE"),
        (NOISY, noise("NOISY", "it varies"), "NOISY"),
        (STABLE, NOISY, "baseline NOISY"),
        (NOISY, UNSTABLE, "baseline UNSTABLE"),
        (None, STABLE, "baseline STABLE"),
    ],
)
def test_the_noisier_of_a_row_and_its_baseline_is_told(mine, theirs, shown):
    sweep = sweep_of()
    sweep.series[0].rows[0].noise, sweep.series[1].rows[0].noise = mine, theirs
    assert cells(tables.fps(sweep))[1][-2] == shown


def test_the_noise_of_the_baseline_is_that_at_the_same_batch_size():
    sweep = sweep_of()
    sweep.series[1].rows[0].noise, sweep.series[1].rows[2].noise = STABLE, NOISY
    assert [row[-2] for row in cells(tables.fps(sweep))[1:]] == ["baseline STABLE", "–", "baseline NOISY"]


def test_without_a_baseline_the_noise_is_the_rows_own():
    sweep = sweep_with(noise=NOISY)
    del sweep.series[1]
    assert cells(tables.fps(sweep))[1][-2] == "NOISY"
