import json

import numpy as np
import pytest

from helpers import accuracy
from helpers.backends import Backend
from helpers.records import ReferenceAccuracy, Result


class Answers(Backend):
    """Gives each image the probabilities that are stored in it."""

    name, provider, device, precision, threads = "answers", "none", "none", "fp32", 1

    def __init__(self):
        self.batches = []

    @staticmethod
    def check(target):
        pass

    def __call__(self, batch):
        self.batches.append(len(batch))
        return batch


def test_the_last_partial_batch_is_counted_once():
    probabilities = np.random.default_rng(0).random((10, 6), np.float32)
    backend = Answers()
    classes, _ = accuracy.evaluate(backend, probabilities, 4)
    assert backend.batches == [4, 4, 4]  # filled up, since only that size was compared with the original
    assert classes.shape == (10, 5)
    np.testing.assert_array_equal(classes[:, 0], probabilities.argmax(axis=1))


def test_of_equal_probabilities_the_lower_class_comes_first():
    classes, probabilities = accuracy.top_k(np.array([[0.1, 0.4, 0.1, 0.4, 0.0]]), 3)
    assert classes.tolist() == [[1, 3, 0]]
    np.testing.assert_allclose(probabilities, [[0.4, 0.4, 0.1]])


def test_hits_are_cumulative():
    classes = np.array([[1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0]])
    assert accuracy.hits(classes, np.array([1, 1, 1, 1])).tolist() == [2, 3, 4]


def test_the_interval_is_wilsons():
    """Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263 gives 0.2553 to 0.3662 by the score method."""
    low, high = accuracy.interval_pct(81, 263)
    assert (round(low, 2), round(high, 2)) == (25.53, 36.62)


def test_the_guides_result_file_has_its_keys_and_texts(tmp_path):
    right = np.array([8390, 9000, 9500, 9600, 9700])
    accuracy.write_guide_result(tmp_path / "acc_result.json", right, 10000, 1000)
    content = json.loads((tmp_path / "acc_result.json").read_text())
    assert content["title"] == "Overall statistical evaluation"
    assert content["value"][:3] == [
        {"key": "Number of images", "value": "10000"},
        {"key": "Number of classes", "value": "1000"},
        {"key": "Top1 accuracy", "value": "83.9%"},
    ]
    assert [entry["key"] for entry in content["value"][2:]] == [f"Top{k} accuracy" for k in range(1, 6)]


def result(right, images):
    interval = accuracy.interval_pct(right, images)
    empty = {"scores_file": None, "scores_sha256": None, "reason": "", "seconds": 0.0, "top5_pct": None, "images": images}
    return Result(
        stage="candidate",
        backend="b",
        device="d",
        precision="fp32",
        top1_pct=100 * right / images,
        top1_interval_pct=interval,
        evaluated=True,
        **empty,
    )


REFERENCE = ReferenceAccuracy(name="published", top1_pct=83.82, source="paper")


@pytest.mark.parametrize(
    ("right", "images", "verdict"),
    [
        (41925, 50000, "PASS"),  # 83.85 +- 0.32 lies above 83.32
        (41925 // 50, 1000, "INCONCLUSIVE"),  # the same share of 1,000 is +- 2.3
        (41000, 50000, "FAIL"),  # 82.00
        (49000, 50000, "PASS"),
    ],
)
def test_a_reference_that_is_only_a_number_is_judged_by_the_interval(right, images, verdict):
    given, sentence = accuracy.judge(result(right, images), REFERENCE, 0.5)
    assert given == verdict
    assert f"{100 * right / images:.2f} %" in sentence


def test_without_a_reference_or_a_number_there_is_no_verdict():
    assert accuracy.judge(result(1, 2), None, 0.5)[0] == "NONE"
    unknown = result(1, 2).model_copy(update={"evaluated": False, "reason": "random weights"})
    assert accuracy.judge(unknown, REFERENCE, 0.5) == ("NONE", "Accuracy was not evaluated: random weights.")
