"""Preparation by workers on a real Ray cluster: the serial run byte by byte, in parts, whoever works, dies or errs."""

import importlib.util
import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from PIL import __version__ as pillow_version

from helpers import archives, cluster, dataset, files, params, part_files, prepare, prepare_by_workers, steps
from helpers.by_name import Place
from helpers.errors import ParameterError, UserError
from helpers.kept_parts import KeptParts
from helpers.params import Workers
from helpers.parts import open_pixels
from helpers.preparer import Job, Preparer
from helpers.records import Data
from helpers.units import Unit
from tests import ray_cluster
from tests.misbehaving_preparer import Misbehaving
from tests.ray_cluster import misbehave
from tests.test_parts import written
from tests.test_prepare import HOW, pack, plain, run
from tests.test_shards import nodes  # noqa: F401, a fixture

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[ray]'")
WHO = ("tensors", "tensors_sha256", "throughput", "units", "worker_remarks", "created_utc", "seconds", "params")


def write_images(folder, count):
    """Write small images of random sizes, most of them JPEG; of more than five the third is empty and the fifth torn."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        height, width = random.integers(24, 40, 2)
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        image.save(folder / f"{number:03}.{'png' if number % 7 == 6 else 'JPEG'}")
    if count > 5:
        (folder / "002.JPEG").write_bytes(b"")
        (folder / "004.JPEG").write_bytes((folder / "003.JPEG").read_bytes()[:300])
    return folder


def by_workers(folder, source, workers=None, **settings):
    """Do what the notebook does, by workers."""
    asked = {"engine": "ray", "count": 2, "unit_images": 32, "unit_timeout_seconds": 60, **(workers or {})}
    return run(folder, source, **{"max_rejected": 2, **settings}, workers=asked)


def serial(folder, source, **settings):
    return run(folder, source, **{"max_rejected": 2, **settings})


def told(folder):
    """Return what data.json says of the images, and not of who prepared them."""
    found = json.loads((folder / "data.json").read_text())
    return {key: value for key, value in found.items() if key not in WHO}


def joined(folder):
    """Return the bytes of all pixels as one .npy file has them."""
    file = io.BytesIO()
    np.save(file, np.asarray(open_pixels(folder / steps.load(Data, folder).tensors)))
    return file.getvalue()


def is_the_serial_run(folder, source, **settings):
    """Hold a run against a serial one beside it."""
    other = folder.parent / "serial" / folder.name
    serial(other, source, **settings)
    assert joined(folder) == (other / "artefacts" / "tensors.npy").read_bytes()
    assert (folder / "artefacts" / "manifest.csv").read_bytes() == (other / "artefacts" / "manifest.csv").read_bytes()
    assert told(folder) == told(other)
    return True


def written_at(folder, firsts):
    """Return when the parts of these units were written."""
    return [(folder / f"{first}.npy").stat().st_mtime_ns for first in firsts]


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images", 160)


@pytest.fixture
def misbehaving(tmp_path, monkeypatch):
    """A run's folder, whose workers misbehave as they are told."""
    monkeypatch.setattr(prepare_by_workers, "Preparer", Misbehaving)
    (tmp_path / "run").mkdir()
    misbehave(tmp_path / "run")
    return tmp_path / "run"


# the serial run's images


@with_ray
@pytest.mark.parametrize(
    ("number", "count", "name"),
    [(1, 1, "images"), (7, 3, "images.zip"), (300, 1, "images.tar"), (300, 2, "images"), (300, 3, "images.zip")],
)
def test_parts_are_the_serial_store_byte_by_byte_and_all_that_is_said_of_the_images_is_the_same(tmp_path, nodes, number, count, name):  # noqa: F811
    folder = write_images(tmp_path / "images", number)
    source = folder if name == "images" else pack(folder, tmp_path / name)
    made = by_workers(tmp_path / "run", source, {"count": count})
    assert is_the_serial_run(tmp_path / "run", source)
    data = steps.load(Data, tmp_path / "run")
    assert data.tensors == "artefacts/tensors.json"
    assert [(unit.first, unit.count) for unit in data.units] == [(first, min(32, number - first)) for first in range(0, number, 32)]
    assert len({unit.place for unit in data.units}) == min(count, len(data.units))
    assert data.worker_remarks == []
    assert {"tensors", "tensors.json"} <= set(os.listdir(tmp_path / "run" / "artefacts"))
    assert len(os.listdir(tmp_path / "run" / "artefacts" / "tensors")) == len(data.units)
    assert np.array_equal(made.gallery([]).pixels[0], open_pixels(tmp_path / "run" / data.tensors)[0])


