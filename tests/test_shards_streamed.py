"""Workers on images that are not stored: each prepares what it evaluates, and what comes out is the serial run's."""

import importlib.util
import json
import shutil

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from helpers import dataset, params, prepare, records, steps
from helpers.errors import UserError
from helpers.preprocess import Preprocess
from helpers.records import Data, Remark
from tests import models, ray_cluster
from tests.ray_cluster import evaluate
from tests.test_shards import nodes  # noqa: F401, a fixture

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[ray]'")
BROKEN = [3, *range(32, 48), 90]  # a unit of 16 among them of which nothing can be read


@pytest.fixture
def images(tmp_path):
    """100 digits as files, some of which are empty, one PNG by another name, and their labels."""
    pixels, labels = load_digits(return_X_y=True)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(100):
        path = folder / f"{number:03}.png"
        Image.fromarray((pixels[number] * 15.9).astype("uint8").reshape(8, 8)).convert("RGB").save(path)
        if number in BROKEN:
            path.write_bytes(b"")
    (folder / "050.png").rename(folder / "050.JPEG")
    (tmp_path / "labels.txt").write_text("".join(f"{path.name} {labels[int(path.stem)]}\n" for path in sorted(folder.iterdir())))
    return folder


def streamed(tmp_path, source, monkeypatch):
    """Return a run whose store has a sample alone."""
    monkeypatch.setattr("helpers.prepare.SAMPLE", 10)
    folder = ray_cluster.write_run(tmp_path / "run", 100)
    given = {"images": str(source), "labels": str(tmp_path / "labels.txt"), "store": "sample", "max_rejected": len(BROKEN)}
    step = steps.Step(records.Data, params.check(params.PrepareData, run=str(folder), **given))
    found, how = dataset.read(source, given["labels"], 10, []), Preprocess(**models.PREPROCESS)
    made = prepare.prepare(step, source, found, how)
    told = {"preprocess": how, "preprocess_source": "test", "preprocess_differs": {}}
    step.save(**dataset.body(step.settings, source, found, 10), **made.body(), **told)
    (folder / "data.json").write_text(json.dumps({**json.loads((folder / "data.json").read_text()), "fingerprint": "d"}))
    return folder


@pytest.mark.parametrize("kind", ["", "tar", "zip"])
def test_what_they_answer_and_leave_out_is_that_of_the_serial_run(tmp_path, images, nodes, monkeypatch, kind):  # noqa: F811
    source = images.parent / shutil.make_archive(tmp_path / "packed", kind, images) if kind else images
    folder = streamed(tmp_path, source, monkeypatch)
    told, serial = evaluate(folder, "serial")
    result, merged = evaluate(folder, count=2)
    assert merged == serial
    assert result.images == 82
    assert result.rejected == told.rejected
    assert sorted(entry.name for entry in result.rejected) == [f"{number:03}.png" for number in BROKEN]
    assert result.image_remarks == told.image_remarks == [Remark(name="050.JPEG", text="PNG, whatever its name says: read as what it is")]
    assert sum(unit.count for unit in result.units) == 100
    assert result.streamed.endswith("a second from encoded image to answer, 2 workers preparing and inferring")


def test_more_than_may_be_left_out_stop_it_and_what_is_done_stays(tmp_path, images, nodes, monkeypatch):  # noqa: F811
    folder = streamed(tmp_path, images, monkeypatch)
    data = steps.load(Data, folder)
    few = data.model_copy(update={"params": {**data.params, "max_rejected": 5}})
    (folder / "data.json").write_text(few.model_dump_json(by_alias=True))
    with pytest.raises(UserError, match=r"can't be used \(empty file\): repair or remove it, .* max_rejected \(now 5\)"):
        evaluate(folder, count=1)
    assert ray_cluster.kept(folder)


def test_what_can_only_be_read_from_its_beginning_is_not_shared(tmp_path, images, nodes, monkeypatch):  # noqa: F811
    source = images.parent / shutil.make_archive(tmp_path / "packed", "gztar", images)
    folder = streamed(tmp_path, source, monkeypatch)
    with pytest.raises(UserError, match="packed.tar.gz can only be read from its beginning, which workers don't: give a folder"):
        evaluate(folder)


def test_other_images_than_the_run_was_made_of_are_refused(tmp_path, images, nodes, monkeypatch):  # noqa: F811
    folder = streamed(tmp_path, images, monkeypatch)
    (images / "000.png").write_bytes((images / "001.png").read_bytes())
    with pytest.raises(UserError, match="is not what data.json was made from: run 1_prepare_data again"):
        evaluate(folder)
