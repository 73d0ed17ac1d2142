import csv
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import dataset, files, flips
from helpers.dataset import Manifest
from helpers.elements import Gallery, Group, Sentence, Table
from tests.test_html import HOSTILE
from tests.test_pairs import answered

CLASSES = ["T-shirt", "Shirt", "Boot"]


def kept(folder, results, pixels=None, names=None, labels=(0, 1, 2, 0, 1), class_names=CLASSES):
    """Keep the flips of a run of five images, and return what stands for its accuracy.json."""
    pixels = np.zeros((len(labels), 8, 8, 3), np.uint8) if pixels is None else pixels
    names = names or [f"{place}.png" for place in range(len(labels))]
    Manifest(names, np.array(labels)).save(folder / "artefacts" / "manifest.csv")
    np.save(folder / "artefacts" / "tensors.npy", pixels)
    known = {"manifest": "artefacts/manifest.csv", "tensors": "artefacts/tensors.npy", "streamed": False, "class_names": class_names}
    step = SimpleNamespace(folder=folder, artefacts=folder / "artefacts")
    told = flips.keep(step, SimpleNamespace(**known), results)
    return SimpleNamespace(**{"flips_file": None, "flips_sha256": None} | told)


@pytest.fixture
def two(tmp_path):
    """Return the results of a candidate and an option that differ on images 1, 2 and 3, surest on 3."""
    return [
        answered(tmp_path, "candidate", [0, 2, 1, 0, 1], [0.9, 0.5, 0.7, 0.9, 0.9]),
        answered(tmp_path, "option_1", [0, 1, 0, 1, 1], 0.8),
    ]


def test_the_surest_come_first_with_both_answers_and_who_is_right(tmp_path, two):
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((8, 8, 3), np.uint8)
    record = kept(tmp_path, two, pixels)
    sentence, gallery = flips.gallery(tmp_path, record).elements
    assert sentence.text == (
        "Option 1 (backend of option_1) answers otherwise than the candidate on 3 of 5 images: 1 lost (only the candidate is right), "
        "1 gained (only option 1 is), 1 wrong in both."
    )
    assert gallery.texts == [
        "3.png\ntrue: 0 T-shirt\n✓ candidate: 0 T-shirt 0.90\n✗ option 1: 1 Shirt 0.80",
        "2.png\ntrue: 2 Boot\n✗ candidate: 1 Shirt 0.70\n✗ option 1: 0 T-shirt 0.80",
        "1.png\ntrue: 1 Shirt\n✗ candidate: 2 Boot 0.50\n✓ option 1: 1 Shirt 0.80",
    ]
    assert [int(picture[0, 0, 0]) for picture in gallery.pixels] == [3, 2, 1]
    assert gallery.caption == "The surest first, by the smaller of the two probabilities. ✓ right, ✗ wrong. All are in flips.csv."


def test_the_record_vouches_for_the_artefact(tmp_path, two):
    record = kept(tmp_path, two)
    assert record.flips_file == "artefacts/flips.npz"
    assert record.flips_sha256 == files.sha256(tmp_path / record.flips_file)


def test_without_labels_nobody_is_right_or_wrong(tmp_path):
    none = [-1] * 5
    results = [answered(tmp_path, "candidate", [0] * 5, labels=none), answered(tmp_path, "option_1", [1, 0, 0, 0, 0], labels=none)]
    sentence, gallery = flips.gallery(tmp_path, kept(tmp_path, results, labels=none)).elements
    assert sentence.text.endswith("on 1 of 5 images.")
    assert gallery.texts == ["0.png\nno label\ncandidate: 0 T-shirt 0.90\noption 1: 1 Shirt 0.90"]
    assert "✓" not in gallery.caption


def test_where_all_answers_are_the_same_that_is_all_there_is_to_say(tmp_path):
    results = [answered(tmp_path, stage, [0] * 5) for stage in ("candidate", "option_1")]
    shown = flips.gallery(tmp_path, kept(tmp_path, results))._repr_html_()
    assert shown == '<p class="sentence ">Option 1 (backend of option_1) answers as the candidate does on all 5 images.</p>'


def test_two_that_are_not_the_candidate_are_in_the_list_alone(tmp_path, two):
    results = [*two, answered(tmp_path, "run_1", [0, 2, 1, 0, 1], imported="other")]
    shown = flips.gallery(tmp_path, kept(tmp_path, results)).elements
    assert [one.text.partition(" (")[0] for one in shown if isinstance(one, Sentence)] == ["Option 1", "Run other"]
    with (tmp_path / "flips.csv").open(encoding="utf-8-sig") as file:
        assert [(row["a"], row["b"]) for row in csv.DictReader(file)] == [("candidate", "option 1")] * 3 + [("option 1", "run other")] * 3


def test_a_candidate_without_answers_leaves_the_list(tmp_path, two):
    refused = two[0].model_copy(update={"scores_file": None})
    results = [refused, two[1], answered(tmp_path, "option_2", [0] * 5)]
    assert flips.gallery(tmp_path, kept(tmp_path, results))._repr_html_() == ""
    assert len((tmp_path / "flips.csv").read_text().splitlines()) > 1