@with_ray
def test_a_sample_of_photographs_is_prepared_as_any_images_are(tmp_path, nodes, monkeypatch):  # noqa: F811
    monkeypatch.setattr("helpers.prepare.SAMPLE", 5)
    asked = {"images": "photographs:8", "labels": "", "store": "sample", "workers": {"engine": "ray"}}
    step = steps.Step(Data, params.check(params.PrepareData, run=str(tmp_path / "run"), **asked))
    source = archives.open_source(step.settings.images, step.artefacts)
    made = prepare.prepare(step, source, dataset.read(source, "", 3, []), HOW)
    assert (made.images, len(made.stored.names)) == (8, 5)
    expected = [plain((source / name).read_bytes()) for name in made.stored.names]
    np.testing.assert_array_equal(open_pixels(made.filled.path), expected)


def test_a_compressed_tar_is_prepared_here_and_it_is_said_why(tmp_path, images):
    source = pack(images, tmp_path / "images.tar.gz")
    made = by_workers(tmp_path / "run", source)
    said = "images.tar.gz can only be read from its beginning, which workers don't: for them give a folder, a plain tar or a zip."
    assert steps.load(Data, tmp_path / "run").worker_remarks == [said]
    assert said.replace("'", "&#x27;") in made.in_words()._repr_html_()
    assert is_the_serial_run(tmp_path / "run", source)


# what goes wrong


@with_ray
def test_a_worker_that_dies_is_named_and_the_store_is_the_same(misbehaving, images, nodes):  # noqa: F811
    misbehave(misbehaving, dies=1)
    by_workers(misbehaving, images)
    [remark] = steps.load(Data, misbehaving).worker_remarks
    assert "its process or its host died" in remark
    assert is_the_serial_run(misbehaving, images)


@with_ray
@pytest.mark.parametrize("how", [{"wrong": 1}, {"drifts": 1}], ids=["from the beginning", "later"])
def test_a_worker_that_prepares_other_pixels_is_put_aside_and_what_it_did_is_done_again(misbehaving, images, nodes, how):  # noqa: F811
    misbehave(misbehaving, **how)
    made = by_workers(misbehaving, images)
    [remark] = steps.load(Data, misbehaving).worker_remarks
    assert "prepares the first images otherwise than it should: it was put aside" in remark
    assert remark in made.in_words()._repr_html_()
    assert len({unit.place for unit in made.filled.units}) == 1
    assert is_the_serial_run(misbehaving, images)


@with_ray
def test_a_unit_that_always_fails_stops_the_run_and_the_next_does_only_what_is_missing(misbehaving, images, nodes):  # noqa: F811
    misbehave(misbehaving, fails_at=96)
    expected = (
        r"images 96 to 127 failed 2 times, last on worker \d on .*: out of luck; correct that and run 1_prepare_data again: it goes on"
    )
    with pytest.raises(UserError, match=expected):
        by_workers(misbehaving, images, {"max_retries": 1})
    lines = map(json.loads, (misbehaving / "artefacts" / "tensors.jsonl.partial").read_text().splitlines())
    known = [line["unit"][0] for line in lines if "made" in line]
    assert 0 in known
    assert 96 not in known
    there = written_at(misbehaving / "artefacts" / "tensors.unfinished", known)
    misbehave(misbehaving)
    by_workers(misbehaving, images, {"count": 1})  # another number of workers decides nothing
    assert written_at(misbehaving / "artefacts" / "tensors", known) == there
    assert is_the_serial_run(misbehaving, images)


