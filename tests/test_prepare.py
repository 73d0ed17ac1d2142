import csv
import functools
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from helpers import archives, chunks, dataset, files, params, prepare, preprocess, records, steps, store
from helpers.errors import UserError
from helpers.preprocess import Preprocess
from helpers.store import Store
from helpers.store_journal import Journal
from helpers.tensors import Tensors

HOW = Preprocess(resize_short=24, crop=20, interpolation="bicubic", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def run(folder, source, labels="", **settings):
    """Do what the notebook does."""
    settings = params.check(params.PrepareData, run=str(folder), images=str(source), labels=str(labels), **settings)
    step = steps.Step(records.Data, settings)
    found = dataset.read(source, settings.labels, 3, []).subset(settings.subset, settings.seed)
    made = prepare.prepare(step, source, found, HOW)
    told = {"preprocess": HOW, "preprocess_source": "test", "preprocess_differs": {}}
    step.save(**dataset.body(settings, source, found, 3), **made.body(), **told)
    return made


def stored(folder):
    """Return name -> pixels of what was prepared."""
    with (folder / "artefacts" / "manifest.csv").open() as manifest:
        names = [row["name"] for row in csv.DictReader(manifest)]
    return dict(zip(names, np.load(folder / "artefacts" / "tensors.npy"), strict=True))


def plain(encoded):
    return preprocess.to_pixels(preprocess.decode(encoded), HOW)


def pack(folder, path):
    """Return a tar, tar.gz or zip of a folder, by the path's suffix, in an order that is not the folder's."""
    contents = [(file.name, file.read_bytes()) for file in sorted(folder.iterdir(), reverse=True)]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in contents:
                packed.writestr(f"val/{name}", content)
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as packed:
            for name, content in contents:
                member = tarfile.TarInfo(f"val/{name}")
                member.size = len(content)
                packed.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["images", "images.tar", "images.tar.gz", "images.zip"])
@pytest.mark.parametrize("cores", [1, 3])
def test_every_image_is_prepared_once_in_its_place(image_folder, label_file, tmp_path, name, cores, monkeypatch):
    monkeypatch.setattr(prepare.environment, "cores", lambda: cores)
    monkeypatch.setattr(prepare, "CHUNK", 3)
    source = image_folder if name == "images" else pack(image_folder, tmp_path / name)
    made = run(tmp_path / "run", source, label_file)
    found = stored(tmp_path / "run")
    assert sorted(path.rpartition("/")[2] for path in found) == sorted(path.name for path in image_folder.iterdir())
    for path, pixels in found.items():
        np.testing.assert_array_equal(pixels, plain((image_folder / path.rpartition("/")[2]).read_bytes()))
    assert made.images == 20
    assert made.stored.labels.tolist() == [int(path[-7:-5]) % 3 for path in found]
    assert not [path for path in tmp_path.rglob("*.JPEG") if path.parent != image_folder]  # nothing was unpacked


def test_images_that_can_not_be_used_are_listed_and_too_many_stop_the_run(image_folder, label_file, tmp_path):
    (image_folder / "image_07.JPEG").write_bytes(b"")
    (image_folder / "image_11.JPEG").write_bytes((image_folder / "image_12.JPEG").read_bytes()[:700])
    Image.fromarray(np.zeros((61, 60, 3), np.uint8)).save(image_folder / "image_13.JPEG")
    with pytest.raises(UserError, match=r"image_13.JPEG can't be used \(60 x 61 pixels.*max_rejected \(now 2\)"):
        run(tmp_path / "run", image_folder, label_file, max_rejected=2, max_pixels=3600)
    assert os.listdir(tmp_path / "run" / "artefacts") == []  # nothing half-written
    made = run(tmp_path / "run", image_folder, label_file, max_rejected=3, max_pixels=3600)
    assert [entry.name for entry in made.rejected] == ["image_07.JPEG", "image_11.JPEG", "image_13.JPEG"]
    assert made.rejected[0].reason == "empty file"
    assert len(stored(tmp_path / "run")) == 17
    assert "image_07.JPEG" in made.in_words()._repr_html_()


