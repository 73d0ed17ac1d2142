import numpy as np
import pytest

from helpers import calibration, metrics
from tests.test_scores import made_of, stage
from tests.test_tables import cells


def sure(*parts):
    """Return scores of (probability, right, images) parts."""
    probability, right = (np.concatenate([np.full(images, part[place]) for *part, images in parts]) for place in (0, 1))
    return made_of(1 - right, np.zeros((len(right), 1)), probability[:, None])


@pytest.mark.parametrize(
    ("probability", "right", "wrong", "said"),
    [
        (0.95, 900, 100, "On average 5.0 points surer than right"),
        (0.80, 900, 100, "On average 10.0 points less sure than right"),
        (0.91, 900, 100, "On average as sure as right, as far as 1,000 images can tell"),  # 88.0 to 91.7
        (0.30, 0, 1, "On average as sure as right, as far as 1 image can tell"),
    ],
)
def test_the_claim_says_how_much_surer_than_right_unless_the_images_can_not_tell(probability, right, wrong, said):
    scores = sure((probability, 1, right), (probability, 0, wrong))
    assert calibration.claim(metrics.calibration(scores.probability[:, 0], scores.right)) == said


def test_sentence_chart_bins_and_stages():
    candidate = sure((0.95, 1, 900), (0.95, 0, 100), (0.5, 1, 50), (0.5, 0, 50))
    option = sure((0.9, 1, 9), (0.9, 0, 1))
    kept = [(stage(), candidate), (stage("option_1", simulated=True), option)]
    said, chart, bins, stages = calibration.in_words(kept).elements
    assert said.text == (
        "On average 4.5 points surer than right: the answers of the candidate have a mean probability of 90.9 %, and 86.4 % are right "
        "(95 % interval 84.2 to 88.3)."
    )
    assert chart.alt.startswith("On average 4.5 points surer than right. candidate, 1,100 images; calibration error 4.5 points. ")
    assert cells(bins) == [
        ["probability, %", "images", "mean probability, %", "right, %", "95 % interval"],
        ["46.7 to 53.3", "100", "50.0", "50.0", "40.4 to 59.6"],
        ["93.3 to 100.0", "1000", "95.0", "90.0", "88.0 to 91.7"],
    ]
    assert cells(stages) == [
        ["stage", "images", "mean probability, %", "right, %", "ECE, points", "by chance, points"],
        ["candidate", "1100", "90.9", "86.4", "4.55", "0.86"],
        ["option 1 (simulated)", "10", "90.0", "90.0", "0.00", "7.57"],
    ]


def test_where_a_bin_is_right_as_often_as_it_says_there_is_no_error():
    assert cells(calibration.in_words([(stage(), sure((0.75, 1, 3), (0.75, 0, 1)))]).elements[3])[1][4] == "0.00"


def test_probabilities_rounded_to_six_decimals_give_the_same_error():
    random = np.random.default_rng(0)
    exact = random.random(5000)
    right = random.random(5000) < exact
    errors = [metrics.calibration_error_pct(metrics.calibration(each, right)) for each in (exact, exact.round(6).astype(np.float32))]
    assert errors[0] == pytest.approx(errors[1], abs=1e-3)


def test_without_an_evaluated_candidate_nothing_is_claimed():
    assert calibration.in_words([]).text == "Whether it is as sure as right is unknown: the candidate was not evaluated."
