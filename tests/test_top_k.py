import numpy as np

from helpers import top_k
from tests.test_scores import made_of, stage
from tests.test_tables import cells

GUESSES = [[1, 0, 2, 3, 4], [0, 1, 2, 3, 4], [2, 0, 3, 4, 1], [5, 6, 7, 8, 9]]
SCORES = made_of([1, 1, 1, 1], GUESSES)


def test_the_table_counts_the_labels_among_the_first_guesses():
    chart, table = top_k.in_words([(stage(top5_pct=75.0), SCORES)]).elements
    assert cells(table) == [
        ["stage", "images", "top-1", "top-2", "top-3", "top-4", "top-5"],
        ["candidate", "4", "25.00", "50.00", "50.00", "50.00", "75.00"],
    ]
    assert "dash" not in table.caption
    assert chart.alt.startswith("Candidate: top-1 25.00 %, top-5 75.00 %. candidate: top-1 25.00 %, top-2 50.00 %, ")


def test_recorded_answers_end_where_they_are_rounded_to_nought():
    rounded = made_of([1, 1], GUESSES[:2], [[0.9, 0.1, 0, 0, 0], [0.6, 0.3, 0.1, 0, 0]])
    kept = [(stage(top5_pct=75.0), SCORES), (stage("option_1", top5_pct=None), rounded)]
    _, table = top_k.in_words(kept).elements
    assert cells(table)[2] == ["option 1", "2", "50.00", "100.00", "–", "–", "–"]
    assert table.caption.endswith("A dash: the recorded probabilities are rounded to nought there")


def test_an_answer_that_is_certain_of_one_class_still_has_a_top_1():
    assert top_k.known_hits(stage(top5_pct=None), made_of([1], GUESSES[:1], [[0, 0, 0, 0, 0]])) == [1]


def test_with_three_classes_there_are_three_guesses_whatever_their_probability():
    scores = made_of([1, 0], [[0, 1, 2], [0, 1, 2]], [[1, 0, 0], [1, 0, 0]])
    _, table = top_k.in_words([(stage(top5_pct=None), scores)]).elements
    assert cells(table) == [["stage", "images", "top-1", "top-2", "top-3"], ["candidate", "2", "50.00", "100.00", "100.00"]]


def test_one_class_and_one_image():
    chart, table = top_k.in_words([(stage(top5_pct=None), made_of([0], [[0]]))]).elements
    assert cells(table)[1] == ["candidate", "1", "100.00"]
    assert chart.alt == "Candidate: top-1 100.00 %. candidate: top-1 100.00 %."


def test_without_an_evaluated_candidate_nothing_is_claimed():
    assert top_k.in_words([]).text == "Further guesses are unknown: the candidate was not evaluated."


def test_all_wrong_is_nought():
    assert top_k.known_hits(stage(top5_pct=0.0), made_of(np.full(4, 99), GUESSES)) == [0] * 5
