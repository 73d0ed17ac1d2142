import json
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import accuracy, dataset, files, metrics
from helpers.backends import Backend, Recorded
from helpers.errors import UserError
from helpers.params import Workers
from helpers.records import ReferenceAccuracy, Result


class Images:
    """Tensors that are what the backend answers."""

    def __init__(self, tensors):
        self.tensors = tensors

    def __len__(self):
        return len(self.tensors)

    def batches(self, size):
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)), dtype=np.int32), self.tensors[start : start + size]


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
    found = accuracy.evaluate(backend, Images(probabilities), np.arange(10, dtype=np.int32), 4)
    assert found.image.tolist() == found.label.tolist() == list(range(10))
    assert backend.batches == [4, 4, 4]  # filled up, since only that size was compared with the original
    assert found.top5.shape == (10, 5)
    np.testing.assert_array_equal(found.answer, probabilities.argmax(axis=1))


def test_of_equal_probabilities_the_lower_class_comes_first():
    classes, probabilities = metrics.top_k(np.array([[0.1, 0.4, 0.1, 0.4, 0.0]]), 3)
    assert classes.tolist() == [[1, 3, 0]]
    np.testing.assert_allclose(probabilities, [[0.4, 0.4, 0.1]])


def test_hits_are_cumulative():
    classes = np.array([[1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0]])
    assert metrics.hits(classes, np.array([1, 1, 1, 1])).tolist() == [2, 3, 4]


def test_the_interval_is_wilsons():
    """Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263 gives 0.2553 to 0.3662 by the score method."""
    low, high = metrics.interval_pct(81, 263)
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
    interval = metrics.interval_pct(right, images)
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


# recorded answers


class Replayed(Answers):
    """Answers that another machine gave at batch size 8: an image, a class -> the answer says that class."""

    device, simulated = "Ascend 310P3", False

    def __init__(self, given, classes=6, rows=None, rounded=False, remarks=(), refused=None):
        image = np.array(list(given), np.int32)
        rows = np.eye(classes, dtype=np.float32)[list(given.values())] if rows is None else np.array(rows, np.float32)
        answers = {8: (image, rows)} if given else {}
        self.recorded = Recorded(answers, 8 if given else None, rounded, [], list(remarks), "results", "")
        self.refused = refused

    def refusal(self, model, batches):
        return self.refused

    def describe(self):
        return "replay of results"


def evaluated(tmp_path, monkeypatch, backend, labels=(5, 4, 3, 2), labels_source="val_label.txt", random_weights=False):
    """Return the result of notebook 3 on a run of these labels; the folder is tmp_path."""
    dataset.Manifest([f"{n}.png" for n in range(len(labels))], np.array(labels)).save(tmp_path / "manifest.csv")
    monkeypatch.setattr(accuracy.backends, "load", lambda *_: backend)
    data = SimpleNamespace(manifest="manifest.csv", labels_source=labels_source, classes=6, streamed=False)
    [found] = accuracy.results(step_of(tmp_path), data, SimpleNamespace(random_weights=random_weights, classes=6))
    return found


def step_of(tmp_path, options=()):
    settings = SimpleNamespace(
        workers=Workers(), batch_size=2, options=list(options), paired_margin_points=0.5, keep_logits=False, compare_with=[], label_sets={}
    )
    return SimpleNamespace(folder=tmp_path, artefacts=tmp_path / "artefacts", settings=settings)


def test_recorded_answers_are_held_against_the_labels_of_their_own_images(tmp_path, monkeypatch):
    found = evaluated(tmp_path, monkeypatch, Replayed({1: 4, 3: 2}))
    assert (found.top1_pct, found.images) == (100.0, 2)
    assert found.top1_interval_pct == metrics.interval_pct(2, 2)


def test_a_wrong_recorded_answer_counts_as_one(tmp_path, monkeypatch):
    assert evaluated(tmp_path, monkeypatch, Replayed({0: 5, 1: 0, 3: 2, 2: 0})).top1_pct == 50.0


def test_the_scores_are_those_of_the_images_that_have_an_answer(tmp_path, monkeypatch):
    found = evaluated(tmp_path, monkeypatch, Replayed({1: 4, 3: 0}))
    with np.load(tmp_path / found.scores_file) as scores:
        assert scores["image"].tolist() == [1, 3]
        assert scores["label"].tolist() == [4, 2]
        assert scores["top5"][:, 0].tolist() == [4, 0]
        assert scores["probability"][:, 0].tolist() == [1.0, 1.0]
    assert found.scores_sha256 == files.sha256(tmp_path / found.scores_file)


