import numpy as np

from helpers import formats, scores
from helpers.scores import Scores
from tests.test_accuracy import result


def made_of(label, top5, probability=None):
    """Return the scores of images with these labels and guesses; the probabilities fall by half from guess to guess."""
    guesses = np.array(top5, np.int32)
    falling = np.broadcast_to(0.5 ** np.arange(1, guesses.shape[1] + 1), guesses.shape)
    sure = np.array(falling if probability is None else probability, np.float32)
    return Scores(np.arange(len(guesses), dtype=np.int32), np.array(label, np.int32), guesses, sure)


def stage(name="candidate", **changes):
    """Return the result of an evaluated stage."""
    return result(1, 2).model_copy(update={"stage": name, **changes})


def test_every_evaluated_stage_comes_with_its_answers_the_candidate_first(tmp_path):
    made_of([1, 0], [[1, 0], [1, 0]]).save(tmp_path / "scores.npz")
    found = [stage(scores_file="scores.npz"), stage("option_1", evaluated=False), stage("option_2", scores_file="scores.npz")]
    kept = scores.kept(tmp_path, found)
    assert [result.stage for result, _ in kept] == ["candidate", "option_2"]
    assert kept[1][1].answer.tolist() == [1, 1]


def test_without_the_candidate_there_is_nothing_to_look_into(tmp_path):
    assert scores.kept(tmp_path, [stage(evaluated=False), stage("option_1", scores_file="scores.npz")]) == []


def test_a_stage_is_called_by_its_place_and_a_simulated_one_says_so():
    assert [formats.called(one) for one in (stage(), stage("option_12"), stage(simulated=True))] == [
        "candidate",
        "option 12",
        "candidate (simulated)",
    ]
    assert formats.called(stage("run_1", imported="demo")) == "run demo"
