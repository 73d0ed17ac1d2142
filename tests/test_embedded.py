import base64
import json
import lzma
import re

import numpy as np
import pytest

from helpers import embedded, scores, steps
from helpers.errors import UserError
from helpers.records import KINDS, Data
from helpers.scores import Scores
from tests import runs


@pytest.fixture
def run(tmp_path):
    return runs.write(tmp_path / "run")


def page_of(tmp_path, packed, name="report.html"):
    path = tmp_path / name
    path.write_text(f'<html><body><p>Text.</p><pre hidden id="records">{packed}</pre></body></html>')
    return path


def packed_of(content):
    return base64.encodebytes(lzma.compress(content if isinstance(content, bytes) else json.dumps(content).encode())).decode()


def content_of(folder):
    return json.loads(lzma.decompress(base64.b64decode(embedded.pack(folder))))


def test_a_report_gives_the_same_run_as_its_folder(run, tmp_path):
    there, here = embedded.of(run), embedded.of(page_of(tmp_path, embedded.pack(run)))
    assert set(here.records) == set(KINDS)
    assert here.records == there.records
    for found in (here, there):
        kept = found.scores["candidate"]
        assert (kept.image.tolist(), kept.label.tolist(), kept.answer.tolist()) == ([0, 1, 2, 3], [0, 1, 0, 1], [0, 1, 0, 0])
        assert kept.right.tolist() == [True, True, True, False]


def test_places_are_left_out_unless_they_are_asked_for(run):
    assert "/home/somebody" not in json.dumps(content_of(run))
    assert content_of(run)["data"]["params"]["images"] == "…/images.tar"
    assert embedded.of(run).records[Data].params["images"] == "…/images.tar"
    identified = json.loads(lzma.decompress(base64.b64decode(embedded.pack(run, identify=True))))
    assert identified["model"]["params"]["checkpoint"] == "/home/somebody/m.pth"


@pytest.mark.parametrize("word", ["onnx", "candidate", "compute", "bicubic"])
def test_a_host_that_is_called_as_a_word_of_the_records_does_not_break_them(run, tmp_path, word, monkeypatch):
    monkeypatch.setattr("platform.node", lambda: word)
    found = embedded.unpack(page_of(tmp_path, embedded.pack(run)))
    assert found.scores.keys() == {found.records[KINDS[2]].results[0].stage}


def test_fifty_thousand_images_of_two_stages_take_well_below_a_megabyte(run):
    random = np.random.default_rng(0)
    label = random.integers(0, 1000, 50000, np.int32)
    for stage, wrong in (("candidate", 0.16), ("option_1", 0.18)):
        answer = np.where(random.random(50000) < wrong, random.integers(0, 1000, 50000), label).astype(np.int32)
        top5 = np.repeat(answer[:, None], 5, axis=1)
        found = Scores(np.arange(50000, dtype=np.int32), label, top5, np.zeros((50000, 5), np.float32))
        found.save(run / "artefacts" / f"scores_{stage}.npz")
    accuracy = json.loads((run / "accuracy.json").read_text())
    kept = [
        accuracy["results"][0] | {"stage": stage, "scores_file": f"artefacts/scores_{stage}.npz"} for stage in ("candidate", "option_1")
    ]
    for result in kept:
        result["scores_sha256"] = embedded.files.sha256(run / result["scores_file"])
    (run / "accuracy.json").write_text(json.dumps(accuracy | {"results": kept}))
    assert len(embedded.pack(run)) < 300_000


def test_a_pruned_run_has_its_records_and_no_scores(run):
    (run / "artefacts" / "scores_candidate.npz").unlink()
    assert embedded.of(run).scores == {}


