import json

import numpy as np
import pytest

from helpers import label_sets
from helpers.errors import ParameterError, UserError
from helpers.records import LabelSet
from helpers.scores import Scores
from tests.test_accuracy import result

NAMES = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in (3, 1, 2)]


def read(tmp_path, content, names=NAMES, classes=10, file="real.json"):
    (tmp_path / file).write_text(content if isinstance(content, str) else json.dumps(content))
    return label_sets.read("ReaL", str(tmp_path / file), names, classes)


def pairs(found):
    return list(zip(found.image.tolist(), found.label.tolist(), strict=True))


def answered(*answers):
    """Return scores of which only the place in the manifest and the first answer matter."""
    places = np.arange(len(answers), dtype=np.int32)
    column = np.array(answers, np.int32)[:, None]
    return Scores(places, np.zeros(len(answers), np.int32), column, np.ones(column.shape, np.float32))


def test_reals_list_goes_by_the_number_in_the_images_names(tmp_path):
    assert pairs(read(tmp_path, [[1, 7], [], [5, 5]])) == [(0, 5), (1, 1), (1, 7)]


def test_folders_in_front_of_numbered_images_do_not_matter(tmp_path):
    assert pairs(read(tmp_path, [[1], [2], [3]], [f"val/{name}" for name in NAMES])) == [(0, 3), (1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("b/x.png", "b/x.png"),
        ("b/x.png", "./b/x.png"),
        ("b/x.png", "x.png"),
        ("x.png", "val/x.png"),
        ("b/x.png", "a/x.png"),
        ("b/x.png", "x"),
        ("b/x.png", "a/x"),
        ("b/x.png", "x.JPEG"),
        ("b/x.001.png", "x.001"),
    ],
)
def test_names_match_with_and_without_folders_and_suffix(tmp_path, ours, theirs):
    assert pairs(read(tmp_path, {theirs: 4}, ["other.png", ours])) == [(1, 4)]


def test_names_without_a_suffix_that_hold_dots_stay_apart(tmp_path):
    assert pairs(read(tmp_path, {"x.001": 4, "x.002": 5}, ["x.002.png", "x.001.png"])) == [(0, 5), (1, 4)]


def test_images_in_folders_are_known_by_their_folders_where_the_file_names_them(tmp_path):
    names = ["cat/1.png", "dog/1.png", "dog/2.png"]
    assert pairs(read(tmp_path, {"dog/1.png": [2, 3]}, names)) == [(1, 2), (1, 3)]


@pytest.mark.parametrize(
    ("content", "names", "what"), [({"1.png": 2}, ["cat/1.png", "dog/1.png"], "1.png"), ({"a/1": 2, "b/1": 3}, ["1.png"], "1")]
)
def test_a_name_that_may_be_two_images_is_an_error(tmp_path, content, names, what):
    with pytest.raises(UserError, match=f"real.json: {what} may be more than one image: name images with their folders"):
        read(tmp_path, content, names)


def test_an_answer_is_right_where_it_is_among_the_labels_and_images_without_labels_do_not_count(tmp_path):
    labels = read(tmp_path, [[1, 7], [], [5]])
    assert label_sets.scored(labels, answered(5, 7, 0)).model_dump() == {
        "name": "ReaL",
        "file": "real.json",
        "images": 2,
        "top1_pct": 100.0,
        "top1_interval_pct": pytest.approx((34.238, 100.0), abs=1e-3),  # 2 of 2
    }
    assert label_sets.scored(labels, answered(1, 7, 0)).top1_pct == 50.0
    assert label_sets.scored(labels, answered(1, 5, 0)).top1_pct == 0.0  # right for another image only


def test_a_label_set_serves_stages_that_answered_other_images_in_another_order(tmp_path):
    labels, all_three = read(tmp_path, [[1], [2], [3]]), answered(3, 1, 9)
    found = label_sets.scored(labels, all_three[np.array([2, 0])])
    assert (found.images, found.top1_pct) == (2, 50.0)


