import io
import os
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from helpers import accuracy, dataset, files, preprocess, what_if
from helpers.backends import Backend, Recorded
from helpers.elements import Sentence
from helpers.preprocess import Preprocess
from helpers.scores import Scores
from helpers.tensors import Tensors
from tests.conftest import png

HOW = Preprocess(resize_short=28, crop=24, interpolation="bicubic", mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 40.0))
RANDOM = np.random.default_rng(0)


def noise(height, width):
    return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


def made_of(tmp_path, *encoded, how=HOW, count=200, labels=None):
    """Return what these images give; they are called 0.png, 1.png, ... whatever they are, and None is missing."""
    folder = tmp_path / "source"
    folder.mkdir(exist_ok=True)
    for number, content in enumerate(encoded):
        if content is not None:
            (folder / f"{number}.png").write_bytes(content)
    given = np.zeros(len(encoded), np.int32) if labels is None else np.array(labels, np.int32)
    manifest = dataset.Manifest([f"{number}.png" for number in range(len(encoded))], given)
    return what_if.prepare(folder, manifest, how, tmp_path, count)


def jpeg(pixels, **options):
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", **options)
    return encoded.getvalue()


def row(made, words):
    """Return the cells of a variant: share of values that differ, mean and largest difference."""
    [cells] = [cells[1:] for cells in made.table().rows if words in cells[0]]
    return cells


def test_both_decoders_give_the_same_pixels_of_a_png_and_of_a_plain_jpeg(tmp_path):
    made = made_of(tmp_path, png(noise(40, 50)), jpeg(noise(50, 40), quality=90))
    assert row(made, "decoded by OpenCV") == ["0", "0", "0"]


def test_opencv_turns_an_image_as_exif_says(tmp_path):
    exif, pixels = Image.Exif(), noise(32, 32)
    exif[0x0112] = 3  # upside down
    made = made_of(tmp_path, jpeg(pixels, exif=exif), how=HOW.model_copy(update={"resize_short": 32, "crop": 32}))
    np.testing.assert_array_equal(made.pixels["decoder"][0], made.pixels["prepared"][0][::-1, ::-1])
    assert float(row(made, "decoded by OpenCV")[0]) > 50


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("prepared", {}),
        ("resizer", {"resizer": "cv2"}),
        ("interpolation", {"interpolation": "bilinear"}),
        ("crop", {"resize_short": 24}),
    ],
)
def test_each_variant_changes_one_step_and_is_kept(tmp_path, key, changed):
    encoded = png(noise(40, 50))
    made_of(tmp_path, encoded)
    with np.load(tmp_path / "what_if.npz", allow_pickle=False) as kept:
        expected = preprocess.to_pixels(preprocess.decode(encoded), HOW.model_copy(update=changed))
        np.testing.assert_array_equal(kept[key], expected[None])
        assert (kept[key].dtype, kept["names"].tolist()) == (np.uint8, ["0.png"])
        assert not changed or (kept[key] != kept["prepared"]).any()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ["resized by OpenCV, which does not antialias", "bilinear instead of bicubic", "short side 24 instead of 28"]),
        ({"resizer": "cv2", "interpolation": "nearest"}, ["resized by Pillow, which antialiases", "bicubic instead of nearest"]),
        ({"resize_short": 224, "crop": 224}, ["short side 256 instead of 224 before the crop to 224"]),
    ],
)
def test_a_variant_is_what_the_preparation_is_not(changed, words):
    said = "\n".join(variant.words for variant in what_if.variants(HOW.model_copy(update=changed)))
    assert [part for part in words if part not in said] == []


@pytest.mark.parametrize(("own", "other"), [("RGB", "BGR"), ("BGR", "RGB")])
def test_exchanged_colours_are_normalised_by_the_place_they_come_to(own, other):
    pixels, how = noise(24, 24)[None], HOW.model_copy(update={"channel_order": own})
    [exchanged] = [variant.how for variant in what_if.variants(how) if variant.key == "channels"]
    assert exchanged.channel_order == other
    np.testing.assert_array_equal(preprocess.to_tensor(pixels, exchanged), preprocess.to_tensor(pixels[..., ::-1], how))


