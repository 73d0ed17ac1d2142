import itertools

import numpy as np

from helpers import accuracy_tables, paired
from helpers.records import Accuracy, Comparison
from tests.test_accuracy import REFERENCE, result
from tests.test_tables import cells, table


def record(results, reference=None, comparisons=()):
    return Accuracy.model_construct(results=results, reference=reference, comparisons=list(comparisons))


def test_the_accuracy_table_holds_every_result_and_the_reference():
    assert cells(accuracy_tables.accuracy(record([result(838, 1000)], REFERENCE)))[1:] == [
        ["b", "d", "fp32", "83.80 %", "81.39 to 85.95", "–", "1000", "this run"],
        ["reference: published", "–", "–", "83.82 %", "–", "–", "–", "paper"],
    ]


def test_what_must_be_known_of_the_answers_stands_below_the_accuracy():
    remarked = result(838, 1000).model_copy(update={"remarks": ["No result for 1 of 1001 images."]})
    shown = accuracy_tables.accuracy(record([remarked]))._repr_html_()
    assert shown.endswith('</table></div><p class="sentence warning">No result for 1 of 1001 images.</p>')


def test_what_was_not_evaluated_says_why_and_counts_no_images():
    empty = dict.fromkeys(("top1_pct", "top1_interval_pct"))
    unknown = result(838, 1000).model_copy(update={**empty, "evaluated": False, "reason": "random weights"})
    assert cells(accuracy_tables.accuracy(record([unknown])))[1] == [
        "b",
        "d",
        "fp32",
        "not evaluated: random weights",
        "–",
        "–",
        "–",
        "this run",
    ]


def test_options_stand_below_the_accuracy_compared_image_by_image():
    candidate, option = result(9, 10), result(8, 10).model_copy(update={"stage": "option_1", "backend": "openvino int8"})
    counts = {"both_right": 7, "only_a": 2, "only_b": 1, "both_wrong": 0}
    judged = {"p_value": 0.0471, "difference_interval_pct": (-2.5005, -0.094), "margin_points": 0.7}
    compared = Comparison(a="candidate", b="option_1", **counts, **judged, verdict="INCONCLUSIVE", images_to_decide=31234)

    shown = accuracy_tables.accuracy(record([candidate, option], comparisons=[compared]))
    assert [row[0] for row in cells(shown)[1:3]] == ["b", "option 1: openvino int8"]
    assert table(shown, "Against the candidate on the same images. Difference: the configuration") == [
        [
            "configuration",
            "both right",
            "only candidate",
            "only this",
            "both wrong",
            "p",
            "difference, points",
            "verdict",
        ],
        ["option 1", "7", "2", "1", "0", "0.047", "-2.50 to -0.09", "INCONCLUSIVE, 31,234 images would decide"],
    ]
    assert "EQUIVALENT: within 0.7 points by two one-sided tests" in shown._repr_html_()


def test_without_options_there_is_no_comparison():
    assert "Against the candidate" not in accuracy_tables.accuracy(record([result(9, 10)]))._repr_html_()


def test_every_other_pair_has_a_table_of_its_own():
    stages = ["candidate", "option_1", "option_2"]
    results = [result(9, 10).model_copy(update={"stage": stage, "backend": f"of {stage}"}) for stage in stages]
    right = {stage: np.arange(10) < 9 - number for number, stage in enumerate(stages)}
    pairs = [paired.compare(a, b, right[a], right[b]) for a, b in itertools.combinations(stages, 2)]
    shown = accuracy_tables.comparisons(record(results, comparisons=pairs))
    assert table(shown, "Every other pair")[1:] == [["option 1", "option 2", "-40.42 to 20.53", "1", "INCONCLUSIVE"]]
    assert len(table(shown, "Against the candidate")) == 3
