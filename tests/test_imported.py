import json
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import accuracy, accuracy_tables, answers, dataset, files, imported, metrics, params, scores, seen, sources, steps
from helpers.dataset import Manifest
from helpers.errors import ParameterError, UserError
from helpers.preprocess import Preprocess
from helpers.records import Accuracy, Data, Record, Result
from helpers.scores import Scores
from tests.test_accuracy import Replayed
from tests.test_html import HOSTILE
from tests.test_records import save, step_of

NAMES, LABELS = ["0.png", "1.png", "2.png", "3.png"], np.array([5, 4, 3, 2], np.int32)
HOW = Preprocess(resize_short=8, crop=8, interpolation="bilinear", mean=(0.0,) * 3, std=(1.0,) * 3)
RIGHT, HALF = [5, 4, 3, 2], [5, 0, 3, 0]


def prepared(folder, pixel=0, names=NAMES, **values) -> Data:
    """Write data.json of four images of six classes and return it."""
    step = step_of(folder)
    save(step)
    Manifest(names, LABELS).save(step.artefacts / "manifest.csv")
    known = {
        "images": 4, "classes": 6, "labels_source": "val_label.txt", "manifest_sha256": files.sha256(step.artefacts / "manifest.csv"),
        "seen": seen.of(names, "abcd", np.full((4, 8, 8, 3), pixel, np.uint8), HOW),
    }  # fmt: skip
    data = steps.load(Data, step.folder).model_copy(update={**known, **values})
    files.write_text(step.folder / "data.json", data.model_dump_json(by_alias=True))
    return data


def finished(folder, answers=HALF, data=None, **values):
    """Write a finished run that answered so, below a folder of its own, and return its folder."""
    folder.mkdir(exist_ok=True)
    data = data or prepared(folder)
    run = folder / "run"
    kept = run / "artefacts" / "scores_candidate.npz"
    image = np.arange(4, dtype=np.int32)
    Scores.of(image, LABELS, np.eye(6, dtype=np.float32)[answers]).save(kept)
    right = int((np.array(answers) == LABELS).sum())
    result = {
        "stage": "candidate", "backend": "torch", "device": "GPU", "precision": "bf16", "images": 4, "evaluated": True, "reason": "",
        "top1_pct": 25.0 * right, "top1_interval_pct": metrics.interval_pct(right, 4), "top5_pct": 100.0, "seconds": 9.0,
        "scores_file": "artefacts/scores_candidate.npz", "scores_sha256": files.sha256(kept),
    }  # fmt: skip
    head = data.model_dump(include=set(Record.model_fields), by_alias=True)
    head |= {"step": "3_accuracy", "inputs": {"data": data.fingerprint}, "fingerprint": "f"}
    body = {"images": 4, "results": [Result(**result | values)], "reference": None, "comparisons": [], "verdict": "NONE", "sentence": "."}
    files.write_text(run / "accuracy.json", Accuracy(**head, **body).model_dump_json(by_alias=True))
    run.rename(folder.with_name(f"{folder.name}_run"))
    return folder.with_name(f"{folder.name}_run")


@pytest.fixture
def this(tmp_path):
    """Return a function that gives step and data of this run, compared with others."""
    (tmp_path / "this").mkdir()
    data = prepared(tmp_path / "this")

    def made(*others):
        folder = tmp_path / "this" / "run"
        settings = params.check(params.Accuracy, run=str(folder), batch_size=2, compare_with=[str(other) for other in others])
        return SimpleNamespace(folder=folder, artefacts=folder / "artefacts", settings=settings), data

    return made


def test_a_finished_run_is_a_stage_with_what_it_says_of_itself(this, tmp_path):
    other = finished(tmp_path / "other")
    step, data = this(other)
    [found] = imported.results(step, data)
    assert (found.stage, found.imported, found.backend, found.device, found.precision) == ("run_1", "other_run", "torch", "GPU", "bf16")
    assert (found.top1_pct, found.images, found.evaluated, found.simulated) == (50.0, 4, True, False)
    assert found.scores_file == "artefacts/scores_run_1.npz"
    assert found.scores_sha256 == files.sha256(step.folder / found.scores_file)
    assert scores.load(step.folder / found.scores_file).answer.tolist() == HALF


