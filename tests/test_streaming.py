import os
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from helpers import accuracy, dataset, params, steps, streaming
from helpers.errors import UserError
from helpers.params import Target
from helpers.records import Data, Rejected, Remark
from helpers.streaming import Stream
from helpers.tensors import Tensors
from tests.test_prepare import HOW, run


def streamed(tmp_path, images, labels="", workers=2, **settings):
    """Return the stream of a run that keeps a sample only."""
    run(tmp_path / "run", images, labels, store="sample", **settings)
    data = steps.load(Data, tmp_path / "run")
    return Stream.of(tmp_path / "run", data, HOW, workers)


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_those_of_the_store_in_the_same_order(image_folder, label_file, tmp_path, workers, monkeypatch):
    monkeypatch.setattr("helpers.prepare.SAMPLE", 6)
    stream = streamed(tmp_path, image_folder, label_file, workers)
    run(tmp_path / "all", image_folder, label_file)
    whole = Tensors.of(tmp_path / "all", steps.load(Data, tmp_path / "all"))
    assert len(stream) == len(whole) == 20
    pairs = list(zip(stream.batches(8), whole.batches(8), strict=True))
    assert [len(place) for (place, _), _ in pairs] == [8, 8, 4]
    for (place, batch), (expected_place, expected) in pairs:
        np.testing.assert_array_equal(place, expected_place)
        np.testing.assert_array_equal(batch, expected)
    assert stream.told()["streamed"].endswith(
        f"second from encoded image to answer, {'1 thread' if workers == 1 else '3 threads'} preparing"
    )


def test_an_image_that_can_not_be_read_is_missing_and_told(image_folder, tmp_path, monkeypatch):
    (image_folder / "image_07.JPEG").write_bytes(b"")
    stream = streamed(tmp_path, image_folder, max_rejected=1)
    places = np.concatenate([place for place, _ in stream.batches(4)])
    assert places.tolist() == [*range(7), *range(8, 20)]
    assert stream.told()["rejected"] == [Rejected(name="image_07.JPEG", reason="empty file")]


