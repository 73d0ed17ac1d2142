import collections
import gzip
import io
import os
import shutil
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest

from helpers import archives, dataset, metrics, params, preprocess
from helpers.errors import UserError


def pack(folder, path, mode="w:gz", prefix=""):
    with tarfile.open(path, mode) as tar:
        for file in sorted(folder.iterdir(), reverse=True):  # not the order of a folder
            tar.add(file, prefix + file.name)
    return path


def zipped(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir(), reverse=True):
            archive.write(file, prefix + file.name)
    return path


def contents(source):
    return {name.rpartition("/")[2]: read() for name, read in archives.read_images(source, archives.listing(source).names)}


@pytest.mark.parametrize("prefix", ["", "val/", "./val/"])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "zip"])
def test_an_archive_is_read_in_place_and_gives_what_the_folder_gives(image_folder, label_file, tmp_path, mode, prefix):
    source = zipped(image_folder, tmp_path / "packed", prefix) if mode == "zip" else pack(image_folder, tmp_path / "packed", mode, prefix)
    assert archives.open_source(str(source), tmp_path) == source
    packed, plain = dataset.read(source, str(label_file), 3, []), dataset.read(image_folder, str(label_file), 3, [])
    assert contents(source) == contents(image_folder)
    assert packed.manifest.names == [f"{prefix.removeprefix('./')}image_{number:02d}.JPEG" for number in range(19, -1, -1)]
    assert packed.manifest.labels.tolist() == plain.manifest.labels[::-1].tolist() == [number % 3 for number in range(19, -1, -1)]
    assert sorted(os.listdir(tmp_path)) == ["images", "packed", "val_label.txt"]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_entries_of_a_tar_that_are_no_images_of_its_own_are_listed_and_never_used(tmp_path, mode):
    with tarfile.open(tmp_path / "x.tar", mode) as tar:
        for name, kind in [
            ("/tmp/absolute.png", tarfile.REGTYPE),
            ("a/../../up.png", tarfile.REGTYPE),
            ("soft.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("device.png", tarfile.CHRTYPE),
            ("folder.png", tarfile.DIRTYPE),
            ("a..b.png", tarfile.REGTYPE),
            ("text.txt", tarfile.REGTYPE),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/hostname"
            member.size = 3 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"png"[: member.size]))
    found = dataset.read(tmp_path / "x.tar", "", None, [])
    assert found.manifest.names == ["a..b.png"]
    assert [(entry.name, entry.reason) for entry in found.rejected] == [
        ("/tmp/absolute.png", "its path leaves the archive"),
        ("a/../../up.png", "its path leaves the archive"),
        ("soft.png", "a link"),
        ("hard.png", "a link"),
        ("device.png", "no plain file"),
    ]
    assert contents(tmp_path / "x.tar") == {"a..b.png": b"png"}
    assert os.listdir(tmp_path) == ["x.tar"]