def test_what_differs_is_counted_in_the_values_that_the_model_receives(tmp_path):
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[:12] = 200, 90, 60
    made = made_of(tmp_path, png(pixels), how=HOW.model_copy(update={"resize_short": 24}))
    # half of the pixels are black: there nothing changes, elsewhere red by 140 / 60, green not, blue by 140 / 40
    assert row(made, "red and blue exchanged") == ["33.3", f"{(140 / 60 + 140 / 40) / 6:.3g}", "3.5"]
    # most where it is black: blue is 0 instead of -100 / 40, or -40 / 100 instead of that
    assert row(made, "only divided by 255")[::2] == ["100", "2.5"]
    assert row(made, "mean and std exchanged")[::2] == ["100", "2.1"]


def test_differences_of_bytes_do_not_wrap_around(tmp_path):
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[..., 2] = 200
    made = made_of(tmp_path, png(pixels), png(0 * pixels), how=HOW.model_copy(update={"dtype": "uint8", "resize_short": 24}))
    assert row(made, "red and blue exchanged") == ["33.3", "66.7", "200"]  # the second image is black


@pytest.mark.parametrize(
    ("changed", "keys"),
    [({}, {"unit", "exchanged"}), ({"mean": (0.0, 1.0, 1.0)}, {"unit"}), ({"dtype": "uint8"}, set())],
    ids=["as usual", "a mean of 0 can't be a std", "mean and std live in the model"],
)
def test_mean_and_std_are_changed_where_that_is_possible(changed, keys):
    found = {variant.key for variant in what_if.variants(HOW.model_copy(update=changed))}
    assert found & {"unit", "exchanged"} == keys


def test_images_are_spread_evenly_and_those_that_can_not_be_read_left_out(tmp_path):
    encoded = [png(noise(30, 30)) for _ in range(10)]
    encoded[2], encoded[4] = None, b"not an image"
    made = made_of(tmp_path, *encoded, count=5, labels=range(10))
    assert (made.images.names, made.images.labels.tolist()) == (["0.png", "7.png", "9.png"], [0, 7, 9])
    assert {pixels.shape for pixels in made.pixels.values()} == {(3, 24, 24, 3)}
    np.testing.assert_array_equal(made.pixels["prepared"][2], preprocess.to_pixels(preprocess.decode(encoded[9]), HOW))


def test_there_are_no_more_images_than_fit_into_memory(tmp_path, monkeypatch):
    assert what_if.MOST_BYTES // (5 * 224 * 224 * 3) == 85
    monkeypatch.setattr(what_if, "MOST_BYTES", 4 * 5 * 24 * 24 * 3 - 1)
    made = made_of(tmp_path, *[png(noise(30, 30)) for _ in range(9)])
    assert made.images.names == ["0.png", "4.png", "8.png"]
    assert made.table().caption.startswith("3 images, ")
    monkeypatch.setattr(what_if, "MOST_BYTES", 1)
    assert made_of(tmp_path, png(noise(30, 30)), png(noise(30, 30))).images.names == ["0.png"]


def test_a_resized_image_is_not_kept_for_its_crop(tmp_path):
    encoded, how = [png(noise(30, 30))] * 8, HOW.model_copy(update={"resize_short": 400})
    made_of(tmp_path, encoded[0], how=how)  # imports what is needed
    tracemalloc.start()
    made_of(tmp_path, *encoded, how=how)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 400 * 400 * 3  # of 32 that are made


def test_where_none_are_wanted_none_are_made(tmp_path):
    made_of(tmp_path, png(noise(30, 30)))
    made = made_of(tmp_path, png(noise(30, 30)), count=0)
    assert made.in_words([]) == Sentence("No images were prepared otherwise: other_ways is 0.")
    assert made.body() == {"what_if": None, "what_if_sha256": None}
    assert not (tmp_path / "what_if.npz").exists()


