import csv
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import archives, dataset, files, params, prepare, preprocess, records, steps, store
from helpers.errors import UserError
from helpers.preprocess import Preprocess
from helpers.store import Store
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
    with pytest.raises(UserError, match=r"none of the 1 images can be used \(first: empty file\)"):
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
    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 23_999))
    monkeypatch.setattr(archives, "read_images", lambda *_: pytest.fail("read"))
    with pytest.raises(UserError, match=r"needs 0.0 GB more than is free there"):
        run(tmp_path / "run", image_folder)


def test_a_run_made_again_on_purpose_prepares_again(image_folder, tmp_path):
    run(tmp_path / "run", image_folder)
    before = (tmp_path / "run" / "artefacts" / "tensors.npy").stat().st_mtime_ns
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
    del made["artefacts/tensors.jsonl"], made["data.json"]
    return made, data


def child(ready, folder, source, labels, torn, seed):
    """Run to the end, or to a point inside the writing of the file `torn`, where the process kills itself."""
    files.HASH_CACHE = Path(folder).parent / "hashes.json"
    store.CHECKPOINT_IMAGES, prepare.CHUNK = 32, 4
    prepare.fast_pixels.agrees = lambda how: False  # loading the compiler would take most of the time
    chance = random.Random(seed)
    if torn:
        tear(torn, chance)
    ready.set()
    run(folder, source, labels)


def tear(torn, chance):
    """Have the process die when a random part of a file is written."""

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    if torn == "tensors.npy":
        append, countdown = Store.append, chance.randrange(1, 50)

        def cut(self, pixels, what):
            nonlocal countdown
            countdown -= 1
            if not countdown:
                self._file.write(pixels.tobytes()[: chance.randrange(pixels.nbytes)])
                self._file.flush()
                die()
            append(self, pixels, what)

        Store.append = cut
    elif torn == "tensors.jsonl":
        note, countdown_of_lines = Store._note, chance.randrange(1, 6)

        def half(self, what):
            nonlocal countdown_of_lines
            countdown_of_lines -= 1
            if not countdown_of_lines:
                with self._journal.open("a") as journal:
                    journal.write(json.dumps({"key": self._key, **what})[: chance.randrange(60)])
                die()
            note(self, what)

        Store._note = half
    else:
        replace = os.replace

        def never(source, target):
            if Path(target).name == torn:
                os.truncate(source, chance.randrange(os.path.getsize(source)))
                die()
            replace(source, target)

        os.replace = never


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return (folder of 200 images, labels, what an undisturbed run makes of them, its seconds)."""
    folder = tmp_path_factory.mktemp("kills")
    (folder / "images").mkdir()
    noise = np.random.default_rng(0)
    for number in range(200):
        Image.fromarray(noise.integers(0, 256, (90, 120, 3), np.uint8)).save(folder / "images" / f"{number:03}.JPEG")
    (folder / "images" / "150.JPEG").rename(folder / "images" / "150.png")
    (folder / "labels.txt").write_text(
        "".join(f"{path.name} {number % 3}\n" for number, path in enumerate(sorted((folder / "images").iterdir())))
    )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.test_prepare"])

    def start(torn="", seed=0):
        ready = context.Event()
        process = context.Process(target=child, args=(ready, folder / "run", folder / "images", folder / "labels.txt", torn, seed))
        process.start()
        ready.wait()
        return process

    started = start(), time.perf_counter()
    started[0].join()
    assert started[0].exitcode == 0
    return folder, start, result(folder / "run"), time.perf_counter() - started[1]


CASES = [("", seed) for seed in range(20)] + [
    (name, seed) for name in ("tensors.npy", "tensors.jsonl", "manifest.csv", "data.json") for seed in range(5)
]


@pytest.mark.parametrize(("torn", "seed"), CASES)
def test_a_killed_run_is_continued_to_the_same_bytes(undisturbed, torn, seed):
    folder, start, expected, seconds = undisturbed
    shutil.rmtree(folder / "run")
    process = start(torn, seed)
    if not torn:
        time.sleep(random.Random(seed).uniform(0, seconds))
        process.kill()
    process.join()
    if torn:
        assert process.exitcode == -signal.SIGKILL
    again = start()
    again.join()
    assert again.exitcode == 0
    assert result(folder / "run") == expected