def test_one_stage_leaves_nothing_not_even_of_an_earlier_evaluation(tmp_path, two):
    kept(tmp_path, two)
    record = kept(tmp_path, two[:1])
    assert record.flips_file is None
    assert flips.gallery(tmp_path, record) is None
    assert not list(tmp_path.rglob("flips*"))


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"other")], ids=["gone", "another"])
def test_an_artefact_that_is_not_the_records_is_a_sentence(tmp_path, two, harm):
    record = kept(tmp_path, two)
    harm(tmp_path / record.flips_file)
    assert flips.gallery(tmp_path, record).text == (
        "Images on which configurations differ are not shown: flips.npz is not here as 3_accuracy made it."
    )


def test_images_that_are_gone_leave_a_table(tmp_path, two, monkeypatch):
    monkeypatch.setattr(flips.pictures, "of", lambda *_: None)
    _, table = flips.gallery(tmp_path, kept(tmp_path, two)).elements
    assert isinstance(table, Table)
    assert table.rows[0] == ["3.png", "true: 0 T-shirt", "✓ candidate: 0 T-shirt 0.90", "✗ option 1: 1 Shirt 0.80"]
    assert table.caption.endswith("The images are not here any more.")


def test_a_class_that_has_no_name_is_its_number(tmp_path, two):
    _, gallery = flips.gallery(tmp_path, kept(tmp_path, two, class_names=["T-shirt"])).elements
    assert gallery.texts[0].splitlines()[3] == "✗ option 1: 1 0.80"


def test_names_made_to_harm_are_shown_as_text_on_their_line(tmp_path, two):
    names = [f"{place}\n✓ {HOSTILE}" for place in range(5)]
    shown = flips.gallery(tmp_path, kept(tmp_path, two, names=names, class_names=[f"a\n{HOSTILE}"] * 3))
    assert {len(text.splitlines()) for text in shown.elements[1].texts} == {4}
    assert "<script>" not in shown._repr_html_()
    assert "\u202e" not in shown._repr_html_()


def test_of_long_names_the_end_of_an_images_and_the_beginning_of_a_classes_is_shown(tmp_path, two):
    names = [f"val/n01440764/ILSVRC2012_val_{place:08}.JPEG" for place in range(5)]
    classes = ["great white shark, white shark, man-eater"] * 3
    _, gallery = flips.gallery(tmp_path, kept(tmp_path, two, names=names, class_names=classes)).elements
    assert gallery.texts[0].splitlines()[:2] == ["…LSVRC2012_val_00000003.JPEG", "true: 0 great white shark, whit…"]


def many(folder, others, count=13, side=224):
    """Keep the flips of so many configurations that differ from the candidate everywhere; pictures and names are the worst there are."""
    labels = [0] * count
    results = [answered(folder, "candidate", labels, labels=labels, images=range(count))]
    results += [
        answered(folder, f"run_{at}", [1] * count, labels=labels, images=range(count), imported="'" * 99, simulated=True)
        for at in range(others)
    ]
    pixels = np.random.default_rng(0).integers(0, 2, (count, side, side, 3), np.uint8) * 255
    return kept(folder, results, pixels, ["'" * 99 + str(place) for place in range(count)], labels, ["'" * 99] * 3)


@pytest.mark.parametrize("side", [96, 224])
def test_a_gallery_has_twelve_pictures_and_at_most_100_kb(tmp_path, side):
    _, gallery = flips.gallery(tmp_path, many(tmp_path, 1, side=side)).elements
    assert gallery.pixels.shape == (12, 96, 96, 3)
    assert gallery.caption.startswith("The 12 of 13 on which both were surest")
    assert len(gallery._repr_html_().encode()) <= 100_000


@pytest.mark.parametrize(("others", "pictures"), [(4, 12), (10, 4), (50, 0)])
def test_all_galleries_together_have_at_most_400_kb(tmp_path, others, pictures):
    shown = flips.gallery(tmp_path, many(tmp_path, others, side=96))
    galleries = [one for one in shown.elements if isinstance(one, Gallery)]
    assert [len(one.texts) for one in galleries] == [pictures] * (others if pictures else 0)
    assert sum(len(one._repr_html_().encode()) for one in galleries) <= 400_000
    assert len([one for one in shown.elements if isinstance(one, Sentence)]) == others


def test_small_pictures_keep_their_size_and_the_artefact_needs_no_pickle(tmp_path, two):
    record = kept(tmp_path, two)
    with np.load(tmp_path / record.flips_file, allow_pickle=False) as read:
        assert read["thumbnails"].shape == (3, 8, 8, 3)
        assert {read[name].dtype.kind for name in read} == {"U", "i", "u"}
    assert dataset.load(tmp_path / "artefacts" / "manifest.csv").names[0] == "0.png"
    assert isinstance(flips.gallery(tmp_path, record), Group)