def test_the_guides_result_file_counts_them_alone(tmp_path, monkeypatch):
    evaluated(tmp_path, monkeypatch, Replayed({1: 4, 3: 0}))
    assert json.loads((tmp_path / "acc_result.json").read_text())["value"][:3] == [
        {"key": "Number of images", "value": "2"},
        {"key": "Number of classes", "value": "6"},
        {"key": "Top1 accuracy", "value": "50.0%"},
    ]


ROUNDED = [0.9, 0.05, 0.03, 0.02, 0.0, 0.0]  # the fifth place is any of two
FULL = [0.9, 0.04, 0.03, 0.02, 0.01, 0.0]


@pytest.mark.parametrize(
    ("rows", "rounded", "top5"),
    [([FULL, ROUNDED], True, None), ([FULL, FULL], True, 100.0), ([FULL, ROUNDED], False, 100.0)],
    ids=["as text with a nought among the five", "as text without one", "with all digits"],
)
def test_there_is_no_top_5_where_the_fifth_place_is_arbitrary(tmp_path, monkeypatch, rows, rounded, top5):
    found = evaluated(tmp_path, monkeypatch, Replayed({0: 0, 1: 0}, rows=rows, rounded=rounded), labels=(0, 0))
    assert (found.top1_pct, found.top5_pct) == (100.0, top5)


def test_of_fewer_than_five_classes_there_is_no_top_5(tmp_path, monkeypatch):
    assert evaluated(tmp_path, monkeypatch, Replayed({0: 1}, classes=4), labels=(1,)).top5_pct is None


def test_what_must_be_known_of_a_recording_is_in_the_result(tmp_path, monkeypatch):
    assert evaluated(tmp_path, monkeypatch, Replayed({1: 4}, remarks=["One is missing."])).remarks == ["One is missing."]


def test_a_result_says_what_answered(tmp_path, monkeypatch):
    found = evaluated(tmp_path, monkeypatch, Replayed({1: 4}))
    assert (found.stage, found.backend, found.device, found.precision) == ("candidate", "replay of results", "Ascend 310P3", "fp32")
    assert (found.evaluated, found.reason, found.simulated) == (True, "", False)


def test_what_a_simulator_answered_is_called_so(tmp_path, monkeypatch):
    backend = Replayed({1: 4})
    backend.simulated = True
    assert evaluated(tmp_path, monkeypatch, backend).simulated


@pytest.mark.parametrize(
    ("backend", "values", "reason"),
    [
        (Replayed({}), {}, "no answers to images were recorded"),
        (Replayed({1: 4}, refused="wrong at 8"), {}, "refused, wrong at 8"),
        (Replayed({}, refused="wrong at 8"), {"labels_source": ""}, "refused, wrong at 8"),
        (Replayed({1: 4}), {"labels_source": ""}, "the images have no labels"),
        (Replayed({1: 4}), {"random_weights": True}, "random weights"),
    ],
)
def test_where_there_is_no_accuracy_there_is_a_reason(tmp_path, monkeypatch, backend, values, reason):
    (tmp_path / "artefacts").mkdir()
    for stale in ("artefacts/scores_candidate.npz", "acc_result.json"):
        (tmp_path / stale).write_text("of an earlier evaluation")
    found = evaluated(tmp_path, monkeypatch, backend, **values)
    assert (found.evaluated, found.reason, found.top1_pct, found.top5_pct, found.scores_file) == (False, reason, None, None, None)
    assert not list(tmp_path.rglob("scores_*"))
    assert not (tmp_path / "acc_result.json").exists()


def test_a_device_that_computes_nothing_has_no_accuracy(tmp_path, monkeypatch):
    backend = Replayed({1: 4})
    backend.computes = False
    assert evaluated(tmp_path, monkeypatch, backend).reason == "this device computes nothing"


def test_values_that_are_not_finite_get_no_accuracy():
    answers = np.full((4, 6), np.nan, np.float32)
    with pytest.raises(UserError, match="answers fp32 on none gives values that are not finite"):
        accuracy.evaluate(Answers(), Images(answers), np.zeros(10, np.int32), 4)


def test_the_guides_result_file_of_a_simulator_says_so(tmp_path):
    accuracy.write_guide_result(tmp_path / "acc_result.json", np.array([1, 2]), 2, 10, simulated=True)
    assert json.loads((tmp_path / "acc_result.json").read_text())["title"] == "Overall statistical evaluation (simulated device)"


# other configurations beside the candidate


def several(tmp_path, monkeypatch, *backends, labels=(5, 4, 3, 2)):
    """Return step and results of a candidate and options that gave these answers."""
    dataset.Manifest([f"{n}.png" for n in range(len(labels))], np.array(labels)).save(tmp_path / "manifest.csv")
    waiting = list(backends)
    monkeypatch.setattr(accuracy.backends, "load", lambda *_: waiting.pop(0))
    step = step_of(tmp_path, options=["option"] * (len(backends) - 1))
    data = SimpleNamespace(manifest="manifest.csv", labels_source="val_label.txt", classes=6, streamed=False)
    return step, accuracy.results(step, data, SimpleNamespace(random_weights=False, classes=6))