def test_too_many_that_can_not_be_read_stop_it(image_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.prepare.SAMPLE", 3)
    for number in range(20):  # the sample can be read
        if number not in (0, 10, 19):
            (image_folder / f"image_{number:02}.JPEG").write_bytes(b"")
    monkeypatch.setattr(
        "helpers.dataset.subset",
        lambda manifest, size, seed: type(manifest)([manifest.names[0]], manifest.labels[:1]) if size else manifest,
    )
    stream = streamed(tmp_path, image_folder, max_rejected=4)
    with pytest.raises(UserError, match=r"image_05.JPEG can't be used \(empty file\).*max_rejected \(now 4\)"):
        list(stream.batches(1))


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(image_folder, tmp_path, monkeypatch):
    Image.fromarray(np.zeros((61, 60, 3), np.uint8)).save(image_folder / "image_99.png")
    stream = streamed(tmp_path, image_folder, max_rejected=1, max_pixels=3600)
    assert sum(len(place) for place, _ in stream.batches(4)) == 20
    assert stream.told()["rejected"] == [Rejected(name="image_99.png", reason="60 x 61 pixels: more than max_pixels")]


def test_what_the_listing_refused_counts_too(image_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.prepare.SAMPLE", 3)
    (image_folder / "nowhere.png").symlink_to("gone.png")
    (image_folder / "image_05.JPEG").write_bytes(b"")
    stream = streamed(tmp_path, image_folder, max_rejected=1)
    assert "image_05.JPEG" not in dataset.load(tmp_path / "run" / "artefacts" / "manifest.csv").names[:3]
    with pytest.raises(UserError, match=r"image_05.JPEG can't be used \(empty file\).*max_rejected \(now 1\)"):
        list(stream.batches(4))


def test_remarks_on_images_are_told(image_folder, tmp_path):
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(image_folder / "image_99.JPEG", "PNG")
    stream = streamed(tmp_path, image_folder)
    list(stream.batches(4))
    assert stream.told()["image_remarks"] == [Remark(name="image_99.JPEG", text="PNG, whatever its name says: read as what it is")]


def test_other_images_than_the_manifest_was_made_of_are_refused(image_folder, tmp_path):
    streamed(tmp_path, image_folder)
    (image_folder / "image_00.JPEG").unlink()
    with pytest.raises(UserError, match="is not what data.json was made from: run 1_prepare_data again"):
        Stream.of(tmp_path / "run", steps.load(Data, tmp_path / "run"), HOW, 1)


@pytest.mark.parametrize(
    ("cores", "prepare_ms", "infer_ms", "threads", "workers"),
    [
        (2, 3.5, 3.4, 1, 1),  # balanced
        (2, 3.5, 1.4, 1, 2),  # preparing takes longer
        (2, 1.4, 0.9, 1, 2),
        (2, 1.0, 1.3, 1, 1),  # a second thread would have little to do
        (2, 1.4, 4.1, 2, 1),  # inferring takes longer
        (1, 1.0, 9.0, 1, 1),
        (16, 1.0, 15.0, 15, 1),
        (16, 1.0, 1.0, 8, 8),
        (16, 5.0, 0.1, 1, 16),
    ],
)
def test_cores_are_shared_by_what_each_side_takes(cores, prepare_ms, infer_ms, threads, workers, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(streaming.time, "perf_counter", lambda: clock.now)

    def make(chunk):
        clock.now += prepare_ms
        return np.zeros(1), SimpleNamespace(kept=[0])

    def infer(batch):
        clock.now += infer_ms

    stream = SimpleNamespace(chunks=lambda size: iter("abcde"), make=make)
    assert streaming.plan(stream, infer, 8, cores) == (threads, workers)


def test_threads_that_the_parameters_name_stay(monkeypatch):
    monkeypatch.setattr(streaming.environment, "cores", lambda: 4)
    for target in (Target(threads=3), Target(backend="null")):
        stream = SimpleNamespace(workers=1)
        assert Stream.share_out(stream, None, target, 8) is target
        assert stream.workers == 4
        assert streaming.alone(target) is target


@pytest.mark.parametrize(("backend", "options"), [("onnxruntime", {"session.intra_op.allow_spinning": 0}), ("openvino", {})])
def test_threads_that_inferring_gets_are_those_of_the_plan(backend, options, monkeypatch):
    monkeypatch.setattr(streaming, "plan", lambda stream, backend, batch_size, cores: (3, 2))
    stream = SimpleNamespace(workers=1)
    shared = Stream.share_out(stream, None, Target(backend=backend), 8)
    assert (shared.threads, shared.provider_options, stream.workers) == (3, options, 2)
    assert streaming.alone(Target(backend=backend)).threads == 1


def test_a_slow_first_batch_does_not_decide(monkeypatch):
    clock, slow = SimpleNamespace(now=0.0), iter([50.0, 0.0, 0.0])
    monkeypatch.setattr(streaming.time, "perf_counter", lambda: clock.now)

    def make(chunk):
        clock.now += 1.0
        return np.zeros(1), SimpleNamespace(kept=[0])

    def infer(batch):
        clock.now += 1.0 + next(slow)

    assert streaming.plan(SimpleNamespace(chunks=lambda size: iter("abc"), make=make), infer, 8, 16) == (8, 8)


def test_accuracy_of_a_streamed_run_is_that_of_a_stored_one(image_folder, label_file, tmp_path, monkeypatch):
    class Colours:
        """Tells three classes by which colour there is most of; its answers depend on every pixel."""

        name, device, precision, simulated, recorded, identity, computes = "colours", "none", "fp32", False, None, "colours", True

        def __call__(self, batch):
            assert batch.dtype == np.uint8
            return batch.mean(axis=(2, 3))

        def expects(self, how):  # as a model does that normalises by itself
            return how.model_copy(update={"dtype": "uint8"})

        def describe(self):
            return "colours"

        def refusal(self, model, batches):
            return None

        __enter__, __exit__ = (lambda self: self), (lambda self, *_: None)

    monkeypatch.setattr(accuracy.backends, "load", lambda folder, model, target: Colours())
    model, found = SimpleNamespace(random_weights=False, classes=3), {}
    monkeypatch.setattr("helpers.prepare.SAMPLE", 6)
    for store in ("all", "sample"):
        run(tmp_path / store, image_folder, label_file, store=store)
        step = SimpleNamespace(
            folder=tmp_path / store, artefacts=tmp_path / store / "artefacts", settings=params.check(params.Accuracy, batch_size=8)
        )
        result = accuracy.results(step, steps.load(Data, tmp_path / store), model)[0]
        with np.load(step.artefacts / "scores_candidate.npz") as scores:
            found[store] = {name: scores[name].tolist() for name in scores} | {"top1": result.top1_pct}
        assert bool(result.streamed) == (store == "sample")
    assert found["all"] == found["sample"]
    assert found["all"]["image"] == list(range(20))
    assert 0 < found["all"]["top1"] < 100
    assert os.path.getsize(tmp_path / "sample" / "artefacts" / "tensors.npy") < os.path.getsize(
        tmp_path / "all" / "artefacts" / "tensors.npy"
    )
