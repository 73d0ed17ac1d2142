from types import SimpleNamespace

import pytest

from helpers import roofline
from helpers.params import Target
from helpers.records import Peak
from tests.test_html import sweep_of


def test_a_matrix_product_is_measured_in_the_targets_own_runtime(tmp_path):
    peak = roofline.measured(tmp_path, Target(threads=1))
    assert peak.of == "onnxruntime fp32, 1 thread"
    assert peak.multiply_adds_per_second > 1e8
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", [{"backend": "null"}, {"backend": "torch"}, {"backend": "openvino", "precision": "int8"}])
def test_where_no_such_product_runs_there_is_no_peak(tmp_path, target):
    assert roofline.measured(tmp_path, Target.model_construct(**{"provider": "auto", "precision": "auto", **target})) is None


def said(multiply_adds, peak):
    sweep = sweep_of()
    sweep.peak = Peak(multiply_adds_per_second=peak, of="mine, 1 thread") if peak else None
    return roofline.in_words(SimpleNamespace(multiply_adds=multiply_adds), sweep)


@pytest.mark.parametrize(
    ("peak", "share", "meaning"), [(4e9, "75", "lower precision"), (6e9, "50", "its sizes"), (30e9, "10", "small layers")]
)
def test_the_share_of_the_peak_is_said_with_what_it_means(peak, share, meaning):
    """The best batch size gives 300 images a second of 10 million multiply-adds each."""
    sentence, table = said(10_000_000, peak).elements
    assert sentence.text.startswith("One image takes 10 M multiply-adds. At batch size 64 that is 3 G a second, " + share + " % of the")
    assert meaning in sentence.text
    assert list(table.rows)[-1][-1] == share + " %"


def test_without_a_count_or_a_peak_nothing_is_said():
    assert said(None, 1e9) is None
    assert said(1000, None) is None