RIGHT = {0: 5, 1: 4, 2: 3, 3: 2}
HALF = {0: 5, 1: 0, 2: 3, 3: 0}


def test_each_target_is_loaded_in_its_turn(tmp_path, monkeypatch):
    targets = []
    monkeypatch.setattr(accuracy.backends, "load", lambda folder, model, target: targets.append(target) or Replayed(RIGHT))
    dataset.Manifest(["a.png"] * 4, np.array([5, 4, 3, 2])).save(tmp_path / "manifest.csv")
    step = step_of(tmp_path, options=["first", "second"])
    data = SimpleNamespace(manifest="manifest.csv", labels_source="val_label.txt", classes=6, streamed=False)
    accuracy.results(step, data, SimpleNamespace(random_weights=False, classes=6))
    assert targets == [step.settings, "first", "second"]


def test_options_are_evaluated_after_the_candidate_each_with_its_scores(tmp_path, monkeypatch):
    _, found = several(tmp_path, monkeypatch, Replayed(RIGHT), Replayed(HALF), Replayed({}))
    assert [(one.stage, one.top1_pct, one.scores_file) for one in found] == [
        ("candidate", 100.0, "artefacts/scores_candidate.npz"),
        ("option_1", 50.0, "artefacts/scores_option_1.npz"),
        ("option_2", None, None),
    ]
    assert sorted(path.name for path in (tmp_path / "artefacts").iterdir()) == ["scores_candidate.npz", "scores_option_1.npz"]


def test_the_guides_result_file_is_the_candidates_whatever_the_options_answer(tmp_path, monkeypatch):
    several(tmp_path, monkeypatch, Replayed(RIGHT), Replayed(HALF))
    assert json.loads((tmp_path / "acc_result.json").read_text())["value"][2] == {"key": "Top1 accuracy", "value": "100.0%"}


def test_an_option_makes_no_guides_result_file_in_the_candidates_place(tmp_path, monkeypatch):
    several(tmp_path, monkeypatch, Replayed({}), Replayed(RIGHT))
    assert not (tmp_path / "acc_result.json").exists()


def test_scores_of_an_earlier_evaluation_are_removed(tmp_path, monkeypatch):
    several(tmp_path, monkeypatch, Replayed(RIGHT), Replayed(HALF), Replayed(HALF))
    several(tmp_path, monkeypatch, Replayed(RIGHT), Replayed(HALF))
    assert sorted(path.name for path in (tmp_path / "artefacts").iterdir()) == ["scores_candidate.npz", "scores_option_1.npz"]


def counts(comparison):
    return comparison.both_right, comparison.only_a, comparison.only_b, comparison.both_wrong


def test_every_two_stages_are_compared_image_by_image(tmp_path, monkeypatch):
    step, found = several(tmp_path, monkeypatch, Replayed(HALF), Replayed({0: 5, 1: 4, 2: 0, 3: 1}), Replayed(RIGHT))
    first, second, options = accuracy.comparisons(step, found)
    assert (first.a, first.b, counts(first)) == ("candidate", "option_1", (1, 1, 1, 1))
    assert (second.a, second.b, counts(second)) == ("candidate", "option_2", (2, 0, 2, 0))
    assert (options.a, options.b, counts(options)) == ("option_1", "option_2", (2, 0, 2, 0))


def test_only_images_that_both_answered_are_compared(tmp_path, monkeypatch):
    step, found = several(tmp_path, monkeypatch, Replayed({3: 2, 1: 4, 0: 0}), Replayed({0: 5, 2: 3, 3: 2}))
    [comparison] = accuracy.comparisons(step, found)
    assert counts(comparison) == (1, 0, 1, 0)  # images 0 and 3


def test_what_was_not_evaluated_is_not_compared(tmp_path, monkeypatch):
    step, found = several(tmp_path, monkeypatch, Replayed(RIGHT), Replayed({}), Replayed(HALF))
    assert [one.b for one in accuracy.comparisons(step, found)] == ["option_2"]


def test_without_an_evaluated_candidate_the_others_are_compared(tmp_path, monkeypatch):
    step, found = several(tmp_path, monkeypatch, Replayed({}), Replayed(RIGHT), Replayed(HALF))
    assert [(one.a, one.b) for one in accuracy.comparisons(step, found)] == [("option_1", "option_2")]
    assert accuracy.comparisons(step, []) == []
