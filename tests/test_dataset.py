import io
import os
import tarfile

import numpy as np
import pytest

from helpers import dataset, preprocess, sources, tensors
from helpers.errors import UserError
from helpers.preprocess import Preprocess
from tests.conftest import png

HOW = Preprocess(resize_short=24, crop=24, interpolation="bilinear", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def pack(folder, path, mode="w:gz", prefix=""):
    with tarfile.open(path, mode) as tar:
        for file in sorted(folder.iterdir(), reverse=True):  # not the order of a folder
            tar.add(file, prefix + file.name)
    return path


@pytest.mark.parametrize("prefix", ["", "val/", "./val/"])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_is_read_in_place_and_gives_what_the_folder_gives(image_folder, label_file, tmp_path, mode, prefix):
    source = pack(image_folder, tmp_path / "images.tar", mode, prefix)
    packed = tensors.prepare(tmp_path / "a", source, dataset.read(source, str(label_file), 3), HOW, 0)
    plain = tensors.prepare(tmp_path / "b", image_folder, dataset.read(image_folder, str(label_file), 3), HOW, 0)
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "images", "images.tar", "val_label.txt"]
    of_plain = dict(zip(plain.manifest.names, np.load(tmp_path / "b" / "tensors.npy"), strict=True))
    for name, label, pixels in zip(packed.manifest.names, packed.manifest.labels, np.load(tmp_path / "a" / "tensors.npy"), strict=True):
        name = name.rpartition("/")[2]
        np.testing.assert_array_equal(pixels, of_plain[name])
        assert label == plain.manifest.labels[plain.manifest.names.index(name)]


def test_the_manifest_survives_its_file(image_folder, label_file, tmp_path):
    os.rename(image_folder / "image_00.JPEG", os.fsencode(image_folder) + b"/image_\xff.JPEG")  # no name is refused for its bytes
    label_file.write_bytes(label_file.read_bytes().replace(b"image_00.JPEG", b"image_\xff.JPEG"))
    manifest = dataset.read(image_folder, str(label_file), 3)
    manifest.save(tmp_path / "manifest.csv")
    again = dataset.load(tmp_path / "manifest.csv")
    assert again.names == manifest.names
    np.testing.assert_array_equal(again.labels, manifest.labels)


def test_labels_may_be_separated_by_tabs_and_begin_with_a_byte_order_mark(image_folder, label_file):
    label_file.write_text("\ufeff" + label_file.read_text().replace(" ", "\t"), encoding="utf-8")
    assert dataset.read(image_folder, str(label_file), 3).labels.tolist() == [index % 3 for index in range(20)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[1:], "1 images have no label \\(first: image_00.JPEG\\)"),
        (lambda lines: [*lines, "other.JPEG 1"], "1 labels have no image \\(first: other.JPEG\\)"),
        (lambda lines: [*lines, lines[0]], "line 21 names image_00.JPEG a second time"),
        (lambda lines: [*lines[:-1], "image_19.JPEG 3"], r"line 20: class 3 is outside 0..2"),
        (lambda lines: [*lines[:-1], "image_19.JPEG -1"], r"line 20: class -1 is outside 0..2"),
        (lambda lines: ["image_00.JPEG", *lines[1:]], "line 1 is not 'name index'"),
        (lambda lines: ["image_00.JPEG --5", *lines[1:]], "line 1 is not 'name index'"),
        (lambda lines: ["image_00.JPEG 99999999999", *lines[1:]], "line 1 is not 'name index'"),
        (lambda lines: ["image_00.JPEG one", *lines[1:]], "line 1 is not 'name index'"),
        (lambda lines: [f"{line} x" for line in lines], "line 1 is not 'name index'.* and 19 more like it"),
        (lambda lines: [], "holds no labels"),
    ],
)
def test_a_wrong_label_file_is_one_sentence(image_folder, label_file, change, said):
    label_file.write_text("\n".join(change(label_file.read_text().splitlines())))
    with pytest.raises(UserError, match=said):
        dataset.read(image_folder, str(label_file), 3)