def test_entries_of_a_zip_that_can_not_be_read_are_listed(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("a.png", "secret.png", "../up.png"):
            archive.writestr(name, b"png")
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/hostname")
    content = bytearray((tmp_path / "x.zip").read_bytes())
    entry = content.rindex(b"PK\1\2", 0, content.rindex(b"secret.png"))
    content[entry + 8] |= 1  # the flag of an encrypted entry
    (tmp_path / "x.zip").write_bytes(content)
    listing = archives.listing(tmp_path / "x.zip")
    assert listing.names == ["a.png"]
    assert [(entry.name, entry.reason) for entry in listing.rejected] == [
        ("secret.png", "encrypted"),
        ("../up.png", "its path leaves the archive"),
        ("link.png", "a link"),
    ]


def test_a_source_without_images_is_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no images \(.jpeg, .*.tiff\); give a folder or an archive of images"):
        dataset.read(tmp_path / "empty", "", None, [])
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../a.png"))
    with pytest.raises(UserError, match=r"that can be used, only ../a.png: its path leaves the archive; give a folder"):
        dataset.read(tmp_path / "x.tar", "", None, [])


def test_a_text_file_and_a_damaged_tar_are_refused(tmp_path, image_folder):
    (tmp_path / "file").write_text("x" * 2000)
    with pytest.raises(UserError, match="neither a folder nor a whole tar or zip archive"):
        archives.open_source(str(tmp_path / "file"), tmp_path)
    for content in (b"\x1f\x8b" + bytes(40), b"\xfd7zXZ\x00" + bytes(40)):
        (tmp_path / "short").write_bytes(content)
        with pytest.raises(UserError, match="neither a folder nor a whole tar or zip archive"):
            archives.open_source(str(tmp_path / "short"), tmp_path)
    source = pack(image_folder, tmp_path / "images.tar.gz")
    source.write_bytes(source.read_bytes()[:-4000])
    with pytest.raises(UserError, match="is damaged"):
        dataset.read(archives.open_source(str(source), tmp_path), "", None, [])


BLOCK = 512  # of a tar


def tarred(path, members, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def spoilt(source, at, content):
    """Write into a tar and set the right checksum of the header there."""
    whole = bytearray(source.read_bytes())
    whole[at : at + len(content)] = content
    header = at // BLOCK * BLOCK
    whole[header + 148 : header + 156] = b"%06o\0 " % tarfile.calc_chksums(bytes(whole[header : header + BLOCK]))[0]
    source.write_bytes(whole)
    return source


def test_a_tar_that_is_damaged_anywhere_is_refused(tmp_path):
    source = tarred(tmp_path / "x.tar", [("a.png", b"a"), ("b.png", b"b"), ("c.png", b"c")])
    whole = source.read_bytes()
    source.write_bytes(whole[: 2 * BLOCK] + b"\xff" * BLOCK + whole[3 * BLOCK :])
    with pytest.raises(UserError, match=r"x.tar is damaged \(its list of files ends with .*\): fetch it again"):
        archives.listing(source)
    for size in (4 * BLOCK, 4 * BLOCK + 1):  # after b.png, and within the header of c.png
        source.write_bytes(whole[:size])
        with pytest.raises(UserError, match="x.tar is damaged"):
            archives.listing(source)


def binary(size):
    """Return a size of a tar's header as GNU tar writes what eleven octal digits can't hold."""
    return size.to_bytes(12, "big", signed=True) if size < 0 else b"\x80" + size.to_bytes(11, "big")


@pytest.mark.parametrize("size", [-256, -512, -1536, 10**26])  # -512 leads back to its own header, -1536 to the one before
@pytest.mark.parametrize("packed", [False, True])
def test_a_tar_with_a_size_that_no_file_has_is_refused(tmp_path, size, packed):
    source = spoilt(tarred(tmp_path / "x.tar", [("a.png", b"a"), ("b.png", b"b"), ("c.png", b"c")]), 2 * BLOCK + 124, binary(size))
    if packed:
        source.write_bytes(gzip.compress(source.read_bytes()))
    with pytest.raises(UserError, match="x.tar is damaged"):
        archives.listing(source)


@pytest.mark.parametrize("first", [[], [("a.png", b"a")]])
def test_headers_without_end_are_one_sentence(tmp_path, first):
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    source = tarred(tmp_path / "x.tar", first)
    source.write_bytes(source.read_bytes()[: 2 * BLOCK * len(first)] + header.tobuf() * 3000)
    with pytest.raises(UserError, match="x.tar is damaged|neither a folder nor a whole tar"):
        archives.listing(archives.open_source(str(source), tmp_path))


def test_a_folder_called_like_an_image_is_none(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        folder = tarfile.TarInfo("a.png")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        tar.addfile(tarfile.TarInfo("a.png/b.png"))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png/", b"")
        archive.writestr("a.png/b.png", b"")
    (tmp_path / "x" / "a.png").mkdir(parents=True)
    (tmp_path / "x" / "a.png" / "b.png").write_bytes(b"")
    for name in ("x.tar", "x.zip", "x"):
        assert archives.listing(tmp_path / name) == archives.Listing(["a.png/b.png"], [])


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as archive:
        archive.writestr("inner.png", b"inner")
    source = tarred(tmp_path / "x.tar", [("a.png", b"png"), ("inner.zip", (tmp_path / "inner.zip").read_bytes())])
    assert zipfile.is_zipfile(source)
    assert contents(source) == {"a.png": b"png"}


def test_links_in_a_folder_are_followed_where_they_lead_somewhere(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.png").write_bytes(b"b")
    folder = tmp_path / "images"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "a.png").write_bytes(b"a")
    (folder / "cat" / "loop").symlink_to(folder)
    (folder / "dog").symlink_to(tmp_path / "elsewhere")
    (folder / "link.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    (folder / "nothing.png").symlink_to(tmp_path / "nowhere.png")
    listing = archives.listing(folder)
    assert listing.names == ["cat/a.png", "dog/b.png", "link.png"]
    assert [(entry.name, entry.reason) for entry in listing.rejected] == [("nothing.png", "a link to nothing")]
    assert contents(folder) == {"a.png": b"a", "b.png": b"b", "link.png": b"b"}


def test_a_zip_made_with_backslashes_can_not_leave_either(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("val\\a.png", b"a")
        archive.writestr("..\\up.png", b"up")
    listing = archives.listing(tmp_path / "x.zip")
    assert listing.names == ["val\\a.png"]
    assert [(entry.name, entry.reason) for entry in listing.rejected] == [("..\\up.png", "its path leaves the archive")]
    assert contents(tmp_path / "x.zip") == {"val\\a.png": b"a"}


def made(kind, folder, content):
    """Return a source of the kind that holds a.png."""
    folder.mkdir()
    if kind == "folder":
        (folder / "a.png").write_bytes(content)
        return folder
    if kind == "zip":
        with zipfile.ZipFile(folder / "x", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.png", content)
        return folder / "x"
    return tarred(folder / "x", [("a.png", content)], kind)


@pytest.mark.parametrize("kind", ["folder", "zip", "w", "w:gz", "w:xz"])
def test_an_image_of_absurd_size_is_not_read(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "MOST_BYTES", 10)
    assert contents(made(kind, tmp_path / "small", bytes(10))) == {"a.png": bytes(10)}
    with pytest.raises(ValueError, match="too large for an image"):
        contents(made(kind, tmp_path / "large", bytes(11)))


def test_a_file_that_shrinks_after_it_was_listed_is_an_error(tmp_path):
    source = tarred(tmp_path / "x.tar", [("a.png", b"a" * 600), ("b.png", b"b" * 600)])
    reads = dict(archives.read_images(source, archives.listing(source).names))
    os.truncate(source, 4 * BLOCK + 100)
    assert reads["a.png"]() == b"a" * 600
    with pytest.raises(EOFError, match="x.tar ends within it"):
        reads["b.png"]()


@pytest.mark.skipif(not shutil.which("tar"), reason="needs tar")
def test_a_sparse_file_of_a_tar_is_no_plain_file(tmp_path):
    for name in ("plain.png", "sparse.png"):
        (tmp_path / name).write_bytes(b"png")
    os.truncate(tmp_path / "sparse.png", 1_000_000)
    subprocess.run(["tar", "-S", "-cf", "x.tar", "plain.png", "sparse.png"], cwd=tmp_path, check=True)
    listing = archives.listing(tmp_path / "x.tar")
    assert listing.names == ["plain.png"]
    assert [(entry.name, entry.reason) for entry in listing.rejected] == [("sparse.png", "no plain file")]


def test_a_tar_with_the_same_image_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(UserError, match=r"holds a.png more than once"):
        dataset.read(tmp_path / "x.tar", "", None, [])


def test_photographs_are_real_distinct_and_the_same_every_time(tmp_path):
    first = archives.open_source("photographs:5", tmp_path / "a")
    second = archives.open_source("photographs:5", tmp_path / "b")
    images = [file.read_bytes() for file in sorted(first.iterdir())]
    assert len(set(images)) == 5
    assert images == [file.read_bytes() for file in sorted(second.iterdir())]
    assert len(list(archives.open_source("photographs:3", tmp_path / "a").iterdir())) == 3
    assert preprocess.decode(images[0]).size == (500, 375)


def test_the_manifest_survives_its_file(image_folder, label_file, tmp_path):
    os.rename(image_folder / "image_00.JPEG", os.fsencode(image_folder) + b"/image_\xff.JPEG")  # no name is refused for its bytes
    label_file.write_bytes(label_file.read_bytes().replace(b"image_00.JPEG", b"image_\xff.JPEG"))
    manifest = dataset.read(image_folder, str(label_file), 3, []).manifest
    manifest.save(tmp_path / "manifest.csv")
    again = dataset.load(tmp_path / "manifest.csv")
    assert again.names == manifest.names
    np.testing.assert_array_equal(again.labels, manifest.labels)


def test_the_file_of_a_manifest_is_that_of_the_csv_module(tmp_path):
    names = ["a.png", 'with "quotes", and a comma.png', "two\r\nlines.png", "n\rr.png", " b.png ", os.fsdecode(b"\xff.png"), "NA", "ü.png"]
    dataset.Manifest(names, np.arange(-1, 7, dtype=np.int32)).save(tmp_path / "manifest.csv")
    assert (tmp_path / "manifest.csv").read_bytes() == (
        b'name,label\r\na.png,-1\r\n"with ""quotes"", and a comma.png",0\r\n"two\r\nlines.png",1\r\n"n\rr.png",2\r\n b.png ,3\r\n'
        b"\xff.png,4\r\nNA,5\r\n\xc3\xbc.png,6\r\n"
    )
    again = dataset.load(tmp_path / "manifest.csv")
    assert again.names == names
    assert again.labels.dtype == dataset.load_labels(tmp_path / "manifest.csv").dtype == np.int32
    assert again.labels.tolist() == dataset.load_labels(tmp_path / "manifest.csv").tolist() == [*range(-1, 7)]


def test_a_manifest_may_have_no_images(tmp_path):
    dataset.Manifest([], np.empty(0, np.int32)).save(tmp_path / "manifest.csv")
    assert dataset.load(tmp_path / "manifest.csv").names == []
    assert dataset.load_labels(tmp_path / "manifest.csv").tolist() == []


BROKEN = [b"", b"name,label", b"name,label\r\na.png", b"name,label\r\na.png,\r\n", b"name,label\r\na.png,0\r\nb"]  # cut off
OTHER = [b"name,label\r\na.png,x\r\n", b"name,label\r\na.png,0,1\r\n", b'name,label\r\n"a.png', b"\0\xff" * 99, None]


@pytest.mark.parametrize("content", [*BROKEN, *OTHER])
@pytest.mark.parametrize("load", [dataset.load, dataset.load_labels])
def test_a_manifest_that_is_not_whole_is_one_sentence(tmp_path, content, load):
    if content is not None:
        (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"^manifest.csv is not whole \(.*\): run 1_prepare_data again\.$"):
        load(tmp_path / "manifest.csv")


def test_a_subset_is_balanced_seeded_and_in_order(image_folder, label_file):
    manifest = dataset.read(image_folder, str(label_file), 3, []).manifest
    chosen = dataset.subset(manifest, 6, seed=1)
    assert np.bincount(chosen.labels).tolist() == [2, 2, 2]
    assert chosen.names == sorted(chosen.names)
    assert chosen.names == dataset.subset(manifest, 6, seed=1).names
    assert any(chosen.names != dataset.subset(manifest, 6, seed=seed).names for seed in range(2, 6))
    assert dataset.subset(manifest, 0, seed=1) is manifest
    with pytest.raises(UserError, match="subset 21 is more than there are, 20 images: lower it"):
        dataset.subset(manifest, 21, seed=1)


def drawn_one_by_one(labels, size, seed):
    """Return the places that a subset has, by its definition: the n-th image drawn of each class comes before the n+1st of any."""
    drawn, rank = collections.Counter(), {}
    for turn, place in enumerate(np.random.default_rng(seed).permutation(len(labels)).tolist()):
        rank[place] = (drawn[labels[place]], turn)
        drawn[labels[place]] += 1
    return sorted(sorted(rank, key=rank.get)[:size])


@pytest.mark.parametrize("size", [1, 7, 30, 59])
@pytest.mark.parametrize("classes", [1, 7, 50])
def test_a_subset_is_what_drawing_one_by_one_gives(size, classes):
    labels = np.random.default_rng(classes).integers(-1, classes, 60).astype(np.int32)
    chosen = dataset.subset(dataset.Manifest([str(place) for place in range(60)], labels), size, seed=3)
    expected = drawn_one_by_one(labels.tolist(), size, 3)
    assert chosen.names == [str(place) for place in expected]
    assert chosen.labels.tolist() == labels[expected].tolist()


def found(counts, class_names=(), remarks=(), warnings=(), source="x.txt"):
    indices = np.repeat(np.arange(len(counts)), counts)
    manifest = dataset.Manifest([f"{number}.png" for number in range(len(indices))], indices.astype(np.int32))
    return dataset.Found(manifest, list(class_names), source, [], list(remarks), list(warnings))


def said(given, classes):
    return [(sentence.text, sentence.level) for sentence in dataset.in_words(given, classes).elements if sentence]


def test_what_was_found_is_said_in_words():
    assert said(found([100] * 10, remarks=["They agree."], warnings=["They do not."]), 10) == [
        ("1,000 images of 10 classes, 100 each; labels from x.txt.", ""),
        ("1,000 images tell top-1 to ±3.1 points at worst (95 % interval).", ""),
        ("They agree.", ""),
        ("They do not.", "warning"),
    ]
    assert said(found([1]), 1) == [
        ("1 image of 1 class, 1 each; labels from x.txt.", ""),
        ("1 image tells top-1 to ±44.5 points at worst (95 % interval).", ""),
    ]
    assert said(found([1000, 2000]), 2)[0][0] == "3,000 images of 2 classes, 1,000 to 2,000 each; labels from x.txt."
    assert said(found([2, 3]), None)[0] == ("5 images of 2 classes, 2 to 3 each; labels from x.txt.", "")
    assert said(found([3], source=""), 10) == [("3 images without labels: for speed, not for accuracy.", "warning")]


def test_classes_without_an_image_are_named():
    assert said(found([1, 0, 1]), 4)[1] == ("No image of 2 classes: 1, 3.", "warning")
    assert said(found([1, 0], ["cat", "dog"]), 2)[1] == ("No image of 1 class: 1 dog.", "warning")
    assert said(found([1]), 9)[1] == ("No image of 8 classes: 1, 2, 3, 4, 5 and others.", "warning")
    assert "No image" not in str(said(found([1, 0, 1]), None))


@pytest.mark.parametrize("images", [10, 1000, 50000])
def test_what_a_number_of_images_can_tell_is_the_interval_of_the_accuracy(images):
    low, high = metrics.interval_pct(images // 2, images)
    assert f"to ±{(high - low) / 2:.1f} points" in said(found([images]), 1)[1][0]


def test_the_record_says_where_labels_and_classes_come_from(image_folder, tmp_path):
    settings = params.PrepareData(images=str(image_folder))
    body = dataset.body(settings, image_folder, found([1], ["cat", "dog"], ["well"], ["ill"]), None)
    assert body["warnings"] == ["ill"]
    assert (body["source"], body["labels_source"], body["classes"], body["class_names"]) == ("images", "x.txt", 2, ["cat", "dog"])
    assert dataset.body(settings, image_folder, found([1, 1, 1]), None)["classes"] == 3
    assert dataset.body(settings, image_folder, found([1, 1, 1]), 10)["classes"] == 10


def test_a_rejected_entry_may_have_a_label(image_folder, label_file, tmp_path):
    (image_folder / "gone.JPEG").symlink_to(tmp_path / "nowhere")
    label_file.write_text(label_file.read_text() + "gone.JPEG 1\n")
    read = dataset.read(image_folder, str(label_file), 3, [])
    assert len(read.manifest.names) == 20
    assert [(entry.name, entry.reason) for entry in read.rejected] == [("gone.JPEG", "a link to nothing")]


def test_doubts_about_labels_are_handed_on(image_folder):
    for number, file in enumerate(sorted(image_folder.iterdir())):
        (image_folder / "ab"[number % 2]).mkdir(exist_ok=True)
        shutil.move(file, image_folder / "ab"[number % 2])
    read = dataset.read(image_folder, "folders", 2, ["x", "y"])
    assert read.warnings == ["The classes are the folders as they sort, from a = 0 to b = 1; the model calls these x and y."]


def test_folders_in_a_folder_label_their_images(image_folder):
    for number, file in enumerate(sorted(image_folder.iterdir())):
        (image_folder / "val" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        shutil.move(file, image_folder / "val" / "ab"[number % 2])
    read = dataset.read(image_folder, "folders", 2, [])
    assert read.labels_source == "folders (as they sort)"
    assert read.manifest.labels.tolist() == [0] * 10 + [1] * 10
    assert read.class_names == ["a", "b"]
