import base64
import re

from helpers import history, summaries
from tests import finished_runs


def lines_of(tmp_path, *runs):
    """Write runs, each the facts of one, and return the lines of their history."""
    for number, facts in enumerate(runs):
        finished_runs.write(tmp_path / str(number), **facts)
    return history.lines([summaries.read(path) for path in tmp_path.iterdir()])


def test_a_line_goes_through_the_runs_of_one_model_device_and_batch_size_in_time_order(tmp_path):
    days = {"2026-01-03": {1: 90, 8: 5}, "2026-01-01": {1: 100, 8: None}, "2026-01-02": {1: 130}}
    found = lines_of(tmp_path, *({"created": day, "fps": fps} for day, fps in days.items()))
    [line] = found["conformer", "onnxruntime fp32 on cpu", "fp32", "compute"]
    assert line.batch == 1
    assert line.alt() == "Images per second in 3 runs: first 100.0, last 90.00, lowest 90.00, highest 130.0."


def test_other_models_devices_and_configurations_are_other_lines(tmp_path):
    assert lines_of(tmp_path, {"model": "a"}, {"model": "b"}, {"device": "npu"}, {"name": "openvino fp32"}, {"kind": "simulated"}) == {}


def test_lines_of_one_model_are_in_order_of_batch_size(tmp_path):
    found = lines_of(tmp_path, *[{"fps": {64: 1, 8: 1, 1: 1}}] * 2)
    assert [line.batch for line in found.popitem()[1]] == [1, 8, 64]


def test_the_axis_of_a_sparkline_starts_at_zero():
    """28 pixels with an edge of 3: zero lies at 25, the largest at 3, half of it at 14."""
    svg = base64.b64decode(history.sparkline([0, 10, 5]).partition(",")[2]).decode()
    assert re.search(r'points="([^"]*)"', svg)[1] == "3,25.0 60,3.0 117,14.0"


def test_a_line_of_zeros_can_be_drawn():
    assert history.sparkline([0.0, 0.0]).startswith("data:image/svg+xml;base64,")