def test_when_no_image_can_be_used_that_is_said(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"no image can be used, of 1 \(first: empty file\)"):
        run(tmp_path / "run", tmp_path / "images", max_rejected=9)


def test_entries_that_an_archive_must_not_have_count_as_rejected(image_folder, tmp_path):
    source = pack(image_folder, tmp_path / "images.tar")
    with tarfile.open(source, "a") as packed:
        link = tarfile.TarInfo("val/link.JPEG")
        link.type, link.linkname = tarfile.SYMTYPE, "image_00.JPEG"
        packed.addfile(link)
    with pytest.raises(UserError, match=r"val/link.JPEG can't be used \(a link\)"):
        run(tmp_path / "run", source)
    made = run(tmp_path / "run", source, max_rejected=1)
    assert [(entry.name, entry.reason) for entry in made.rejected] == [("val/link.JPEG", "a link")]
    assert len(stored(tmp_path / "run")) == 20


def test_images_with_the_same_bytes_and_odd_ones_are_told(image_folder, tmp_path):
    shutil.copyfile(image_folder / "image_00.JPEG", image_folder / "image_77.JPEG")
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8))
    noise.save(image_folder / "image_88.JPEG", "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6
    noise.save(image_folder / "image_99.JPEG", exif=turned)
    made = run(tmp_path / "run", image_folder)
    assert made.duplicates == [["image_00.JPEG", "image_77.JPEG"]]
    assert {entry.name: entry.text for entry in made.remarks} == {
        "image_88.JPEG": "PNG, whatever its name says: read as what it is",
        "image_99.JPEG": "EXIF orientation 6 ignored, as in the reference; OpenCV, and with it mmcls, turns it",
    }
    text = made.in_words()._repr_html_()
    assert "1 image the same, byte by byte, as another: image_00.JPEG and image_77.JPEG first" in text
    assert "image_88.JPEG" in text


def test_a_sample_is_kept_and_the_manifest_has_all(image_folder, label_file, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "SAMPLE", 6)
    made = run(tmp_path / "run", image_folder, label_file, store="sample")
    assert made.images == len(dataset.load(tmp_path / "run" / "artefacts" / "manifest.csv").names) == 20
    pixels = np.load(tmp_path / "run" / "artefacts" / "tensors.npy")
    assert len(pixels) == len(made.stored.names) == 6
    np.testing.assert_array_equal(pixels[5], plain((image_folder / made.stored.names[5]).read_bytes()))
    assert np.bincount(made.stored.labels).tolist() == [2, 2, 2]
    assert steps.load(records.Data, tmp_path / "run").streamed
    assert "3_accuracy prepares all 20" in made.in_words()._repr_html_()


def test_too_little_space_is_said_before_anything_is_read(image_folder, tmp_path, monkeypatch):
    half_done(tmp_path / "run", image_folder, monkeypatch)
    needed, read = 20 * 20 * 3 * (20 - 8), archives.read_images
    monkeypatch.setattr(store.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, needed - 1))
    monkeypatch.setattr(archives, "read_images", lambda *_: pytest.fail("read"))
    with pytest.raises(UserError, match=r"needs 14.4 kB for prepared images, and 14.4 kB are free there"):
        run(tmp_path / "run", image_folder)
    monkeypatch.setattr(archives, "read_images", read)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, needed))
    run(tmp_path / "run", image_folder)  # what was done before is still there
    assert len(stored(tmp_path / "run")) == 20


def test_an_archive_with_another_file_in_the_place_of_one_is_told(image_folder, tmp_path, monkeypatch):
    real = archives.read_images
    monkeypatch.setattr(
        archives, "read_images", lambda source, names: ((name, read) for name, read in real(source, names) if "05" not in name)
    )
    with pytest.raises(UserError, match=r"images changed while it was read \(where image_05.JPEG was, there is image_06.JPEG\)"):
        run(tmp_path / "run", image_folder)


