import re

import pytest

from helpers import formats, tables
from helpers.records import Check, Measured, Ratio
from tests.test_accuracy import REFERENCE, result
from tests.test_html import sweep_of


def cells(element):
    """The texts of a table's cells, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", element._repr_html_())
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
        ["batch", "FPS", "95 % interval", "p50 ms", "p90 ms", "baseline FPS", "ratio", "95 % interval", "verdict", "remark"],
        ["1", "100.0", "99.0 to 101.0", "1.00", "–", "90.00", "1.111", "1.100 to 1.120", "PASS", "–"],
        ["8", "–", "–", "–", "–", "95.00", "–", "–", "–", "out of memory"],
        ["64", "300.0", "297.0 to 303.0", "1.00", "–", "99.00", "3.030", "3.000 to 3.060", "PASS", "odd"],
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
    rough = Check(candidate="openvino bf16", batch=3, top1_agree_pct=100.0, passed=True, reason="", **known)
    bad = Check(candidate="openvino bf16", batch=4, top1_agree_pct=87.5, passed=False, reason="too far", **known)
    assert cells(tables.checks([good, rough, bad]))[1:] == [
        ["onnxruntime fp32", "PyTorch", "3", "3.2e-06", "9.3", "0.999990", "100.0 %", "same", "–"],
        ["openvino bf16", "PyTorch", "3", "3.2e-06", "9.3", "0.999990", "100.0 %", "same direction", "–"],
        ["openvino bf16", "PyTorch", "4", "3.2e-06", "9.3", "0.999990", "87.5 %", "REFUSED", "too far"],
    ]


def test_the_accuracy_table_holds_every_result_and_the_reference():
    class Record:
        images, results, reference = 1000, [result(838, 1000)], REFERENCE

    assert cells(tables.accuracy(Record))[1:] == [
        ["b", "d", "fp32", "83.80 %", "81.39 to 85.95", "–", "1000", "this run"],
        ["reference: published", "–", "–", "83.82 %", "–", "–", "–", "paper"],
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
