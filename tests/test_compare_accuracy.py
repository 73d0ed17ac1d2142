import pytest

from helpers import comparable, compare_accuracy, embedded
from helpers.records import Accuracy
from tests import runs

RIGHT, WRONG = [0, 1], [1, 0]  # answers to LABELS of two images


@pytest.fixture
def compared(tmp_path):
    """Return a function that gives the difference of B to A, and what the section says."""

    def difference(mine, theirs, labels=None, **otherwise):
        labels = labels or [0, 1] * (len(mine) // 2)
        a = embedded.of(runs.write(tmp_path / "a", mine, labels))
        b = embedded.of(runs.write(tmp_path / "b", theirs, otherwise.pop("other_labels", labels), **otherwise))
        unlike = comparable.of(a, b)
        found = compare_accuracy.difference(a, b, unlike)
        return found, compare_accuracy.shown(a, b, found, unlike)._repr_html_()

    return difference


def test_the_same_images_are_compared_one_by_one(compared):
    found, section = compared(RIGHT * 100, [*WRONG, *RIGHT * 99])
    assert (found.points, found.images) == (-1.0, 200)
    assert (found.paired.both_right, found.paired.only_a, found.paired.only_b, found.paired.both_wrong) == (198, 2, 0, 0)
    assert "On the same 200 images B&#x27;s top-1 less A&#x27;s is -1.00 points, 95\u00a0% interval" in section
    assert "INCONCLUSIVE at 0.5 points; about" in section


def test_swapping_the_runs_mirrors_the_numbers(compared):
    (there, _), (back, _) = compared(RIGHT * 100, [*WRONG, *RIGHT * 99]), compared([*WRONG, *RIGHT * 99], RIGHT * 100)
    assert there.points == -back.points
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    there, back = (
        compared(*pair, labels=[0, 1] * 50, other_labels=[0, 1] * 50, result={"keep": False})[0]
        for pair in ((RIGHT * 50, WRONG * 50), (WRONG * 50, RIGHT * 50))
    )
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        (RIGHT * 1000, RIGHT * 1000, "is as accurate as A, within 0.5 points on the same 2,000 images"),
        (RIGHT * 50, [*WRONG * 10, *RIGHT * 40], "is less accurate than A, by 20.00 points on the same 100 images"),
        ([*WRONG * 10, *RIGHT * 40], RIGHT * 50, "is more accurate than A, by 20.00 points on the same 100 images"),
        (RIGHT * 5, RIGHT * 5, "may or may not be as accurate as A: 10 images are too few to tell"),
    ],
)
def test_a_paired_difference_is_one_of_four_verdicts(compared, mine, theirs, said):
    assert compare_accuracy.headline(compared(mine, theirs)[0]) == said


def test_other_images_are_two_samples_with_newcombes_interval(compared):
    """R. G. Newcombe, Statistics in Medicine 17, 873 (1998), table II, method 10: 56/70 less 48/80 is 0.2000, 0.0524 to 0.3339."""
    mine, theirs = [0] * 48 + [1] * 32, [0] * 56 + [1] * 14
    found, section = compared(mine, theirs, labels=[0] * 80, other_labels=[0] * 70)
    assert found.paired is None
    assert found.points == pytest.approx(20.0)
    assert found.interval == pytest.approx((5.24, 33.39), abs=0.005)
    assert "unpaired. This is no verdict (other images or pixels: 80 images in A and 70 in B)" in section


def test_answers_that_were_not_kept_are_told_with_the_remedy(compared):
    found, section = compared(RIGHT * 5, RIGHT * 5, result={"keep": False})
    assert found.paired is None
    assert "no verdict (the answers of B were not kept in the folder: give the report.html instead)" in section
    assert compare_accuracy.headline(found).startswith("can't be held against A image by image (the answers of B were not kept")


def test_what_is_not_comparable_has_no_difference_and_both_accuracies(compared):
    found, section = compared(RIGHT * 5, RIGHT * 5, model={"weights": "x" * 64, "onnx": "y" * 64})
    assert found is None
    assert "Not comparable: other model weights" in section
    assert section.count("100.00\u00a0%") == 2


def test_images_that_only_one_run_answered_are_left_out(tmp_path):
    a, b = (embedded.of(runs.write(tmp_path / name, RIGHT * 2)) for name in "ab")
    some = b.scores["candidate"][[1, 2]]
    found = compare_accuracy.difference(a, embedded.Run(b.records, {"candidate": some}), comparable.of(a, b))
    assert found.images == 2
    other = embedded.Run(b.records, {"candidate": some[[0]]})
    none = embedded.Run(a.records, {"candidate": a.scores["candidate"][[0]]})
    assert compare_accuracy.difference(none, other, comparable.of(a, b)).why == "they answered no image in common"


def test_the_narrower_of_two_margins_counts(tmp_path):
    a, b = (embedded.of(runs.write(tmp_path / name, RIGHT * 2)) for name in "ab")
    a.records[Accuracy].params["paired_margin_points"], b.records[Accuracy].params["paired_margin_points"] = 3, "<b>"
    assert compare_accuracy.difference(a, b, comparable.of(a, b)).paired.margin_points == 0.5
    a.records[Accuracy].params["paired_margin_points"] = 0.2
    assert compare_accuracy.difference(a, b, comparable.of(a, b)).paired.margin_points == 0.2