def test_an_archive_that_lost_its_last_image_is_told(image_folder, tmp_path, monkeypatch):
    real = archives.read_images
    monkeypatch.setattr(archives, "read_images", lambda source, names: list(real(source, names))[:-1])
    with pytest.raises(UserError, match=r"where image_19.JPEG was, there is nothing"):
        run(tmp_path / "run", image_folder)


@pytest.mark.parametrize("name", ["images.tar", "images.tar.gz", "images.zip"])
def test_an_archive_that_was_replaced_after_it_was_listed_is_told(image_folder, tmp_path, name):
    source = pack(image_folder, tmp_path / name)
    names = archives.listing(source).names
    (image_folder / "image_05.JPEG").unlink()
    pack(image_folder, source)
    with pytest.raises(UserError, match=r"where val/image_05.JPEG was, there is val/image_04.JPEG"):
        list(chunks.chunks(source, names, 0, 4))


def test_refused_entries_and_broken_images_count_together(image_folder, tmp_path):
    (image_folder / "image_07.JPEG").write_bytes(b"")
    (image_folder / "nowhere.png").symlink_to("gone.png")
    with pytest.raises(UserError, match=r"image_07.JPEG can't be used \(empty file\).*max_rejected \(now 1\)"):
        run(tmp_path / "run", image_folder, max_rejected=1)
    made = run(tmp_path / "run", image_folder, max_rejected=2)
    assert [(entry.name, entry.reason) for entry in made.rejected] == [
        ("nowhere.png", "a link to nothing"),
        ("image_07.JPEG", "empty file"),
    ]


def test_a_file_that_can_not_be_read_is_rejected(image_folder, tmp_path, monkeypatch):
    def gone():
        raise PermissionError(13, "Permission denied")

    real = archives.read_images
    changed = lambda source, names: ((name, gone if "05" in name else read) for name, read in real(source, names))  # noqa: E731
    monkeypatch.setattr(archives, "read_images", changed)
    made = run(tmp_path / "run", image_folder, max_rejected=1)
    assert [(entry.name, entry.reason) for entry in made.rejected] == [("image_05.JPEG", "[Errno 13] Permission denied")]


def test_names_that_are_no_text_are_written_readably(tmp_path):
    (tmp_path / "images").mkdir()
    name = os.fsencode(tmp_path / "images") + b"/a\xff"
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(tmp_path / "images" / "b.png")
    for suffix in (b"1.png", b"2.png"):
        shutil.copyfile(tmp_path / "images" / "b.png", name + suffix)
    with open(name + b"3.png", "wb"):
        pass
    made = run(tmp_path / "run", tmp_path / "images", max_rejected=1)
    told = steps.load(records.Data, tmp_path / "run")
    assert told.duplicates == [["a\\xff1.png", "a\\xff2.png", "b.png"]]
    assert [entry.name for entry in told.rejected] == ["a\\xff3.png"]
    assert "a\\xff3.png" in made.in_words()._repr_html_()
    assert dataset.load(tmp_path / "run" / "artefacts" / "manifest.csv").names[0] == "a\udcff1.png"


@pytest.mark.parametrize("agrees", [True, False])
def test_the_fast_path_is_taken_where_it_agrees_with_pillow(image_folder, tmp_path, monkeypatch, agrees):
    pytest.importorskip("numba")
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(image_folder / "plain.png")
    monkeypatch.setattr(prepare.fast_pixels, "agrees", lambda how: agrees)
    made = run(tmp_path / "run", image_folder)
    fast = "20 by simplejpeg and a compiled resize, found equal to Pillow 12" in made.decoder
    assert fast == agrees
    assert made.decoder.endswith(f"{1 if agrees else 21} by Pillow {PIL.__version__}")
    assert {"pillow", "simplejpeg", "numba"} <= steps.load(records.Data, tmp_path / "run").environment.keys()