def test_the_record_vouches_for_the_file(tmp_path):
    made = made_of(tmp_path, png(noise(30, 30)))
    assert made.body() == {"what_if": "artefacts/what_if.npz", "what_if_sha256": files.sha256(tmp_path / "what_if.npz")}


def test_where_no_image_can_be_read_nothing_is_claimed(tmp_path):
    made = made_of(tmp_path, b"not an image")
    assert row(made, "decoded by OpenCV") == [None, None, None]
    assert made.gallery([]).texts == []


def test_a_name_that_is_no_text_survives(tmp_path):
    (tmp_path / "source").mkdir()
    name = os.fsdecode(b"\xff.png")
    (tmp_path / "source" / name).write_bytes(png(noise(30, 30)))
    what_if.prepare(tmp_path / "source", dataset.Manifest([name], np.zeros(1, np.int32)), HOW, tmp_path, 1)
    with np.load(tmp_path / "what_if.npz", allow_pickle=False) as kept:
        assert kept["names"].tolist() == [name]


def test_the_gallery_shows_an_image_under_each_variant_with_pixels_of_its_own(tmp_path):
    made = made_of(tmp_path, png(noise(30, 30)), png(noise(30, 30)), labels=[1, 0])
    table, gallery = made.in_words(["trousers", "boot"]).elements
    assert table == made.table()
    assert gallery.texts[:2] == ["as prepared, 1 boot", "decoded by OpenCV instead of Pillow, 1 boot"]
    keys = ("prepared", "decoder", "resizer", "interpolation", "crop")
    np.testing.assert_array_equal(gallery.pixels, [made.pixels[key][0] for key in keys])
    assert gallery._repr_html_().count("<img") == 5


@pytest.mark.parametrize(("label", "said"), [(3, "as prepared, class 3"), (dataset.NO_LABEL, "as prepared, 0.png")])
def test_a_class_without_a_name_is_a_number_and_an_image_without_a_class_its_name(tmp_path, label, said):
    assert made_of(tmp_path, png(noise(30, 30)), labels=[label]).gallery([]).texts[0] == said


# top-1


class Colour(Backend):
    """Answers with the brightest of three colours."""

    name, provider, device, precision, threads = "colour", "cpu", "none", "fp32", 1

    def __init__(self, dtype="float32"):
        self.dtype, self.seen = dtype, []

    @staticmethod
    def check(target):
        pass

    def expects(self, how):
        return how.model_copy(update={"dtype": self.dtype})

    def __call__(self, batch):
        self.seen.append(len(batch))
        return np.eye(3, dtype=np.float32)[batch.mean(axis=(2, 3)).argmax(axis=1)]


GREY_MEAN = HOW.model_copy(update={"mean": (100.0, 100.0, 100.0), "std": (50.0, 50.0, 50.0)})
EVALUATED = SimpleNamespace(evaluated=True, reason="", scores_file="scores.npz")


def plain(colour):
    return np.broadcast_to(200 * np.eye(3, dtype=np.uint8)[colour], (30, 30, 3)).copy()


def framed():
    """Return green in a red frame: the frame is brighter in all, and the crop as prepared cuts it off."""
    pixels = plain(0)
    pixels[2:-2, 2:-2] = 0, 60, 0
    return pixels


def keep_scores(path, answers, prepared, manifest):
    """Write what the accuracy keeps, the last image first; `answers` int32 [M, k] to the images as prepared."""
    image = np.array([place for place, name in enumerate(manifest.names) if name in prepared.images.names], np.int32)[::-1]
    rows = [prepared.images.names.index(manifest.names[place]) for place in image]
    Scores(image, manifest.labels[image], answers[rows], np.zeros(answers[rows].shape, np.float32)).save(path)