def test_several_are_numbered_and_folders_that_are_no_runs_are_left_to_others(this, tmp_path):
    (tmp_path / "layers").mkdir()
    step, data = this(finished(tmp_path / "a"), tmp_path / "layers", finished(tmp_path / "b"))
    assert [(one.stage, one.imported) for one in imported.results(step, data)] == [("run_1", "a_run"), ("run_2", "b_run")]


def test_runs_of_the_same_name_are_told_apart_by_their_number(this, tmp_path):
    for name in ("a", "b"):
        finished(tmp_path / name).rename(tmp_path / name / "demo")
    step, data = this(tmp_path / "a" / "demo", tmp_path / "b" / "demo", finished(tmp_path / "c"))
    found = imported.results(step, data)
    assert [one.imported for one in found] == ["demo (1)", "demo (2)", "c_run"]
    answers.in_detail(step, data, [found[0].model_copy(update={"stage": "candidate", "imported": ""}), *found])  # a line of each


@pytest.mark.parametrize(
    "values",
    [
        {"evaluated": False, "reason": "refused, wrong at 8"},
        {"evaluated": False, "reason": "random weights"},
    ],
    ids=lambda values: values["reason"],
)
def test_what_has_no_accuracy_there_has_none_here(this, tmp_path, values):
    unknown = dict.fromkeys(("top1_pct", "top1_interval_pct", "top5_pct", "scores_file", "scores_sha256"))
    step, data = this(finished(tmp_path / "other", **unknown, **values))
    [found] = imported.results(step, data)
    assert (found.evaluated, found.reason, found.scores_file) == (False, values["reason"], None)
    assert not list(step.artefacts.glob("scores_*"))


def test_what_a_simulator_answered_stays_simulated(this, tmp_path):
    step, data = this(finished(tmp_path / "other", simulated=True, device="Ascend (simulated device)"))
    [found] = imported.results(step, data)
    assert (found.simulated, found.device) == (True, "Ascend (simulated device)")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"pixel": 1}, r"decoded or resized by other code \(decoder Pillow / Pillow\)"),
        ({"names": ["0.png", "1.png", "2.png", "x.png"]}, "4 images here and 4 there, 3.png only here"),
        ({"seen": []}, "can't be shown to have seen the same pixels"),
        ({"classes": 7}, "this model tells 6 classes and that one 7"),
    ],
    ids=["pixels", "images", "fingerprints", "classes"],
)
def test_a_run_of_other_pixels_is_refused_with_the_step_that_differs(this, tmp_path, values, said):
    (tmp_path / "other").mkdir()
    step, data = this(finished(tmp_path / "other", data=prepared(tmp_path / "other", **values)))
    with pytest.raises(UserError, match=rf"can't be compared with run other_run image by image \(.*{said}.*\): prepare both alike, or"):
        imported.results(step, data)
    assert not list(step.artefacts.glob("scores_*"))


def test_scores_that_are_not_those_of_the_record_are_refused(this, tmp_path):
    other = finished(tmp_path / "other")
    step, data = this(other)
    kept = other / "artefacts" / "scores_candidate.npz"
    kept.write_bytes(kept.read_bytes() + b"0")
    with pytest.raises(UserError, match="the scores of run other_run are not those that its accuracy.json was written for"):
        imported.results(step, data)
    kept.unlink()
    with pytest.raises(UserError, match="run 3_accuracy of it again"):
        imported.results(step, data)


def test_a_record_of_other_images_than_those_of_its_run_is_refused(this, tmp_path):
    other = finished(tmp_path / "other")
    step, data = this(other)
    content = json.loads((other / "data.json").read_text())
    (other / "data.json").write_text(json.dumps({**content, "fingerprint": "made again"}))
    with pytest.raises(UserError, match=r"accuracy.json of run other_run was made from another data.json: run 3_accuracy of other_run"):
        imported.results(step, data)


