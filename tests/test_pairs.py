import csv
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import accuracy, pairs
from helpers.pairs import Pair
from helpers.scores import Scores
from tests.test_accuracy import result

NO_LABELS = [-1] * 5
LABELS = [0, 1, 2, 0, 1]


def answered(folder, stage, answers, sure=0.9, labels=LABELS, images=range(5), **values):
    """Write the scores of a stage that gave these answers to images of three classes, and return its result."""
    image, sure = np.array(images, np.int32), np.broadcast_to(sure, len(answers))
    probabilities = np.array([np.where(np.arange(3) == answer, p, (1 - p) / 2) for answer, p in zip(answers, sure, strict=True)])
    kept = folder / "artefacts" / f"scores_{stage}.npz"
    Scores.of(image, np.array(labels, np.int32), probabilities).save(kept)
    known = {"stage": stage, "backend": f"backend of {stage}", "scores_file": f"artefacts/{kept.name}"}
    return result(1, 2).model_copy(update=known | values)


def pair_of(folder, a, b, **values) -> Pair:
    [found] = pairs.found(folder, [answered(folder, "candidate", a, **values), answered(folder, "option_1", b, **values)])
    return found


def test_images_with_different_answers_are_found_the_surest_first(tmp_path):
    """By the smaller of the two probabilities; equal ones stay in the manifest's order."""
    sure = {"a": [0.9, 0.9, 0.5, 0.9, 0.9], "b": [0.6, 0.9, 0.9, 0.7, 0.7]}
    one = answered(tmp_path, "candidate", [0, 1, 2, 0, 1], sure["a"])
    other = answered(tmp_path, "option_1", [1, 1, 0, 1, 0], sure["b"])
    [found] = pairs.found(tmp_path, [one, other])
    assert (found.a, found.b, found.images) == (one, other, 5)
    assert found.mine.image.tolist() == found.theirs.image.tolist() == [3, 4, 0, 2]
    assert (found.mine.answer.tolist(), found.theirs.answer.tolist()) == ([0, 1, 0, 2], [1, 0, 1, 0])


def test_every_two_stages_that_kept_scores_are_looked_at(tmp_path):
    results = [answered(tmp_path, stage, [0] * 5) for stage in ("candidate", "option_1", "option_2", "run_1")]
    results[1] = results[1].model_copy(update={"scores_file": None})
    assert [(one.a.stage, one.b.stage) for one in pairs.found(tmp_path, results)] == [
        ("candidate", "option_2"),
        ("candidate", "run_1"),
        ("option_2", "run_1"),
    ]


def test_only_images_that_both_answered_count(tmp_path):
    one = answered(tmp_path, "candidate", [0, 1], images=[0, 3], labels=[0, 0])
    other = answered(tmp_path, "option_1", [0, 2], images=[3, 4], labels=[0, 1])
    [found] = pairs.found(tmp_path, [one, other])
    assert (found.images, found.mine.image.tolist()) == (1, [3])


def test_which_is_right_is_told_of_each_image(tmp_path):
    assert pair_of(tmp_path, [0, 2, 1, 0, 1], [1, 1, 0, 0, 1]).right == ["a", "b", "neither"]
    assert pair_of(tmp_path, [0, 2, 1, 0, 1], [1, 1, 0, 0, 1], labels=NO_LABELS).right == ["", "", ""]


@pytest.mark.parametrize(
    ("a", "b", "labels", "said"),
    [
        (
            [0, 2, 1, 0, 1],
            [1, 1, 0, 1, 1],
            LABELS,
            "Option 1 (backend of option_1) answers otherwise than the candidate on 4 of 5 images: "
            "2 lost (only the candidate is right), 1 gained (only option 1 is), 1 wrong in both.",
        ),
        ([0] * 5, [0, 0, 0, 0, 1], NO_LABELS, "Option 1 (backend of option_1) answers otherwise than the candidate on 1 of 5 images."),
        ([0] * 5, [0] * 5, LABELS, "Option 1 (backend of option_1) answers as the candidate does on all 5 images."),
    ],
    ids=["labelled", "unlabelled", "the same"],
)
def test_the_difference_is_said_in_words(tmp_path, a, b, labels, said):
    assert pair_of(tmp_path, a, b, labels=labels).in_words() == said