@with_ray
def test_an_interrupted_run_goes_on_and_a_part_that_was_cut_off_meanwhile_is_made_again(tmp_path, images, nodes, monkeypatch):  # noqa: F811
    add, added = KeptParts.add, []

    def interrupted(self, made, done):
        add(self, made, done)
        added.append(done.first)
        if len(added) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(KeptParts, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            by_workers(tmp_path / "run", images)
    unfinished = tmp_path / "run" / "artefacts" / "tensors.unfinished"
    os.truncate(unfinished / f"{added[0]}.npy", 500)
    there = written_at(unfinished, added[1:])
    by_workers(tmp_path / "run", images)
    assert written_at(tmp_path / "run" / "artefacts" / "tensors", added[1:]) == there
    assert is_the_serial_run(tmp_path / "run", images)


@with_ray
def test_too_many_that_can_not_be_used_stop_the_run_and_leave_nothing(tmp_path, images, nodes):  # noqa: F811
    with pytest.raises(UserError, match=r"^004.JPEG can't be used \(.*\): repair or remove it, .* with max_rejected \(now 1\).$"):
        by_workers(tmp_path / "run", images, max_rejected=1)
    assert os.listdir(tmp_path / "run" / "artefacts") == []


def test_too_many_that_were_refused_before_stop_the_run_before_any_worker_is_asked(tmp_path, images, monkeypatch):
    monkeypatch.setattr(cluster, "joined", lambda workers: pytest.fail("asked"))
    (images / "nowhere.png").symlink_to("gone.png")
    with pytest.raises(UserError, match=r"nowhere.png can't be used \(a link to nothing\)"):
        by_workers(tmp_path / "run", images, max_rejected=0)


@with_ray
def test_when_no_image_can_be_used_that_is_said(tmp_path, nodes):  # noqa: F811
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"no image can be used, of 1 \(first: empty file\)"):
        by_workers(tmp_path / "run", tmp_path / "images")


# one store at a time


@with_ray
def test_a_serial_run_and_one_by_workers_leave_nothing_of_each_other(tmp_path, images, nodes, monkeypatch):  # noqa: F811
    by_workers(tmp_path / "run", images)
    one_file = {"manifest.csv", "tensors.npy", "tensors.jsonl.partial"}
    serial(tmp_path / "run", images)
    assert set(os.listdir(tmp_path / "run" / "artefacts")) == one_file
    data = steps.load(Data, tmp_path / "run")
    assert (data.tensors, data.units) == ("artefacts/tensors.npy", [])
    by_workers(tmp_path / "run", images)
    in_parts = {"manifest.csv", "tensors.json", "tensors", "tensors.jsonl.partial"}
    assert set(os.listdir(tmp_path / "run" / "artefacts")) == in_parts
    assert is_the_serial_run(tmp_path / "run", images)
    # a run that ended before its record has all it needs
    there = written_at(tmp_path / "run" / "artefacts" / "tensors", range(0, 160, 32))
    (tmp_path / "run" / "data.json").unlink()
    monkeypatch.setattr(cluster, "joined", lambda workers: pytest.fail("asked"))
    by_workers(tmp_path / "run", images)
    assert written_at(tmp_path / "run" / "artefacts" / "tensors", range(0, 160, 32)) == there
    assert is_the_serial_run(tmp_path / "run", images)
    # and who prepared them decides nothing of what comes next
    settings = params.check(params.PrepareData, run=str(tmp_path / "run"), images=str(images), labels="", max_rejected=2)
    assert steps.is_current(Data, settings, tmp_path / "run")
    os.truncate(tmp_path / "run" / "artefacts" / "tensors" / "32.npy", 300)
    assert not steps.is_current(Data, settings, tmp_path / "run")


# what a worker must find