def half_done(folder, source, monkeypatch):
    """Leave what a run stopped after eight images leaves."""
    with monkeypatch.context() as patched:
        patched.setattr(store, "CHECKPOINT_IMAGES", 1)
        patched.setattr(prepare, "CHUNK", 1)
        append = Store.append

        def stop(self, pixels, what):
            append(self, pixels, what)
            if self.progress.done == 8:
                raise KeyboardInterrupt

        patched.setattr(Store, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            run(folder, source)
    assert (folder / "artefacts" / "tensors.npy.partial").stat().st_size == store.HEADER_BYTES + 8 * 20 * 20 * 3


def test_a_store_of_other_parameters_is_not_continued(image_folder, tmp_path, monkeypatch):
    half_done(tmp_path / "run", image_folder, monkeypatch)
    run(tmp_path / "run", image_folder, subset=10, seed=1)
    for path, pixels in stored(tmp_path / "run").items():
        np.testing.assert_array_equal(pixels, plain((image_folder / path).read_bytes()))


def limited(folder, source, told):
    """Run where no file may grow beyond 10 kB, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    files.HASH_CACHE = Path(folder).parent / "hashes.json"
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        run(folder, source)
    except UserError as error:
        told.put(str(error))


def test_a_full_disk_is_a_sentence_and_what_was_done_is_kept(image_folder, tmp_path):
    context = multiprocessing.get_context("forkserver")
    told = context.Queue()
    process = context.Process(target=limited, args=(tmp_path / "run", image_folder, told))
    process.start()
    assert "tensors.npy.partial: File too large; free space" in told.get(timeout=60)
    process.join()
    assert process.exitcode == 0
    run(tmp_path / "run", image_folder)
    assert len(stored(tmp_path / "run")) == 20


def test_a_run_made_again_on_purpose_prepares_again(image_folder, tmp_path, monkeypatch):
    run(tmp_path / "run", image_folder)
    before = (tmp_path / "run" / "artefacts" / "tensors.npy").stat().st_mtime_ns
    half_done(tmp_path / "run", image_folder, monkeypatch)  # again, and stopped: that is continued
    run(tmp_path / "run", image_folder)
    assert (tmp_path / "run" / "artefacts" / "tensors.npy").stat().st_mtime_ns > before


def test_tensors_are_normalised_when_read(image_folder, tmp_path):
    run(tmp_path / "run", image_folder)
    read = Tensors.of(tmp_path / "run", steps.load(records.Data, tmp_path / "run"))
    assert len(read) == 20
    np.testing.assert_array_equal(read[18:99], preprocess.to_tensor(np.load(tmp_path / "run" / "artefacts" / "tensors.npy")[18:], HOW))


# Killed at any moment, the next run goes on and ends in the same bytes.


def result(folder):
    """Return the bytes of everything that a run made, but for its times."""
    data = json.loads((folder / "data.json").read_text())
    for name in ("created_utc", "seconds", "throughput"):
        del data[name]
    made = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    del made["artefacts/tensors.jsonl.partial"], made["data.json"]
    return made, data


class Clock:
    """Counts what the main thread calls, in Python and in C, and ends the process at a number of it."""

    def __init__(self, deadly=0):
        self.calls, self.deadly = 0, deadly

    def __call__(self, frame, event, what):
        if event in ("call", "c_call"):
            self.calls += 1
            if self.calls == self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)


def child(told, folder, source, deadly, torn):
    """Run to the end, or to a point where the process kills itself; tell how many calls that took."""
    files.HASH_CACHE = Path(folder).parent / "hashes.json"
    store.CHECKPOINT_IMAGES, prepare.CHUNK = 32, 4
    prepare.fast_pixels.agrees = lambda how: False  # loading the compiler would take most of the time
    if torn:
        tear(torn, random.Random(f"{torn} {deadly}"))
    clock = Clock(0 if torn else deadly)
    sys.setprofile(clock)
    run(folder, source, Path(folder).parent / "labels.txt", max_rejected=1)
    sys.setprofile(None)
    told.put(clock.calls)


def tear(torn, chance):
    """Have the process die when a random part of a file is written."""

    def after(path, size):
        os.truncate(path, chance.randrange(size))
        os.kill(os.getpid(), signal.SIGKILL)

    if torn in ("tensors.npy", "tensors.jsonl"):
        kind, name = {"tensors.npy": (Store, "append"), "tensors.jsonl": (Journal, "note")}[torn]
        real, countdown = getattr(kind, name), iter(range(chance.randrange(1, 6), -1, -1))

        def cut(self, *what):
            path = self._partial if torn == "tensors.npy" else self.path
            before = path.stat().st_size
            real(self, *what)
            if not next(countdown):
                if torn == "tensors.npy":
                    self._file.flush()
                os.truncate(path, chance.randrange(before, path.stat().st_size))
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(kind, name, cut)
    else:
        replace = os.replace

        def never(source, target):
            if Path(target).name == torn:
                after(source, os.path.getsize(source))
            replace(source, target)

        os.replace = never


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return, for a folder and archives of 200 images of which one is broken, a function that starts a run, its result and its calls."""
    folder = tmp_path_factory.mktemp("kills")
    (folder / "images").mkdir()
    noise = np.random.default_rng(0)
    for number in range(200):
        Image.fromarray(noise.integers(0, 256, (90, 120, 3), np.uint8)).save(folder / "images" / f"{number:03}.JPEG")
    (folder / "images" / "150.JPEG").rename(folder / "images" / "150.png")
    (folder / "images" / "020.JPEG").write_bytes(b"")
    names = sorted(path.name for path in (folder / "images").iterdir())
    (folder / "labels.txt").write_text("".join(f"{name} {number % 3}\n" for number, name in enumerate(names)))
    for suffix in (".tar", ".tar.gz", ".zip"):
        pack(folder / "images", folder / f"images{suffix}")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.test_prepare"])
    told = context.Queue()

    def start(source, deadly=0, torn=""):
        process = context.Process(target=child, args=(told, folder / "run", folder / source, deadly, torn))
        process.start()
        process.join()
        return process.exitcode, None if process.exitcode else told.get()

    def expected(source):
        shutil.rmtree(folder / "run", ignore_errors=True)
        code, calls = start(source)
        assert code == 0
        return result(folder / "run"), calls

    return folder, start, functools.cache(expected)


SOURCES = ("images", "images.tar", "images.tar.gz", "images.zip")
UNIFORM = [(SOURCES[number % 4], (number + 0.5) / 32, "") for number in range(32)]
TORN = [(SOURCES[seed % 4], seed, name) for name in ("tensors.npy", "tensors.jsonl", "manifest.csv", "data.json") for seed in range(5)]


@pytest.mark.parametrize(("source", "at", "torn"), UNIFORM + TORN)
def test_a_killed_run_is_continued_to_the_same_bytes(undisturbed, source, at, torn):
    folder, start, expected = undisturbed
    whole, calls = expected(source)
    shutil.rmtree(folder / "run", ignore_errors=True)
    code, _ = start(source, at if torn else int(at * calls), torn)
    assert code == -signal.SIGKILL
    assert start(source)[0] == 0
    assert result(folder / "run") == whole


def test_a_run_killed_again_and_again_gets_to_its_end(undisturbed):
    folder, start, expected = undisturbed
    whole, calls = expected("images.tar")
    shutil.rmtree(folder / "run", ignore_errors=True)
    codes = []
    while not codes or codes[-1]:
        codes.append(start("images.tar", int(calls * 0.85))[0])
        assert len(codes) < 20
    assert len(codes) > 1
    assert result(folder / "run") == whole
