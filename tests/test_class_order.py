import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from helpers import class_order

RANDOM = np.random.default_rng(0)


def answered(labels, share, classes, random=RANDOM):
    """Return answers that are right for about a share of the images, else of any class."""
    return np.where(random.random(len(labels)) < share, labels, random.integers(0, classes, len(labels)))


def tens(number, classes=10):
    """Return labels 0, 1, 2, ... in turn."""
    return np.arange(number) % classes


def ninety(labels):
    """Return answers of which every tenth is 5 classes off."""
    return (labels + 5 * (np.arange(len(labels)) % 11 == 0)) % 10


def test_a_shift_is_named_with_what_makes_up_for_it():
    labels = tens(110)
    assert class_order.against_labels((ninety(labels) - 1) % 10, labels, 10) == (
        "The class order is shifted by one: 0.0 % of the answers are right as they are, 90.9 % when 1 is added to each (modulo 10): "
        "correct the labels or the model's last layer."
    )


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (1, "shifted by one: 0.0 % of the answers are right as they are, 90.9 % when 1 is subtracted from each (modulo 10)"),
        (3, "shifted by 3: 0.0 % of the answers are right as they are, 90.9 % when 3 is subtracted from each (modulo 10)"),
        (-4, "shifted by 4: 0.0 % of the answers are right as they are, 90.9 % when 4 is added to each (modulo 10)"),
    ],
)
def test_a_shift_goes_the_shorter_way_round(shift, words):
    labels = tens(110)
    assert words in class_order.against_labels((ninety(labels) + shift) % 10, labels, 10)


def test_a_background_class_in_front_is_a_shift():
    labels = tens(200, 1000)
    assert "100.0 % when 1 is subtracted from each (modulo 1001)" in class_order.against_labels(labels + 1, labels, 1001)


def test_any_other_order_is_judged_on_images_that_it_was_not_found_by():
    labels = np.repeat(np.arange(5), 40)
    answers = np.array([1, 0, 2, 4, 3])[labels]
    answers[::10] = 2
    said = class_order.against_labels(answers, labels, 5)
    assert said.startswith("The class order is in another order: ")
    assert (
        "when 4 classes are read otherwise (0 as 1, 1 as 0, 3 as 4, 4 as 3), found on half of the images and counted on the others" in said
    )


def test_a_few_images_of_each_class_tell_no_order_but_a_shift():
    labels = np.repeat(np.arange(5), 19)
    assert class_order.against_labels(np.array([1, 0, 2, 4, 3])[labels], labels, 5) == ""
    assert "shifted by one" in class_order.against_labels((labels + 1) % 5, labels, 5)


@pytest.mark.parametrize(
    ("answers", "labels", "classes"),
    [
        (RANDOM.integers(0, 1000, 50), RANDOM.integers(0, 1000, 50), 1000),
        (RANDOM.integers(0, 2, 1000), RANDOM.integers(0, 2, 1000), 2),
        (np.full(1000, 3), np.full(1000, 5), 10),
        (np.full(1000, 3), np.array([5] * 950 + [3] * 50), 10),
        (np.array([1, 2, 0]), np.array([0, 1, 2]), 3),
        (np.array([0, 0, 1] * 100), np.array([2, 0, 2] * 100), 3),
    ],
    ids=["1000 classes, 50 images", "a coin", "one class only", "always the same answer", "three images", "few answers"],
)
def test_what_tells_nothing_of_an_order_is_not_said(answers, labels, classes):
    assert class_order.against_labels(answers, labels, classes) == ""


def test_a_model_as_good_as_it_was_is_never_said_to_be_out_of_order():
    """A thousand unbroken models: accuracies of 20 to 95 %, 3 to 1000 classes, 5 to 5000 images, errors anywhere or in the next class."""
    random = np.random.default_rng(1)
    for _ in range(1000):
        classes, images, share = (
            int(random.choice([3, 5, 10, 100, 1000])),
            int(random.choice([5, 50, 300, 5000])),
            random.uniform(0.2, 0.95),
        )
        labels = random.integers(0, classes, images)
        assert class_order.against_labels(answered(labels, share, classes, random), labels, classes) == ""
        next_class = np.where(random.random(images) < max(share, 0.5), labels, (labels + 1) % classes)
        assert class_order.against_labels(next_class, labels, classes) == ""


def test_agreement_beyond_chance_is_scikit_learns():
    labels = RANDOM.integers(0, 10, 500)
    answers = answered(labels, 0.4, 10)
    assert class_order._kappa(answers, labels, 10) == pytest.approx(cohen_kappa_score(answers, labels))
    assert class_order._kappa(np.zeros(5, int), np.zeros(5, int), 2) == 0


def test_between_two_models_each_class_finds_its_own():
    original = RANDOM.normal(size=(16, 10))
    moved = RANDOM.permutation(10)
    candidate = np.empty_like(original)
    candidate[:, moved] = original
    assert class_order.between(original, candidate).tolist() == moved.tolist()
