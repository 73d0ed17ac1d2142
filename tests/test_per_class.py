import csv
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import per_class
from tests.test_scores import made_of, stage
from tests.test_tables import cells

NAMES = ["cat", "dog", "<b>owl</b>", "eel"]


def scores_of(*pairs):
    """Return scores of (label, answer) pairs."""
    labels, given = zip(*pairs, strict=True)
    return made_of(labels, np.array(given)[:, None])


# cat: 2 of 4, twice a dog; dog: 1 of 2, once a cat; owl: 0 of 1, a dog; eel: no image
SCORES = scores_of((0, 0), (0, 0), (0, 1), (0, 1), (1, 1), (1, 0), (2, 1))


def shown(tmp_path, scores, names=NAMES, classes=4, **changes):
    return per_class.in_words([(stage(**changes), scores)], SimpleNamespace(classes=classes, class_names=names), tmp_path)


def rows_of(tmp_path):
    with (tmp_path / "per_class.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def test_classes_come_worst_first_equally_bad_ones_by_index_and_those_without_images_last():
    assert [(one.index, one.images, one.right, one.top1_pct) for one in per_class.each(SCORES, 4)] == [
        (2, 1, 0, 0.0),
        (0, 4, 2, 50.0),
        (1, 2, 1, 50.0),
        (3, 0, 0, None),
    ]


def test_of_classes_that_it_is_taken_for_equally_often_the_lower_index_is_named():
    found = per_class.each(scores_of((0, 3), (0, 2), (0, 2), (0, 3), (1, 1)), 4)[0]
    assert (found.taken_for, found.taken_for_images) == (2, 2)


def test_the_table_of_classes_and_that_of_pairs(tmp_path):
    said, classes, pairs = shown(tmp_path, SCORES).elements
    assert said.text == (
        "Candidate: the worst of 3 classes is 2 <b>owl</b> with 0.0 % (0 of 1 image), most often taken for 1 dog. "
        "0 of them lie below the top-1 over all, 42.86 %, with the whole interval. 1 class has no image."
    )
    assert cells(classes) == [
        ["class", "name", "images", "right", "top-1, %", "95 % interval", "most often taken for"],
        ["2", "&lt;b&gt;owl&lt;/b&gt;", "1", "0", "0.0", "0.0 to 79.3", "1 dog (1)"],
        ["0", "cat", "4", "2", "50.0", "15.0 to 85.0", "1 dog (2)"],
        ["1", "dog", "2", "1", "50.0", "9.5 to 90.5", "0 cat (1)"],
    ]
    assert cells(pairs) == [
        ["class", "taken for", "images", "share, %", "the other way round"],
        ["0 cat", "1 dog", "2", "50.0", "1"],
        ["2 &lt;b&gt;owl&lt;/b&gt;", "1 dog", "1", "100.0", "0"],
    ]


def test_a_pair_that_is_equally_frequent_both_ways_stands_once_with_the_lower_class_first(tmp_path):
    _, _, pairs = shown(tmp_path, scores_of((1, 0), (0, 1), (2, 2))).elements
    assert cells(pairs)[1:] == [["0 cat", "1 dog", "1", "100.0", "1"]]


def test_a_class_that_is_surely_below_the_others_is_counted():
    found = per_class.each(scores_of(*[(0, 1)] * 30, *[(1, 1)] * 70), 2)
    assert "1 of them lies below the top-1 over all, 70.00 %, with the whole interval." in per_class.sentence(found, [])


def test_where_all_is_right_there_are_no_pairs_and_no_worst_class(tmp_path):
    said, classes = shown(tmp_path, scores_of((0, 0), (1, 1))).elements
    assert said.text == "Candidate: all images of 2 classes are answered right. 2 classes have no image."
    assert [row[-1] for row in cells(classes)[1:]] == ["–", "–"]


def test_where_all_is_wrong_every_class_is_taken_for_another(tmp_path):
    said, *_ = shown(tmp_path, scores_of((0, 1), (1, 2), (2, 0)), classes=3).elements
    assert said.text.startswith("Candidate: the worst of 3 classes is 0 cat with 0.0 % (0 of 1 image), most often taken for 1 dog.")


def test_one_image_of_one_class(tmp_path):
    said, classes = shown(tmp_path, scores_of((0, 0)), [], 1).elements
    assert said.text == "Candidate: all images of 1 class are answered right."
    assert cells(classes)[1:] == [["0", "–", "1", "1", "100.0", "20.7 to 100.0", "–"]]


def test_an_answer_beyond_the_classes_that_have_names_goes_by_its_index(tmp_path):
    _, classes, pairs = shown(tmp_path, scores_of((0, 9), (3, 3)), ["cat"]).elements
    assert cells(classes)[1][-1] == "class 9 (1)"
    assert cells(pairs)[1][:2] == ["0 cat", "class 9"]


def test_a_simulated_device_is_said_to_be_one(tmp_path):
    said, classes, _ = shown(tmp_path, SCORES, simulated=True).elements
    assert said.text.startswith("Candidate (simulated): the worst")
    assert classes.caption.startswith("Candidate (simulated): ")


def test_of_many_classes_the_worst_are_shown_and_the_file_has_all(tmp_path):
    labels = np.arange(2000) % 1000
    scores = scores_of(*zip(labels, np.where(labels < 40, labels + 1, labels), strict=True))
    _, classes, pairs = shown(tmp_path, scores, [], 1000).elements
    assert [row[0] for row in cells(classes)[1:]] == [str(index) for index in range(20)]
    assert classes.caption.startswith("Candidate: the 20 worst of 1,000 classes, ")
    assert len(cells(pairs)) == 11
    assert len(rows_of(tmp_path)) == 1001


def test_the_file_has_every_class_with_its_interval_and_what_it_is_taken_for(tmp_path):
    shown(tmp_path, SCORES)
    head, owl, cat, _, eel = rows_of(tmp_path)
    assert head == per_class.COLUMNS
    assert owl[:5] + owl[7:] == ["2", "<b>owl</b>", "1", "0", "0.0", "1", "dog", "1"]
    assert [float(text) for text in cat[4:7]] == pytest.approx([50.0, 15.0039, 84.9961], abs=1e-4)
    assert eel == ["3", "eel", "0", "0", "", "", "", "", "", "0"]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "+1"),  # a number is none
        ("-1", "-1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ("a;=1", "a;'=1"),  # read with another separator it is a cell of its own
        ('a",=1', "a\",'=1"),
        ("a\n=1", "a\n'=1"),
        ("T-shirt/top", "T-shirt/top"),
        ("great white shark, white shark, man-eater", "great white shark, white shark, man-eater"),
        ("狗", "狗"),
        ("", ""),
    ],
)
def test_no_name_is_a_formula_to_a_spreadsheet_and_harmless_ones_stay(tmp_path, name, written):
    shown(tmp_path, scores_of((0, 1), (1, 1)), [name, name], 2)
    assert [(row[1], row[8]) for row in rows_of(tmp_path)[1:]] == [(written, written), (written, "")]


def test_without_an_evaluated_candidate_an_earlier_file_is_gone(tmp_path):
    shown(tmp_path, SCORES)
    said = per_class.in_words([], SimpleNamespace(classes=4, class_names=NAMES), tmp_path)
    assert said.text == "Nothing is known of single classes: the candidate was not evaluated."
    assert not (tmp_path / "per_class.csv").exists()
