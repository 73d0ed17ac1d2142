import shutil

import numpy as np
import pytest

from helpers import dataset, pictures, steps
from helpers.records import Data
from tests.test_prepare import pack, plain, run

PLACES = [2, 7, 19]


@pytest.fixture
def images(image_folder, tmp_path):
    """Return a function that makes a source called so of the images, and a run of it that keeps all or a sample."""

    def made(name="images", store="sample"):
        source = image_folder if name == "images" else pack(image_folder, tmp_path / name)
        run(tmp_path / "run", source, store=store)
        return source, tmp_path / "run", steps.load(Data, tmp_path / "run")

    return made


@pytest.mark.parametrize("store", ["all", "sample"])
@pytest.mark.parametrize("name", ["images", "images.tar", "images.tar.gz", "images.zip"])
def test_pixels_are_those_of_the_images_at_their_places(images, image_folder, name, store, monkeypatch):
    monkeypatch.setattr("helpers.prepare.SAMPLE", 3)
    _, folder, data = images(name, store)
    names = dataset.load(folder / data.manifest).names
    found = pictures.of(folder, data, PLACES)
    assert found.dtype == np.uint8
    for pixels, place in zip(found, PLACES, strict=True):
        np.testing.assert_array_equal(pixels, plain((image_folder / names[place].removeprefix("val/")).read_bytes()))


def test_of_no_places_there_are_no_pixels(images):
    _, folder, data = images()
    assert pictures.of(folder, data, []).shape == (0, 20, 20, 3)


def test_a_source_that_is_gone_gives_no_pictures(images):
    source, folder, data = images("images.tar")
    source.unlink()
    assert pictures.of(folder, data, PLACES) is None


def test_a_source_that_is_another_by_now_gives_none(images, image_folder):
    source, folder, data = images()
    shutil.copyfile(source / "image_00.JPEG", source / "image_02.JPEG")
    assert pictures.of(folder, data, PLACES) is None


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")], ids=["missing", "empty"])
def test_an_image_that_can_not_be_read_any_more_gives_none(images, image_folder, damage, monkeypatch):
    source, folder, data = images()
    damage(source / "image_07.JPEG")
    monkeypatch.setattr(pictures.files, "sha256", lambda path: data.source_sha256)
    assert pictures.of(folder, data, PLACES) is None


def test_an_archive_that_lacks_an_image_gives_none(images, image_folder, tmp_path, monkeypatch):
    source, folder, data = images("images.zip")
    (image_folder / "image_12.JPEG").unlink()  # place 7: packed in reverse
    pack(image_folder, source)
    monkeypatch.setattr(pictures.files, "sha256", lambda path: data.source_sha256)
    assert pictures.of(folder, data, PLACES) is None
