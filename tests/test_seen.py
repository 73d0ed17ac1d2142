import numpy as np
import pytest

from helpers import seen
from helpers.dataset import Manifest
from helpers.preprocess import Preprocess
from helpers.records import Data
from tests import test_prepare
from tests.test_records import save, step_of

HOW = Preprocess(resize_short=8, crop=8, interpolation="bicubic", mean=(1.5, 0.0, 0.0), std=(1.0, 1.0, 1.0))
PIXELS = np.arange(3 * 8 * 8 * 3, dtype=np.uint8).reshape(3, 8, 8, 3)
NAMES, DIGESTS = ["a.png", "b.png", "c.png"], ["1", "2", "3"]


@pytest.fixture
def data_of(tmp_path):
    """Return a function that gives the record of a run with these pixels, digests and preparation."""
    plain = save(step_of(tmp_path))

    def made(pixels=PIXELS, digests=DIGESTS, names=NAMES, how=HOW, **values) -> Data:
        known = {
            "images": 3,
            "manifest_sha256": "m",
            "preprocess": how,
            "decoder": "Pillow 12",
            "seen": seen.of(names, digests, pixels, how),
        }
        return plain.model_copy(update={**known, **values})

    return made


def otherwise(**changed):
    return HOW.model_copy(update=changed)


def test_the_same_pixels_do_not_differ(data_of):
    assert seen.differs(data_of(), data_of()) == ""


def test_fingerprints_are_of_the_first_64_images():
    names = [f"{number}.png" for number in range(70)]
    found = seen.of(names, names, np.zeros((70, 8, 8, 3), np.uint8), HOW)
    assert [one.name for one in found] == names[:64]
    assert [one.file for one in found] == names[:64]


def test_a_single_value_shows_in_pixels_and_tensor_of_its_image_alone():
    changed = PIXELS.copy()
    changed[1, 7, 7, 2] += 1
    both = list(zip(seen.of(NAMES, DIGESTS, PIXELS, HOW), seen.of(NAMES, DIGESTS, changed, HOW), strict=True))
    assert [a.pixels == b.pixels for a, b in both] == [True, False, True]
    assert [a.tensor == b.tensor for a, b in both] == [True, False, True]


def test_type_and_shape_are_in_the_fingerprint():
    """Zeros are the same bytes in any layout."""
    zeros = np.zeros((1, 8, 8, 3), np.uint8)
    tensors = {seen.of(["a"], ["1"], zeros, how)[0].tensor for how in (otherwise(dtype="uint8"), otherwise(dtype="uint8", layout="NHWC"))}
    assert len(tensors) == 2


def manifests(here, there, labels=(0, 1), others=(0, 1)):
    return Manifest(list(here), np.array(labels)), Manifest(list(there), np.array(others))


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (None, "their images or labels differ, 3 images here and 2 there"),
        (manifests("ab", "ac"), "3 images here and 2 there, b only here"),
        (manifests("a", "ab", (0,)), "3 images here and 2 there, b only there"),
        (manifests("ab", "ba"), "their images are the same in another order, 3 images here and 2 there"),
        (manifests("ab", "ab", others=(0, 7)), "the labels of 1 of 3 images, first b: 1 here, 7 there"),
        (manifests(["a\udcff"], "b", (0,), (0,)), "3 images here and 2 there, a\\xff only here"),
    ],
    ids=["unreadable manifests", "an image here", "an image there", "order", "labels", "a name that is no text"],
)
def test_other_images_come_before_everything_else(data_of, listed, said):
    assert seen.differs(data_of(), data_of(manifest_sha256="n", images=2, digests=["0"] * 3), listed) == said


def test_another_file_of_the_same_name_comes_before_its_pixels(data_of):
    said = seen.differs(data_of(), data_of(255 - PIXELS, ["1", "x", "y"], how=otherwise(interpolation="bilinear")))
    assert said == "b.png is another file under the same name (2 of 3 looked at)"


def test_a_file_that_is_unknown_is_no_other_file(data_of):
    assert seen.differs(data_of(), data_of(digests=[None, "2", "3"])) == ""


def test_parameters_of_resize_and_crop_that_differ_are_named_with_both_values(data_of):
    other = data_of(255 - PIXELS, how=otherwise(interpolation="bilinear", resize_short=9, mean=(9.0, 9.0, 9.0)))
    assert seen.differs(data_of(), other) == "resize_short is 8 here and 9 there, interpolation is bicubic here and bilinear there"


def test_a_resize_that_differs_counts_where_the_images_looked_at_came_out_alike(data_of):
    assert seen.differs(data_of(), data_of(how=otherwise(resizer="cv2"))) == "resizer is pillow here and cv2 there"


def test_other_pixels_of_the_same_parameters_are_other_code(data_of):
    said = seen.differs(data_of(), data_of(255 - PIXELS, decoder="Pillow 13"))
    assert said == "decoded or resized by other code (decoder Pillow 12 / Pillow 13)"


def test_normalisation_that_differs_is_named_with_both_values(data_of):
    other = data_of(how=otherwise(mean=(0.0, 0.0, 1.5), channel_order="BGR"))
    said = "mean is 1.5, 0.0, 0.0 here and 0.0, 0.0, 1.5 there, channel_order is RGB here and BGR there"
    assert seen.differs(data_of(), other) == said


def test_other_tensors_of_the_same_pixels_and_parameters_are_other_code(data_of):
    other = [one.model_copy(update={"tensor": "0"}) for one in data_of().seen]
    assert seen.differs(data_of(), data_of(seen=other)) == "normalised by other code, with the same parameters"


@pytest.mark.parametrize(("here", "there"), [([], []), ([], None), (None, [])])
def test_without_fingerprints_runs_can_not_be_shown_to_be_the_same(data_of, here, there):
    said = seen.differs(*(data_of(seen=data_of().seen if given is None else given) for given in (here, there)))
    assert said.startswith("they can't be shown to have seen the same pixels: an older 1_prepare_data left no")


def test_fingerprints_of_different_images_show_nothing(data_of):
    said = seen.differs(data_of(), data_of(names=["x.png", "y.png", "z.png"]))
    assert said == "they can't be shown to have seen the same pixels: no image has a fingerprint in both"


def test_a_run_keeps_the_fingerprints_of_its_first_images(image_folder, tmp_path):
    made = test_prepare.run(tmp_path / "run", image_folder)
    pixels = np.load(tmp_path / "run" / "artefacts" / "tensors.npy")
    kept = made.body()["seen"]
    assert [one.name for one in kept] == sorted(path.name for path in image_folder.iterdir())
    assert len({one.file for one in kept}) == 20
    assert kept == seen.of([one.name for one in kept], [one.file for one in kept], pixels, test_prepare.HOW)