def test_lost_and_gained_are_those_of_the_comparison(tmp_path):
    draw = np.random.default_rng(0)
    labels, one, other = draw.integers(0, 3, (3, 400))
    all_images = {"labels": labels, "images": range(400)}
    results = [answered(tmp_path, "candidate", one, **all_images), answered(tmp_path, "option_1", other, **all_images)]
    step = SimpleNamespace(folder=tmp_path, settings=SimpleNamespace(paired_margin_points=0.5))
    [compared], [found] = accuracy.comparisons(step, results), pairs.found(tmp_path, results)
    assert (found.right.count("a"), found.right.count("b")) == (compared.only_a, compared.only_b)


def test_runs_without_an_image_in_common_say_so(tmp_path):
    one = answered(tmp_path, "candidate", [0], images=[0], labels=[0])
    other = answered(tmp_path, "run_1", [0], images=[3], labels=[0], imported="other")
    [found] = pairs.found(tmp_path, [one, other])
    assert found.in_words() == "Run other (backend of run_1) and the candidate have no image in common."


def test_a_simulated_device_is_never_named_without_saying_so(tmp_path):
    one, other = answered(tmp_path, "candidate", [0] * 5), answered(tmp_path, "run_1", [1] * 5, imported="npu", simulated=True)
    [found] = pairs.found(tmp_path, [one, other])
    assert found.names == ("candidate", "run npu (simulated)")
    assert found.in_words().startswith("Run npu (simulated) (backend of run_1) answers otherwise")


# the list of all


def lines(path):
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def test_the_list_has_a_line_for_each_different_answer_of_every_pair(tmp_path):
    answers = {"candidate": [0, 2, 1, 0, 1], "option_1": [1, 1, 0, 0, 1], "option_2": [0, 2, 1, 0, 2]}
    found = list(pairs.found(tmp_path, [answered(tmp_path, stage, given, 0.75) for stage, given in answers.items()]))
    pairs.write_csv(tmp_path / "flips.csv", found, ["v.png", "w.png", "x.png", "y.png", "z.png"], ["shirt", "boot"])
    assert lines(tmp_path / "flips.csv")[:5] == [
        ["a", "b", "image", "label", "class", "answer_a", "probability_a", "answer_b", "probability_b", "right"],
        ["candidate", "option 1", "v.png", "0", "shirt", "0", "0.7500", "1", "0.7500", "a"],
        ["candidate", "option 1", "w.png", "1", "boot", "2", "0.7500", "1", "0.7500", "b"],
        ["candidate", "option 1", "x.png", "2", "", "1", "0.7500", "0", "0.7500", "neither"],
        ["candidate", "option 2", "z.png", "1", "boot", "1", "0.7500", "2", "0.7500", "a"],
    ]
    assert [line[:2] for line in lines(tmp_path / "flips.csv")[5:]] == [["option 1", "option 2"]] * 4


def test_without_labels_their_columns_are_empty(tmp_path):
    found = pair_of(tmp_path, [0] * 5, [1, 0, 0, 0, 0], labels=NO_LABELS)
    pairs.write_csv(tmp_path / "flips.csv", [found], ["a.png"] * 5, ["shirt"])
    assert lines(tmp_path / "flips.csv")[1] == ["candidate", "option 1", "a.png", "", "", "0", "0.9000", "1", "0.9000", ""]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("=HYPERLINK(1).png", "'=HYPERLINK(1).png"),
        (" +1.png", "' +1.png"),
        ("-1.png", "'-1.png"),
        ("@SUM(1).png", "'@SUM(1).png"),
        ("\t=1.png", "\\t=1.png"),
        ("＝1.png", "'＝1.png"),
        ('a";=1.png', "a\";'=1.png"),  # where the list is split at semicolons
        ("a\n=1.png", "a\\n=1.png"),
        ("a\udcff\u202e.png", "a\\xff\\u202e.png"),
        ("a-b.png", "a-b.png"),
    ],
)
def test_names_that_a_spreadsheet_would_compute_are_text(tmp_path, name, written):
    found = pair_of(tmp_path, [0] * 5, [1, 0, 0, 0, 0])
    pairs.write_csv(tmp_path / "flips.csv", [found], [name] * 5, [name])
    [_, line] = lines(tmp_path / "flips.csv")
    assert (line[2], line[4]) == (written, written)
