import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

from helpers import metrics


def sample(images=2000, classes=12, seed=0):
    """Return labels and probabilities [images, classes] of a classifier that is often right and too sure."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images).astype(np.int32)
    logits = random.normal(size=(images, classes))
    logits[np.arange(images), labels] += 1.5
    scores = np.exp(2 * logits)
    return labels, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


LABELS, PROBABILITIES = sample()
CLASSES, BEST = metrics.top_k(PROBABILITIES, 5)
ANSWERS, SURE, RIGHT = CLASSES[:, 0], BEST[:, 0], CLASSES[:, 0] == LABELS


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_top_k_is_that_of_scikit_learn_and_torchmetrics(k):
    share = metrics.hits(CLASSES, LABELS)[k - 1] / len(LABELS)
    assert share == pytest.approx(sklearn.metrics.top_k_accuracy_score(LABELS, PROBABILITIES, k=k, labels=range(12)), abs=1e-12)
    theirs = MulticlassAccuracy(12, top_k=k, average="micro")(torch.from_numpy(PROBABILITIES), torch.from_numpy(LABELS))
    assert share == pytest.approx(float(theirs), abs=1e-6)


def test_with_fewer_than_five_classes_there_are_fewer_guesses():
    labels, probabilities = sample(classes=3)
    classes, _ = metrics.top_k(probabilities, 5)
    assert classes.shape == (2000, 3)
    assert metrics.hits(classes, labels)[-1] == 2000


def test_of_one_class_all_is_right():
    classes, probabilities = metrics.top_k(np.ones((4, 1), np.float32), 5)
    assert metrics.hits(classes, np.zeros(4, np.int32)).tolist() == [4]
    assert metrics.confusions(classes[:, 0], np.zeros(4, np.int32)).shape == (0, 3)
    assert metrics.calibration_error_pct(metrics.calibration(probabilities[:, 0], np.ones(4, bool))) == 0


def test_the_right_ones_of_each_class_are_scikit_learns_recall():
    images, right = metrics.per_class(ANSWERS, LABELS, 12)
    np.testing.assert_allclose(right / images, sklearn.metrics.recall_score(LABELS, ANSWERS, average=None))


def test_a_class_without_images_is_counted_as_such():
    images, right = metrics.per_class(np.array([0, 3, 3]), np.array([0, 0, 3]), 5)
    assert (images.tolist(), right.tolist()) == ([2, 0, 0, 1, 0], [1, 0, 0, 1, 0])


def test_confusions_are_what_lies_beside_the_diagonal_of_scikit_learns_matrix():
    matrix = sklearn.metrics.confusion_matrix(LABELS, ANSWERS)
    np.fill_diagonal(matrix, 0)
    found = metrics.confusions(ANSWERS, LABELS)
    rebuilt = np.zeros_like(matrix)
    rebuilt[found[:, 0], found[:, 1]] = found[:, 2]
    np.testing.assert_array_equal(rebuilt, matrix)
    assert (np.diff(found[:, 2]) <= 0).all()


def test_of_equally_frequent_confusions_the_lower_classes_come_first():
    labels, answers = np.array([5, 2, 2, 1, 1, 0]), np.array([1, 9, 3, 4, 4, 0])
    assert metrics.confusions(answers, labels).tolist() == [[1, 4, 2], [2, 3, 1], [2, 9, 1], [5, 1, 1]]


def test_where_all_is_right_there_is_no_confusion_and_where_all_is_wrong_nothing_else():
    labels = np.array([0, 1, 2])
    assert metrics.confusions(labels, labels).tolist() == []
    assert metrics.confusions(np.array([1, 2, 0]), labels)[:, 2].sum() == 3


def test_the_calibration_error_is_that_of_torchmetrics():
    found = metrics.calibration_error_pct(metrics.calibration(SURE, RIGHT))
    theirs = MulticlassCalibrationError(12, n_bins=15, norm="l1")(torch.from_numpy(PROBABILITIES), torch.from_numpy(LABELS))
    assert found == pytest.approx(100 * float(theirs), abs=1e-4)
    assert found > 5


def test_the_calibration_error_of_the_definition_worked_out_by_hand():
    """Two bins: 0.3 and 0.5 in the lower (one right), 0.9 and 0.7 in the upper (both right): |1 - 0.8| / 4 + |2 - 1.6| / 4."""
    bins = metrics.calibration(np.array([0.3, 0.5, 0.9, 0.7]), np.array([True, False, True, True]), 2)
    assert (bins.images.tolist(), bins.right.tolist()) == ([2, 2], [1, 2])
    assert bins.confidence.tolist() == pytest.approx([0.8, 1.6])
    assert metrics.calibration_error_pct(bins) == pytest.approx(15)


def test_bins_are_those_of_scikit_learns_calibration_curve():
    bins = metrics.calibration(SURE, RIGHT)
    there = bins.images > 0
    shares, means = sklearn.calibration.calibration_curve(RIGHT, SURE.astype(np.float64), n_bins=15)
    np.testing.assert_allclose((bins.right / np.maximum(bins.images, 1))[there], shares)
    np.testing.assert_allclose((bins.confidence / np.maximum(bins.images, 1))[there], means)


@pytest.mark.parametrize("text", ["0.2", "0.6", "0.8"])
def test_a_probability_on_an_edge_belongs_to_the_bin_below_in_either_precision(text):
    for kind in (np.float32, np.float64):
        bins = metrics.calibration(np.array([text], kind), np.array([True]))
        assert np.flatnonzero(bins.images).tolist() == [round(float(text) * 15) - 1]


def test_certainty_belongs_to_the_last_bin_and_so_does_what_rounding_lifts_above_it():
    bins = metrics.calibration(np.array([0.0, 1.0, 1.0000001], np.float32), np.ones(3, bool))
    assert (bins.images[0], bins.images[-1]) == (1, 2)
    assert metrics.chance_error_pct(bins) == 0


@pytest.mark.parametrize(("images", "low", "high"), [(5, 0.3, 1.0), (200, 0.3, 1.0), (20000, 0.3, 1.0), (1000, 0.985, 1.0)])
def test_the_error_by_chance_is_what_simulated_answers_show_that_are_right_as_often_as_they_say(images, low, high):
    random = np.random.default_rng(0)
    sure = random.uniform(low, high, images)
    drawn = [metrics.calibration_error_pct(metrics.calibration(sure, random.random(images) < sure)) for _ in range(300)]
    assert metrics.chance_error_pct(metrics.calibration(sure, random.random(images) < sure)) == pytest.approx(np.mean(drawn), rel=0.15)


def test_one_image_has_the_calibration_error_that_it_is_unsure_by():
    assert metrics.calibration_error_pct(metrics.calibration(np.array([0.8]), np.array([True]))) == pytest.approx(20)
    assert metrics.calibration_error_pct(metrics.calibration(np.array([0.8]), np.array([False]))) == pytest.approx(80)


def test_fifty_thousand_images_of_a_thousand_classes_are_counted_right():
    labels = np.arange(50_000, dtype=np.int32) % 1000
    answers = np.where(np.arange(50_000) < 10_000, (labels + 1) % 1000, labels)
    images, right = metrics.per_class(answers, labels, 1000)
    assert (set(images.tolist()), set(right.tolist())) == ({50}, {40})
    found = metrics.confusions(answers, labels)
    assert (len(found), found[0].tolist(), found[-1].tolist()) == (1000, [0, 1, 10], [999, 0, 10])


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    [(0, 1, 0.0, 79.3451), (1, 1, 20.6549, 100.0), (50, 50, 92.8652, 100.0), (41910, 50000, 83.4946, 84.1402)],
)
def test_the_interval_is_that_of_statsmodels(right, images, low, high):
    """Literals: statsmodels 0.15, proportion_confint(right, images, method="wilson")."""
    assert metrics.interval_pct(right, images) == pytest.approx((low, high), abs=1e-4)