def test_an_empty_folder_a_text_file_and_a_damaged_tar_are_refused(tmp_path, image_folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        dataset.read(tmp_path / "empty", "", None)
    (tmp_path / "file").write_text("x" * 2000)
    with pytest.raises(UserError, match="neither a folder nor a whole tar"):
        dataset.open_source(str(tmp_path / "file"), tmp_path)
    for content in (b"\x1f\x8b" + bytes(40), b"\xfd7zXZ\x00" + bytes(40)):
        (tmp_path / "short").write_bytes(content)
        with pytest.raises(UserError, match="neither a folder nor a whole tar"):
            dataset.open_source(str(tmp_path / "short"), tmp_path)
    with pytest.raises(UserError, match="can't be read .*lines 'name index'"):
        dataset.read(image_folder, str(tmp_path), None)
    source = pack(image_folder, tmp_path / "images.tar.gz")
    source.write_bytes(source.read_bytes()[:-4000])
    with pytest.raises(UserError, match="is damaged"):
        dataset.read(dataset.open_source(str(source), tmp_path), "", None)


def test_a_subset_is_balanced_seeded_and_in_order(image_folder, label_file):
    manifest = dataset.read(image_folder, str(label_file), 3)
    chosen = dataset.subset(manifest, 6, seed=1)
    assert np.bincount(chosen.labels).tolist() == [2, 2, 2]
    assert chosen.names == sorted(chosen.names)
    assert chosen.names == dataset.subset(manifest, 6, seed=1).names
    assert any(chosen.names != dataset.subset(manifest, 6, seed=seed).names for seed in range(2, 6))
    assert dataset.subset(manifest, 0, seed=1) is manifest
    with pytest.raises(UserError, match="subset 21 is more than the 20 images"):
        dataset.subset(manifest, 21, seed=1)


def test_an_unreadable_image_stops_the_run_unless_it_may_be_left_out(image_folder, label_file, tmp_path):
    (image_folder / "image_07.JPEG").write_bytes(b"")
    (image_folder / "image_11.JPEG").write_bytes((image_folder / "image_12.JPEG").read_bytes()[:700])
    manifest = dataset.read(image_folder, str(label_file), 3)
    with pytest.raises(UserError, match="image_11.JPEG can't be used .*max_rejected \\(now 1\\)"):
        tensors.prepare(tmp_path / "out", image_folder, manifest, HOW, 1)
    assert not list((tmp_path / "out").iterdir())  # nothing half-written, no temporary file left
    prepared = tensors.prepare(tmp_path / "out", image_folder, manifest, HOW, 2)
    assert [entry.name for entry in prepared.rejected] == ["image_07.JPEG", "image_11.JPEG"]
    assert prepared.rejected[0].reason == "empty file"
    stored = np.load(tmp_path / "out" / "tensors.npy")
    assert stored.shape == (18, 24, 24, 3)
    expected = preprocess.to_pixels(preprocess.decode((image_folder / "image_19.JPEG").read_bytes()), HOW)
    np.testing.assert_array_equal(stored[-1], expected)
    assert prepared.manifest.labels.tolist() == [index % 3 for index in range(20) if index not in (7, 11)]


def test_tensors_are_normalised_when_read(image_folder, tmp_path):
    tensors.prepare(tmp_path / "out", image_folder, dataset.read(image_folder, "", None), HOW, 0)
    store = tensors.Tensors(tmp_path / "out" / "tensors.npy", HOW)
    assert len(store) == 20
    np.testing.assert_array_equal(store[18:99], preprocess.to_tensor(np.load(tmp_path / "out" / "tensors.npy")[18:], HOW))


def test_a_tar_with_the_same_image_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for _ in range(2):
            encoded = png(np.zeros((9, 9, 3), np.uint8))
            member = tarfile.TarInfo("a.png")
            member.size = len(encoded)
            tar.addfile(member, io.BytesIO(encoded))
    with pytest.raises(UserError, match=r"holds a.png more than once"):
        dataset.read(tmp_path / "x.tar", "", None)


def test_photographs_are_real_distinct_and_the_same_every_time(tmp_path):
    first = dataset.open_source("photographs:5", tmp_path / "a")
    second = dataset.open_source("photographs:5", tmp_path / "b")
    contents = [file.read_bytes() for file in sorted(first.iterdir())]
    assert len(set(contents)) == 5
    assert contents == [file.read_bytes() for file in sorted(second.iterdir())]
    assert len(list(dataset.open_source("photographs:3", tmp_path / "a").iterdir())) == 3
    assert preprocess.decode(contents[0]).size == (500, 375)


def test_the_demos_labels_are_those_of_its_images():
    source = dataset.open_source("demo/images.tar.gz", None)
    manifest = dataset.read(source, str(sources.existing("labels", "demo/val_label.txt")), 10)
    assert np.bincount(manifest.labels).tolist() == [1000] * 10