def test_a_run_is_neither_compared_with_itself_nor_with_another_twice(this, tmp_path):
    itself = finished(tmp_path / "other")
    step, data = this(itself, itself)
    with pytest.raises(UserError, match="compare_with names other_run, which is this run or named twice: leave it out"):
        imported.results(step, data)
    link = tmp_path / "link"
    link.symlink_to(itself)
    step, data = this(link)
    step.folder = itself
    with pytest.raises(UserError, match="which is this run"):
        imported.results(step, data)


def test_a_run_without_its_data_is_a_wrong_parameter(this, tmp_path):
    other = finished(tmp_path / "other")
    (other / "data.json").unlink()
    step, _ = this(other)
    with pytest.raises(ParameterError, match=r"compare_with: .*data.json does not exist"):
        step.settings.files()


def test_a_run_is_found_by_its_name(tmp_path, monkeypatch):
    finished(tmp_path / "other").rename(tmp_path / "named")
    (tmp_path / "reports").mkdir()
    (tmp_path / "named").rename(tmp_path / "reports" / "named")
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    assert sources.run_folder("named") == tmp_path / "reports" / "named"


# beside what this run evaluates


def evaluated(monkeypatch, step, data, backend):
    monkeypatch.setattr(accuracy.backends, "load", lambda *_: backend)
    return accuracy.results(step, data, SimpleNamespace(random_weights=False, classes=6))


def test_finished_runs_come_after_what_this_run_evaluates_and_are_compared(this, tmp_path, monkeypatch):
    step, data = this(finished(tmp_path / "other"))
    found = evaluated(monkeypatch, step, data, Replayed(dict(enumerate(RIGHT))))
    assert [one.stage for one in found] == ["candidate", "run_1"]
    [compared] = accuracy.comparisons(step, found)
    assert (compared.a, compared.b, compared.both_right, compared.only_a, compared.only_b) == ("candidate", "run_1", 2, 2, 0)


def test_an_earlier_evaluation_is_removed_and_what_was_copied_is_not(this, tmp_path, monkeypatch):
    step, data = this(finished(tmp_path / "other"))
    (step.artefacts / "scores_run_2.npz").write_text("of an earlier evaluation")
    evaluated(monkeypatch, step, data, Replayed(dict(enumerate(RIGHT))))
    assert sorted(path.name for path in step.artefacts.glob("scores_*")) == ["scores_candidate.npz", "scores_run_1.npz"]


def test_a_run_that_can_not_be_compared_stops_before_anything_is_evaluated_or_lost(this, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    step, data = this(finished(tmp_path / "other", data=prepared(tmp_path / "other", pixel=1)))
    (step.artefacts / "scores_candidate.npz").write_text("of an earlier evaluation")
    monkeypatch.setattr(accuracy.backends, "load", lambda *_: pytest.fail("evaluated"))
    with pytest.raises(UserError, match="prepare both alike"):
        accuracy.results(step, data, SimpleNamespace(random_weights=False, classes=6))
    assert (step.artefacts / "scores_candidate.npz").is_file()


def test_the_table_says_which_run_a_figure_is_from(this, tmp_path):
    step, data = this(finished(tmp_path / "other"))
    [found] = imported.results(step, data)
    record = Accuracy.model_construct(results=[found.model_copy(update={"imported": HOSTILE})], reference=None, comparisons=[])
    shown = accuracy_tables.accuracy(record)._repr_html_()
    assert "<script>" not in shown
    record.results = [found]
    shown = accuracy_tables.accuracy(record)._repr_html_()
    assert "<td>run other_run: torch</td><td>GPU</td><td>bf16</td>" in shown
    assert "<td>run other_run</td></tr>" in shown


def test_manifests_that_are_gone_leave_their_hashes_to_tell(this, tmp_path):
    (tmp_path / "other").mkdir()
    other = finished(tmp_path / "other", data=prepared(tmp_path / "other", names=["w", "x", "y", "z"]))
    (other / "artefacts" / "manifest.csv").unlink()
    step, data = this(other)
    assert dataset.load(step.folder / data.manifest).names == NAMES
    with pytest.raises(UserError, match="their images or labels differ, 4 images here and 4 there"):
        imported.results(step, data)
