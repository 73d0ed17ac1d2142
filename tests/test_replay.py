"""Recorded results in the place of a device: which answers and times count, and what is said of them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import params, sweep
from helpers.backends import replay
from helpers.errors import ParameterError, UserError
from helpers.records import Copies
from tests import workers
from tests.test_kit import run_of
from tests.test_recorded import ONLY_MEAN, summary, write
from tests.test_records import check_of

ON_310P3 = "recorded fp16 on Ascend310P3"
BY_HAND = "These answers did not come from a kit: that they are of this run's images is told by the file names alone."
NO_ANSWERS = "No answers to images were recorded: that it was this model that ran can't be shown."
A, B, C = [0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]


@pytest.fixture
def results(tmp_path):
    """The folder of recorded results, with one measurement at batch size 8."""
    write(tmp_path / "results" / "bs8_summary.json", summary())
    return tmp_path / "results"


def target_of(results, precision="auto", provider="auto", **options):
    return params.check(
        params.Target, backend="replay", precision=precision, provider=provider, provider_options={"results": str(results), **options}
    )


def load(results, precision="auto", checks=(), **options):
    """Return the replay of a folder in a run of three images, a, b and c."""
    folder = results.parent / "run"
    _, model = run_of(folder, checks=checks)
    return replay.Backend(folder, model, target_of(results, precision, **options))


def kit(results, soc="Ascend310P3", **told):
    """Make the results those of a kit of the run that `load` writes."""
    data, model = run_of(results.parent / "same")
    identity = {
        "schema": 1, "manifest_sha256": data.manifest_sha256, "tensors_sha256": data.tensors_sha256, "onnx_sha256": model.stages[0].sha256,
        "batch_sizes": [8], "precision": "fp16", "aipp": False, "flags": [], "files": {},
        "preprocess": data.preprocess.model_dump(mode="json"),
    }  # fmt: skip
    write(results / "kit.json", {**identity, **told})
    write(results / "soc.txt", f"{soc}\n")


def answer(results, folder="answers_bs8", **rows):
    for stem, row in rows.items():
        write(results / folder / f"{stem}_0.bin", row)


# answers


def given(results):
    """Return the answers as lists: batch size -> (places of the images, rows)."""
    return {batch: (image.tolist(), rows.tolist()) for batch, (image, rows) in load(results).recorded.answers.items()}


def test_answers_stand_in_the_order_of_the_images(results):
    (results / "bs8_summary.json").write_text(json.dumps(summary(filesinfo={}, args=["-m", "model_bs8.om", "--input", "./bin"])))
    answer(results, c=C, a=A, b=B)
    assert given(results) == {8: ([0, 1, 2], [A, B, C])}


def test_a_recording_that_lists_its_images_in_another_order_gives_them_in_the_runs(results):
    images = {"0": {"infiles": ["c.bin"], "outfiles": ["0_0.bin"]}, "1": {"infiles": ["a.bin"], "outfiles": ["1_0.bin"]}}
    write(results / "answers_summary.json", summary(filesinfo=images))
    write(results / "answers" / "0_0.bin", C)
    write(results / "answers" / "1_0.bin", A)
    assert given(results) == {8: ([0, 2], [A, C])}


def test_places_and_answers_are_small_numbers(results):
    answer(results, a=A)
    [(image, rows)] = load(results).recorded.answers.values()
    assert (image.dtype, rows.dtype) == (np.int32, np.float32)


def test_an_image_without_an_answer_is_left_out(results):
    answer(results, a=A, c=C)
    assert given(results) == {8: ([0, 2], [A, C])}


@pytest.mark.parametrize("folder", ["answers_bs1", "answers_bs16"])  # before and behind the other
def test_the_batch_size_of_the_most_complete_answers_is_the_recordings(results, folder):
    answer(results, a=A, b=B, c=C)
    answer(results, folder, a=C, b=C)
    recorded = load(results).recorded
    assert recorded.batch == 8
    assert not [remark for remark in recorded.remarks if "No result for" in remark]


@pytest.mark.parametrize("folder", ["a_bs8", "z_bs8"])
def test_of_several_sets_of_answers_at_one_batch_size_the_most_complete_counts(results, folder):
    answer(results, "m_bs8", a=A, b=B, c=C)
    answer(results, folder, a=C, b=C)
    assert given(results) == {8: ([0, 1, 2], [A, B, C])}


def test_each_batch_size_keeps_its_answers(results):
    answer(results, a=A, b=B, c=C)
    answer(results, "answers_bs1", b=A)
    assert given(results) == {8: ([0, 1, 2], [A, B, C]), 1: ([1], [A])}


def test_what_the_set_lacks_is_said_and_that_it_is_known_by_names_alone(results):
    answer(results, a=A, c=C)
    said = (
        "No result for 1 of 3 images (first: b), perhaps an incomplete last batch, which early releases drop: accuracy is over the others."
    )
    assert load(results).recorded.remarks == [said, BY_HAND]


def test_answers_from_a_kit_are_known_by_their_hashes(results):
    kit(results)
    answer(results, a=A, b=B, c=C)
    assert load(results).recorded.remarks == []


def test_without_answers_it_can_not_be_shown_which_model_ran(results):
    recorded = load(results).recorded
    assert (recorded.answers, recorded.batch, recorded.remarks) == ({}, None, [NO_ANSWERS])


def test_answers_as_text_are_rounded(results):
    for stem, row in {"a": "0.5 0.25 0.25", "b": "0.25 0.5 0.25", "c": "0.25 0.25 0.5"}.items():
        write(results / "answers" / f"{stem}_0.txt", row)
    recorded = load(results).recorded
    assert recorded.rounded
    assert recorded.batch == 1  # told nowhere: early releases take 1


def test_other_images_get_no_answer(results):
    with pytest.raises(UserError, match="recorded results hold no answers to other images"):
        load(results)(np.zeros((1, 3, 2, 2), np.float32))


# times


@pytest.mark.parametrize(("zeros", "images"), [("x", "y"), ("y", "x")])
def test_of_two_measurements_that_of_zeros_counts(results, zeros, images):
    (results / "bs8_summary.json").unlink()
    write(results / zeros / "bs8_summary.json", summary(32.0))
    write(results / images / "bs8_summary.json", summary(40.0, args=["-m", "model_bs8.om", "--input", "./bin"]))
    [row] = load(results).recorded.rows
    assert row.regions["compute"].images_per_second == 250.0
    assert row.remark == f"input of zeros; {ONLY_MEAN}"


def test_a_measurement_of_images_alone_counts(results):
    write(results / "bs8_summary.json", summary(40.0, args=["-m", "model_bs8.om", "--input", "./bin"]))
    [row] = load(results).recorded.rows
    assert (row.batch, row.regions["compute"].images_per_second, row.remark) == (8, 200.0, ONLY_MEAN)


def test_a_mean_alone_has_no_interval_and_no_latency(results):
    [row] = load(results).recorded.rows
    compute = row.regions["compute"]
    assert (compute.interval_fps, compute.latency_ms, compute.blocks, compute.calls) == (None, None, 1, None)


def test_of_every_execute_there_are_interval_and_latency(results):
    write(results / "bs8_summary.json", summary(32.0, [30.0, 34.0] * 20))
    [row] = load(results).recorded.rows
    compute = row.regions["compute"]
    assert compute.images_per_second == pytest.approx(250.0)
    assert compute.latency_ms.p50 == pytest.approx(32.0)
    assert (compute.blocks, compute.calls, row.remark) == (40, 40, "input of zeros")
    assert compute.interval_fps[0] < 250 < compute.interval_fps[1]


def test_the_copies_are_those_that_were_recorded(results):
    write(results / "bs8_summary.json", summary(H2D_latency={"mean": 0.5}))
    [row] = load(results).recorded.rows
    assert row.copies == Copies(to_device_ms=0.5, to_host_ms=None)
    assert list(row.regions) == ["compute"]


def test_what_holds_nothing_recorded_is_one_sentence(results):
    (results / "bs8_summary.json").rename(results / "notes.md")
    with pytest.raises(UserError, match=r"^results holds nothing that ais_bench wrote: neither summaries, logs nor answers\.$"):
        load(results)


def test_answers_without_times_are_enough(results):
    (results / "bs8_summary.json").unlink()
    answer(results, a=A)
    assert load(results).recorded.rows == []


def test_results_for_other_images_are_refused(results):
    kit(results, manifest_sha256="other")
    with pytest.raises(UserError, match="were made for other images than this run's"):
        load(results)


# whether there is a figure


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ([check_of("onnxruntime fp32", 8)], f"{ON_310P3} was not compared with the original"),
        ([check_of(ON_310P3, 1)], f"{ON_310P3} was not compared at batch 8"),
        ([check_of(ON_310P3, 8, passed=False)], "wrong at 8"),
    ],
    ids=["never", "at another batch size", "failed"],
)
def test_answers_that_were_not_found_to_be_the_models_get_no_figure(results, checks, said):
    kit(results)
    answer(results, a=A, b=B, c=C)
    backend = load(results, checks=checks)
    model = run_of(results.parent / "again", checks=checks)[1]
    assert backend.refusal(model, [1, 4]).startswith(said)


def test_answers_are_compared_at_the_batch_size_that_they_were_given_at_alone(results):
    kit(results)
    answer(results, a=A, b=B, c=C)
    model = run_of(results.parent / "again", checks=[check_of(ON_310P3, 8)])[1]
    assert load(results).refusal(model, [1, 4]) is None


def test_where_there_are_only_times_the_model_itself_decides(results):
    backend = load(results)
    assert backend.refusal(run_of(results.parent / "x")[1], [8]) is None
    failed = [check_of("onnxruntime fp32", 3, passed=False)]
    assert backend.refusal(run_of(results.parent / "y", checks=failed)[1], [8]) == "wrong at 3"


# what it is called


def test_the_chip_that_the_kit_found_is_the_device(results):
    kit(results)
    backend = load(results)
    assert (backend.device, backend.provider, backend.identity) == ("Ascend 310P3", "Ascend310P3", ON_310P3)


def test_a_device_that_is_named_is_called_so(results):
    kit(results)
    assert load(results, device="Atlas 300I Pro").device == "Atlas 300I Pro"


def test_a_device_that_nobody_named_is_not_stated(results):
    backend = load(results)
    assert (backend.device, backend.provider) == ("not stated", "a device")


def test_a_simulated_device_says_so_whatever_it_is_called(results):
    write(results / "bs8_summary.json", summary(simulated=True))
    backend = load(results, device="Ascend 310P")
    assert (backend.simulated, backend.device) == (True, "Ascend 310P (simulated device)")
    assert backend.identity == "recorded precision not stated on a device (simulated device)"


def test_a_real_device_is_not_called_simulated(results):
    assert load(results).simulated is False


@pytest.mark.parametrize("stated", ["auto", "fp16"])
def test_the_precision_is_the_kits(results, stated):
    kit(results)
    assert load(results, stated).precision == "fp16"


def test_another_precision_than_the_kits_is_refused(results):
    kit(results)
    with pytest.raises(UserError, match="precision fp32 was asked for, but the kit made fp16: say auto"):
        load(results, "fp32")


def test_by_hand_the_precision_is_the_one_that_was_stated(results):
    backend = load(results, "fp16")
    assert (backend.precision, backend.label, backend.describe()) == ("fp16", "recorded fp16", "replay of results, fp16")


def test_else_it_is_not_stated(results):
    assert load(results).precision == "precision not stated"


def test_the_place_is_the_kits(results):
    write(results / "environment.txt", "2026-11-24T16:06:38Z\n")
    recorded = load(results).recorded
    assert (recorded.source, recorded.place) == ("results", "on 2026-11-24T16:06:38Z")


# parameters


def test_unknown_options_are_refused(results):
    said = r"^backend replay takes provider_options results and device, not device_id, x\.$"
    with pytest.raises(ParameterError, match=said):
        replay.Backend.check(target_of(results, x=1, device_id=0))


def test_a_provider_is_refused(results):
    with pytest.raises(ParameterError, match=r"and it has no provider \(npu\)\.$"):
        replay.Backend.check(target_of(results, provider="npu"))


def test_results_and_a_device_are_all_it_takes(results):
    replay.Backend.check(target_of(results, device="Ascend 310P"))


# in a sweep


def measure(results, monkeypatch, **load_options):
    """Return the series of a sweep over batch sizes 8 and 1."""
    backend = load(results, **load_options)
    folder = results.parent / "run"
    data = replay.steps.load(replay.Data, folder)
    monkeypatch.setattr(workers.worker.backends, "load", lambda *_: backend)
    monkeypatch.setattr(sweep, "Worker", workers.Here)
    settings = params.check(params.BatchSweep, batch_sizes=[8, 1], baseline="none")
    step = SimpleNamespace(settings=settings, folder=folder, artefacts=folder / "artefacts", fingerprint="f")
    [series] = sweep.measure(step, data, run_of(results.parent / "again")[1]).series
    return series


def test_a_sweep_has_the_recorded_rows_and_a_remark_where_there_is_none(results, monkeypatch):
    rows = measure(results, monkeypatch).rows
    missing = "no figure was recorded at this batch size"
    assert [(row.batch, row.error, row.remark) for row in rows] == [(1, None, missing), (8, None, f"input of zeros; {ONLY_MEAN}")]
    assert rows[0].regions == {}
    assert rows[1].regions["compute"].images_per_second == 250.0
    assert (rows[1].load_seconds, rows[1].first_call_ms) == (None, None)


def test_its_series_says_that_it_was_replayed_and_from_what(results, monkeypatch):
    write(results / "environment.txt", "2026-11-24T16:06:38Z\n")
    series = measure(results, monkeypatch, precision="fp16", device="Ascend 310P")
    assert (series.kind, series.source, series.recorded) == ("replayed", "results", "results, recorded on 2026-11-24T16:06:38Z")
    assert (series.name, series.backend, series.device) == ("recorded fp16", "replay of results, fp16", "Ascend 310P")


def test_a_series_that_a_simulator_made_is_called_simulated(results, monkeypatch):
    write(results / "bs8_summary.json", summary(simulated=True))
    assert measure(results, monkeypatch).kind == "simulated"


def test_a_refused_recording_has_no_row(results, monkeypatch):
    answer(results, a=A, b=B, c=C)
    assert [row.error[:17] for row in measure(results, monkeypatch).rows] == ["refused: recorded"] * 2


def test_several_measurements_at_one_batch_size_are_told(results):
    write(results / "bs8_again_summary.json", summary(mean=64.0))
    recorded = load(results).recorded
    assert [row.batch for row in recorded.rows] == [8]
    assert "Several measurements were recorded at batch size 8: the last by name counts." in recorded.remarks