def test_an_answer_beyond_the_labels_classes_is_wrong_and_no_other_images_label(tmp_path):
    labels = read(tmp_path, {"a": 0, "b": 1}, ["a.png", "b.png"], 2)
    assert label_sets.scored(labels, answered(3, 1)).top1_pct == 50.0


def test_single_labels_give_the_ordinary_top_1(tmp_path):
    random = np.random.default_rng(0)
    names, truth, given = [f"{number}.png" for number in range(500)], random.integers(0, 4, 500), random.integers(0, 4, 500)
    labels = read(tmp_path, dict(zip(names, truth.tolist(), strict=True)), names)
    assert label_sets.scored(labels, answered(*given)).top1_pct == 100 * (truth == given).mean()


def test_where_no_answered_image_has_a_label_it_says_so(tmp_path):
    labels = read(tmp_path, [[], [2], []])
    with pytest.raises(UserError, match="real.json labels none of the images that were answered: leave label_sets.ReaL out."):
        label_sets.scored(labels, answered(3, 1))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([[1], [2]], "real.json has 2 entries and none for ILSVRC2012_val_00000003.JPEG: give the whole list"),
        ([], "real.json has 0 entries and none for ILSVRC2012_val_00000003.JPEG"),
        ([[], [], []], "real.json has no label for any of the images"),
        ([[1], [2], [10]], r"real.json: ILSVRC2012_val_00000003.JPEG has class 10, outside 0\.\.9: correct it"),
        ([[1], [-1], [3]], r"real.json: ILSVRC2012_val_00000002.JPEG has class -1, outside 0\.\.9"),
        ([[1], [10**30], [3]], r"has class 10{30}, outside 0\.\.9"),
        ({"other.JPEG": 1}, r"names none of the images \(first image: ILSVRC2012_val_00000003.JPEG, first entry: other.JPEG\): name them"),
        ({}, r"names none of the images \(first image: ILSVRC2012_val_00000003.JPEG, first entry: nothing\): name them"),
    ],
)
def test_labels_that_are_not_these_images_are_an_error(tmp_path, content, said):
    with pytest.raises(UserError, match=said):
        read(tmp_path, content)


def test_a_list_without_names_needs_images_that_are_numbered(tmp_path):
    with pytest.raises(UserError, match=r"no image has such a name \(first: cat.png\): give a JSON mapping of image names to labels."):
        read(tmp_path, [[1], [2]], ["cat.png", "dog.png"])


def test_a_file_that_is_not_there_is_a_parameter_error():
    with pytest.raises(ParameterError, match="label_sets.ReaL: no/such.json does not exist"):
        label_sets.read("ReaL", "no/such.json", NAMES, 10)


def test_several_label_sets_are_read_at_once(tmp_path):
    (tmp_path / "a.txt").write_text("ILSVRC2012_val_00000001.JPEG 1\n")
    (tmp_path / "b.json").write_text("[[2], [2], [2]]")
    found = label_sets.read_all({"A": str(tmp_path / "a.txt"), "B": str(tmp_path / "b.json")}, NAMES, 10)
    assert [(one.name, one.file, pairs(one)) for one in found] == [("A", "a.txt", [(1, 1)]), ("B", "b.json", [(0, 2), (1, 2), (2, 2)])]


def test_the_table_has_a_row_for_each_stage_and_label_set_and_is_none_without_any():
    one = LabelSet(name="ReaL<b>", file="real.json", images=2, top1_pct=50.0, top1_interval_pct=(9.45, 90.55))
    first = result(1, 2).model_copy(update={"label_sets": [one]})
    html = label_sets.table([first, first.model_copy(update={"stage": "option_1", "simulated": True})])._repr_html_()
    assert "<td>candidate</td><td>ReaL&lt;b&gt;</td><td class=number>2</td><td class=number>50.00</td>" in html
    assert "<td>option 1 (simulated)</td>" in html
    assert label_sets.table([result(1, 2)]) is None