def evaluated(tmp_path, monkeypatch, backend, labels, candidate=EVALUATED, names=None, images=None, answers=None, **data):
    """Return the answer of notebook 3 on images of one colour each, red, green, blue, red, ...; `answers` are the backend's by default."""
    images = images or [plain(number % 3) for number in range(12)]
    prepared = made_of(tmp_path, *map(png, images), how=GREY_MEAN)
    manifest = dataset.Manifest(names or prepared.images.names, np.array(labels, np.int32))
    manifest.save(tmp_path / "manifest.csv")
    if answers is None:
        tensors = Tensors(prepared.pixels["prepared"], backend.expects(GREY_MEAN))
        answers = accuracy.evaluate(backend, tensors, prepared.images.labels, 5).top5
        backend.seen.clear()
    keep_scores(tmp_path / "scores.npz", answers, prepared, manifest)
    monkeypatch.setattr(what_if.backends, "load", lambda *_: backend)
    step = SimpleNamespace(folder=tmp_path, settings=SimpleNamespace(batch_size=5))
    made = {"what_if": "what_if.npz", "what_if_sha256": files.sha256(tmp_path / "what_if.npz")}
    data = SimpleNamespace(**{"manifest": "manifest.csv", "preprocess": GREY_MEAN, **made, **data})
    return what_if.evaluate(step, data, None, candidate)


def test_a_model_that_looks_at_colour_tells_when_colours_are_exchanged(tmp_path, monkeypatch):
    sentence, table = evaluated(tmp_path, monkeypatch, Colour(), [0, 1, 2] * 4).element.elements
    rows = {cells[0]: cells[1:] for cells in table.rows}
    assert rows["as prepared"] == ["100.0", None, None]
    assert rows["red and blue exchanged"] == ["33.3", 8, 0]
    assert rows["bilinear instead of bicubic"] == ["100.0", 0, 0]
    assert table.caption == "12 images, colour fp32 on cpu"
    assert sentence.text.startswith("Worst is 'red and blue exchanged': top-1 33.3 % instead of 100.0 %. Top-1 on 12 images can't tell")
    assert sentence.text.endswith("; only divided by 255: mean 0, std 1; mean and std exchanged.")
    assert sentence.text.count("red and blue") == 1


def test_comparisons_are_told_by_variant_beside_what_the_cell_shows(tmp_path, monkeypatch):
    tried = evaluated(tmp_path, monkeypatch, Colour(), [0, 1, 2] * 4)
    assert list(tried.comparisons) == ["decoder", "resizer", "interpolation", "crop", "channels", "unit", "exchanged"]
    found = tried.comparisons["channels"]
    assert (found.a, found.b, found.both_right, found.only_a, found.only_b) == ("as prepared", "red and blue exchanged", 4, 8, 0)
    assert tried._repr_html_() == tried.element._repr_html_()


def test_pixels_prepared_otherwise_are_evaluated_and_the_worst_variant_is_named(tmp_path, monkeypatch):
    images = [framed()] * 8 + [plain(0)] * 12
    sentence, table = evaluated(tmp_path, monkeypatch, Colour(), [1] * 8 + [0] * 12, images=images).element.elements
    rows = {cells[0]: cells[1:] for cells in table.rows}
    assert rows["as prepared"][0] == "100.0"
    assert rows["short side 24 instead of 28 before the crop to 24"] == ["60.0", 8, 0]
    assert sentence.text.startswith("Worst is 'red and blue exchanged': top-1 40.0 % instead of 100.0 %.")
    assert "short side" not in sentence.text


def test_where_images_tell_everything_no_more_is_said(tmp_path, monkeypatch):
    few = [variant for variant in what_if.variants(GREY_MEAN) if variant.key in ("prepared", "channels")]
    monkeypatch.setattr(what_if, "variants", lambda how: few)
    sentence, _ = evaluated(tmp_path, monkeypatch, Colour(), [0, 1, 2] * 4).element.elements
    assert sentence.text == "Worst is 'red and blue exchanged': top-1 33.3 % instead of 100.0 %."


def test_what_makes_it_better_is_said(tmp_path, monkeypatch):
    sentence, _ = evaluated(tmp_path, monkeypatch, Colour(), [2, 1, 0] * 4).element.elements
    assert sentence.text.startswith("Better than as prepared: red and blue exchanged. Top-1 on 12 images can't tell these")
    assert sentence.text.count("red and blue") == 1