def test_too_many_images_are_left_out_of_what_is_packed(run, monkeypatch):
    monkeypatch.setattr(embedded, "LIMIT_BYTES", len(json.dumps(content_of(run), separators=(",", ":"), ensure_ascii=False).encode()) - 1)
    assert content_of(run)["scores"] == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no records of a run, or was cut off before them: give a whole report.html, or the run's folder."),
        ("records", "holds no records"),
        ("<html><p>records</p></html>", "holds no records"),
        ('<pre id="records">', "are cut off or damaged: get the file once more, or give the run's folder."),
        ('<pre id="records">no base 64!</pre>', "cut off or damaged"),
        ('<pre id="records">QUJD</pre>', "cut off or damaged"),
        (f'<pre id="records">{packed_of({})}</pre>', "another version's form: run 5_report of that run again."),
        (f'<pre id="records">{packed_of(b"no json")}</pre>', "another version's form"),
        (f'<pre id="records">{packed_of(b"[" * 100_000)}</pre>', "another version's form"),
    ],
)
def test_what_is_no_report_is_one_sentence(tmp_path, text, said):
    (tmp_path / "x.html").write_text(text)
    with pytest.raises(UserError, match=f"x.html .*{re.escape(said)}"):
        embedded.of(tmp_path / "x.html")


def test_other_files_and_none_are_one_sentence(tmp_path):
    (tmp_path / "x.png").write_bytes(b"\x89PNG\xff<records")
    for path in (tmp_path / "x.png", tmp_path / "nowhere.html"):
        with pytest.raises(UserError, match="holds no records"):
            embedded.of(path)


def test_a_report_that_was_cut_off_is_told(run, tmp_path):
    whole = page_of(tmp_path, embedded.pack(run)).read_text()
    for end in range(whole.index('"records">') + 10, len(whole) - 30, 97):
        (tmp_path / "cut.html").write_text(whole[:end])
        with pytest.raises(UserError, match="cut off or damaged"):
            embedded.of(tmp_path / "cut.html")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "LIMIT_BYTES", 1_000_000)
    with pytest.raises(UserError, match="would take more than 1 MB"):
        embedded.of(page_of(tmp_path, packed_of(b" " * 20_000_000)))


def test_another_version_is_refused(run, tmp_path):
    with pytest.raises(UserError, match="another version's form"):
        embedded.of(page_of(tmp_path, packed_of(content_of(run) | {"version": 2})))


@pytest.mark.parametrize(
    "broken",
    [
        lambda content: content["accuracy"].update(results=[]),
        lambda content: content["model"].update(stages=[]),
        lambda content: content["sweep"].update(series=[]),
        lambda content: content["accuracy"]["results"][0].update(top1_pct=200),
        lambda content: content["sweep"]["series"][0]["rows"][0]["regions"]["compute"].update(images_per_second=-1),
        lambda content: content["sweep"]["series"][0]["rows"][0]["regions"]["compute"].update(interval_fps=[0, 1]),
        lambda content: content["scores"]["candidate"].update(image=[0, 0, 1, 2]),
        lambda content: content["scores"]["candidate"].update(label=[0]),
        lambda content: content["scores"]["candidate"].update(answer=[2**31, 0, 0, 0]),
        lambda content: content.pop("sweep"),
    ],
)
def test_what_no_run_would_say_is_refused(run, tmp_path, broken):
    content = content_of(run)
    broken(content)
    with pytest.raises(UserError, match="another version's form"):
        embedded.of(page_of(tmp_path, packed_of(content)))


def test_scores_that_are_not_those_of_the_record_are_refused(run):
    path = run / "artefacts" / "scores_candidate.npz"
    scores.load(path)[np.array([0])].save(path)
    with pytest.raises(UserError, match="scores_candidate.npz of run run is not what accuracy.json was written for: run 3_accuracy of it"):
        embedded.of(run)


def test_an_unfinished_run_and_a_report_of_other_records_are_refused(run):
    data = steps.load(Data, run)
    (run / "report.json").write_text((run / "report.json").read_text().replace("Sweep of run", "older"))
    with pytest.raises(UserError, match="report.json of run run was made from other records: run 5_report again"):
        embedded.of(run)
    (run / "report.json").unlink()
    with pytest.raises(UserError, match="report.json is not in run run: run 5_report first"):
        embedded.of(run)
    assert steps.load(Data, run) == data
