import numpy as np
import pytest
from scipy.special import softmax

from helpers import parity
from helpers.errors import UserError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((16, 3, 4, 4)).astype(np.float32)
WEIGHTS = RANDOM.standard_normal((48, 7)).astype(np.float32)


def model(batch, weights=WEIGHTS):
    scores = batch.reshape(len(batch), -1) @ weights
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def compare(candidate, sizes=(1, 3, 4), reference=model, cosine_min=None):
    return parity.compare("reference", reference, "candidate", candidate, IMAGES, list(sizes), cosine_min)


def test_the_sizes_are_one_those_of_the_sweep_and_one_that_is_in_neither():
    assert parity.batch_sizes([1, 4, 8]) == [1, 3, 4, 8]
    assert parity.batch_sizes([3, 5]) == [1, 3, 5, 7]


def test_the_same_model_passes_at_every_size():
    checks = compare(model)
    assert [check.batch for check in checks] == [1, 3, 4]
    assert all(check.passed and check.reason == "" and check.top1_agree_pct == 100 for check in checks)


def test_every_image_stands_at_every_place_of_the_batch():
    seen = {place: set() for place in range(5)}

    def spy(batch):
        for place, image in enumerate(batch):
            seen[place].add(image.tobytes())
        return model(batch)

    compare(spy, sizes=[5])
    assert all(len(images) == 16 for images in seen.values())


def test_an_error_at_one_batch_size_is_named_with_its_size():
    checks = compare(lambda batch: np.roll(model(batch), 1, axis=0) if len(batch) == 4 else model(batch))
    assert [check.passed for check in checks] == [True, True, False]
    assert "at batch 4 candidate differs from its reference by" in checks[2].reason


def test_one_wrong_place_in_the_batch_is_seen():
    def last_is_first(batch):
        answers = model(batch)
        answers[-1] = answers[0]
        return answers

    assert [check.passed for check in compare(last_is_first)] == [True, False, False]


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_a_difference_is_held_against_how_much_images_differ(scale):
    """Random weights give probabilities that are nearly alike: the allowed difference shrinks with their spread."""
    small = WEIGHTS * scale
    off = small + (RANDOM.standard_normal(small.shape) * 2e-2 * scale).astype(np.float32)
    assert all(check.passed for check in compare(model_with(small), reference=model_with(small)))
    assert not any(check.passed for check in compare(model_with(off), reference=model_with(small)))


def model_with(weights):
    return lambda batch: model(batch, weights)


def test_a_reference_that_answers_all_images_alike_proves_nothing():
    checks = compare(lambda batch: np.full((len(batch), 7), 1 / 7), reference=lambda batch: np.full((len(batch), 7), 1 / 7))
    assert not any(check.passed for check in checks)
    assert "not informative" in checks[0].reason


def test_two_best_classes_closer_than_the_tolerance_may_change_places():
    expected = np.full((16, 3), 0.2)
    expected[:, 0] = 0.4
    expected[:, 1] = 0.4 - 1e-5
    expected[:, 2] = RANDOM.uniform(0.05, 0.3, 16)
    swapped = expected[:, [1, 0, 2]]
    names = {"reference": "r", "candidate": "c"}
    check = parity.judge(names, 1, expected, [(np.array([i]), swapped[i : i + 1]) for i in range(16)], cosine_min=None)
    assert check.passed
    assert check.top1_agree_pct == 0


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (lambda batch: model(batch)[:, :6], "instead of"),
        (lambda batch: model(batch)[:1], "instead of"),
        (lambda batch: model(batch) * np.nan, "not finite"),
    ],
)
def test_answers_of_another_shape_or_not_finite_are_refused(candidate, said):
    assert said in compare(candidate, sizes=[3])[0].reason


def test_a_candidate_that_does_not_run_at_a_size_is_refused_there_only():
    def picky(batch):
        if len(batch) == 3:
            raise RuntimeError("Reshape: 3 is not 1\nmore")
        return model(batch)

    checks = compare(picky)
    assert [check.passed for check in checks] == [True, False, True]
    assert checks[1].reason == "at batch 3 candidate does not run: Reshape: 3 is not 1"


def test_reduced_precision_is_judged_by_its_direction():
    rough = WEIGHTS * (1 + 0.01 * RANDOM.standard_normal(WEIGHTS.shape)).astype(np.float32)
    assert all(check.passed for check in compare(model_with(rough), cosine_min=0.99))
    assert not any(check.passed for check in compare(model_with(-WEIGHTS), cosine_min=0.99))


def test_fewer_than_sixteen_images_are_refused():
    with pytest.raises(UserError, match="15 images are too few"):
        parity.compare("r", model, "c", model, IMAGES[:15], [1])


def test_what_six_decimals_or_fp16_round_to_nought_does_not_make_another_model():
    confident = softmax(40 * IMAGES.reshape(len(IMAGES), -1)[:, :10].astype(np.float64), axis=1).astype(np.float32)
    rounded = np.round(confident, 6).astype(np.float32)
    assert (rounded == 0).mean() > 0.2
    names, place = {"reference": "r", "candidate": "text"}, np.arange(len(IMAGES))
    check = parity.judge(names, len(IMAGES), confident, [(place, rounded)], cosine_min=0.99)
    assert check.passed, check.reason
    assert not parity.judge(names, len(IMAGES), confident, [(place, np.roll(rounded, 1, axis=1))], cosine_min=0.99).passed