def test_a_model_that_normalises_by_itself_is_given_no_other_mean(tmp_path, monkeypatch):
    _, table = evaluated(tmp_path, monkeypatch, Colour("uint8"), [0, 1, 2] * 4).element.elements
    assert [cells[0] for cells in table.rows if "mean" in cells[0]] == []
    assert [cells[1] for cells in table.rows if "exchanged" in cells[0]] == ["33.3"]
    assert table.caption.endswith("; it normalises by itself, so that no other mean and std can be tried")


def test_labels_go_by_name_and_images_that_the_run_left_out_stay_out(tmp_path, monkeypatch):
    names = ["8.png", "0.png", "4.png"]
    _, table = evaluated(tmp_path, monkeypatch, Colour(), [2, 0, 1], names=names).element.elements
    assert next(iter(table.rows))[:2] == ["as prepared", "100.0"]
    assert table.caption.startswith("3 images, ")


def recorded():
    backend = Colour()
    backend.recorded = Recorded({}, None, False, [], [], "results", "")
    return backend


@pytest.mark.parametrize(
    ("backend", "values", "reason"),
    [
        (Colour(), {"candidate": SimpleNamespace(evaluated=False, reason="random weights")}, "random weights"),
        (Colour(), {"what_if": None}, "1_prepare_data made none (other_ways: 0)"),
        (Colour(), {"what_if": "gone.npz"}, "the images prepared otherwise are not here, 1_prepare_data makes them"),
        (Colour(), {"what_if_sha256": "0"}, "the images prepared otherwise are not here, 1_prepare_data makes them"),
        (Colour(), {"names": [f"other_{number}.png" for number in range(12)]}, "none of the images prepared otherwise is in this run"),
        (recorded(), {}, "the recorded answers are to the images as prepared"),
    ],
    ids=["not evaluated", "not made", "not here", "of another run", "other images", "recorded"],
)
def test_where_it_can_not_be_evaluated_a_sentence_says_why(tmp_path, monkeypatch, backend, values, reason):
    found = evaluated(tmp_path, monkeypatch, backend, [0] * 12, **values)
    assert found == what_if.Tried({}, Sentence(f"What another preparation does to top-1 was not evaluated: {reason}."))


def test_the_answers_as_prepared_are_those_of_the_accuracy(tmp_path, monkeypatch):
    backend = Colour()
    _, table = evaluated(tmp_path, monkeypatch, backend, [0, 1, 2] * 4, answers=np.array([[0, 1, 2]] * 12)).element.elements
    rows = {cells[0]: cells[1:] for cells in table.rows}
    assert rows["as prepared"] == ["33.3", None, None]
    assert rows["bilinear instead of bicubic"] == ["100.0", 0, 8]
    assert len(rows) == 8
    assert sum(backend.seen) == 7 * 12 + 1  # the last batch is filled up


@pytest.mark.parametrize(("fewest", "images"), [(50, 50), (1, 2), (100, 60)])
def test_all_variants_take_a_quarter_of_the_inferences_or_a_few_images(tmp_path, monkeypatch, fewest, images):
    assert what_if.FEWEST == 50
    monkeypatch.setattr(what_if, "FEWEST", fewest)
    backend, pictures = Colour(), [plain(number % 3) for number in range(60)]
    _, table = evaluated(tmp_path, monkeypatch, backend, [0, 1, 2] * 20, images=pictures).element.elements
    assert table.caption == f"{images} images{'' if images == 60 else ' (of 60, to save time)'}, colour fp32 on cpu"
    assert images * 7 <= sum(backend.seen) < images * 7 + 5


def test_one_progress_bar_covers_all_variants(tmp_path, monkeypatch, capsys):
    evaluated(tmp_path, monkeypatch, Colour(), [0, 1, 2] * 4, answers=np.array([[0, 1, 2]] * 12))
    bars = capsys.readouterr().err
    assert bars.count("accuracy on colour: 100%") == 1
    assert "84/84" in bars


def test_only_the_batch_size_that_was_compared_is_used(tmp_path, monkeypatch):
    backend = Colour()
    evaluated(tmp_path, monkeypatch, backend, [0] * 12)
    assert set(backend.seen) == {5}