@pytest.fixture
def job(tmp_path, images):
    """What a worker would be asked for, at the beginning of a run."""
    units, names = [Unit(0, 160)], sorted(path.name for path in images.iterdir())
    KeptParts(tmp_path / "artefacts", "key", units, lambda found: None)
    journal = part_files.journal(tmp_path / "artefacts", "key", units)
    return Job(tmp_path / "artefacts", journal, Place.of(images, str(images), tmp_path / "artefacts"), HOW, 10_000, 1, names[:16])


def test_a_host_that_does_not_see_the_run_says_so(tmp_path, job):
    elsewhere = part_files.journal(tmp_path / "elsewhere", "key", [Unit(0, 160)])
    with pytest.raises(UserError, match="does not see .*/artefacts as it is: put the run on a file system that all hosts share."):
        Preparer(replace(job, journal=elsewhere)).load()


def test_a_host_with_another_package_says_which(job):
    with pytest.raises(UserError, match=rf"has pillow {pillow_version} where the run has 1.0: install the same packages on all hosts."):
        Preparer(replace(job, place=replace(job.place, packages={**job.place.packages, "pillow": "1.0"}))).load()


def test_a_host_with_another_archive_says_so(tmp_path, images, job):
    source = pack(images, tmp_path / "images.zip")
    with pytest.raises(UserError, match="has another .*images.zip, of another size: give all hosts the same."):
        Preparer(replace(job, place=replace(job.place, images=str(source), bytes=1))).load()


def test_a_host_that_does_not_find_the_images_is_named(job, monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "npu-b")
    with pytest.raises(UserError, match=r"^on npu-b images: /nowhere does not exist"):
        Preparer(replace(job, place=replace(job.place, images="/nowhere"))).load()


def test_other_files_under_the_same_names_are_other_answers_to_the_probe(images, job):
    before = Preparer(job).load().probe
    assert Preparer(job).load().probe == before
    (images / "001.JPEG").write_bytes((images / "003.JPEG").read_bytes())
    assert Preparer(job).load().probe != before


def test_an_image_that_a_host_does_not_see_is_no_image_that_is_broken(images, job):
    worker = Preparer(job)
    worker.load()
    (images / "101.JPEG").unlink()
    with pytest.raises(UserError, match=r"images changed while it was read \(where 101.JPEG was, there is 102.JPEG\)"):
        worker.prepare(Unit(100, 3), ["100.JPEG", "101.JPEG", "102.JPEG"])


@with_ray
def test_with_accelerators_preparing_takes_all_cores_there_are(nodes):  # noqa: F811
    assert cluster.for_cores(Workers(count=3)) == Workers(count=3)
    assert cluster.for_cores(Workers(resource="NPU", count=3)) == Workers(count=6)
    assert cluster.for_cores(Workers(resource="NPU", count=1, cpus_per_worker=2)) == Workers(count=3, cpus_per_worker=2)
    with pytest.raises(ParameterError, match="no host that Ray has joined has 3 cores for a worker: lower workers.cpus_per_worker."):
        cluster.for_cores(Workers(resource="NPU", cpus_per_worker=3))


# what comes next


def test_the_evaluation_of_a_store_in_parts_is_that_of_the_single_file(tmp_path):
    folder = ray_cluster.write_run(tmp_path / "run", 100)
    expected = ray_cluster.evaluate(folder, "serial")[1]
    whole = np.load(folder / "artefacts" / "tensors.npy")
    (folder / "artefacts" / "tensors.npy").unlink()
    index = written(folder / "artefacts", whole, [37, 1, 50, 12])
    data = steps.load(Data, folder)
    changed = {"tensors": "artefacts/tensors.json", "tensors_sha256": files.sha256(index)}
    (folder / "data.json").write_text(data.model_copy(update=changed).model_dump_json(by_alias=True))
    assert ray_cluster.evaluate(folder, "serial")[1] == expected
    os.truncate(folder / "artefacts" / "tensors" / "37.npy", 200)
    with pytest.raises(UserError, match="37.npy is not the file that data.json was written for: run 1_prepare_data again."):
        ray_cluster.evaluate(folder, "serial")
