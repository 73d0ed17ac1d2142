import os
import re
import subprocess
import sys
import time

import pytest

from helpers import ROOT, files, formats, prune, run
from tests import finished_runs, models
from tests.test_run import QUICK, write_params

DAY = 86_400


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """A folder in the place of reports/, with a run of three artefacts that was written two days ago."""
    folder = tmp_path / "reports"
    monkeypatch.setattr(prune, "REPORTS", folder)
    monkeypatch.setattr(prune.steps, "folder", lambda name: folder / name)
    heavy(folder / "one", days=2)
    return folder


def heavy(folder, days=1.0):
    """Write a run with 6,000 bytes of artefacts, all of it written so long ago."""
    finished_runs.write(folder)
    for name, size in {"tensors.npy": 3000, "m.onnx": 2000, "m_int8/model.bin": 1000}.items():
        (folder / "artefacts" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "artefacts" / name).write_bytes(bytes(size))
    age(folder, days)
    return folder


def age(folder, days):
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (time.time() - days * DAY,) * 2, follow_symlinks=False)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


KEPT = ["accuracy.json", "data.json", "model.json", "report.html", "report.json", "sweep.json"]


def test_artefacts_go_and_records_and_pages_stay(reports, capsys):
    assert prune.main(["one"]) == 0
    assert names(reports / "one") == KEPT
    assert capsys.readouterr().out == "one: m.onnx 2.0 kB, m_int8 1.0 kB, tensors.npy 3.0 kB\n6.0 kB freed in 1 run\n"
    assert prune.main(["one"]) == 0
    assert capsys.readouterr().out == "0.0 kB freed in 0 runs\n"


def test_what_workers_left_goes_too(reports, capsys):
    for name in ("tensors/0.npy", "tensors.json", "tensors.unfinished/0.npy", "units/candidate/0.npz"):
        (reports / "one" / "artefacts" / name).parent.mkdir(parents=True, exist_ok=True)
        (reports / "one" / "artefacts" / name).write_bytes(bytes(1000))
    age(reports / "one", 2)
    assert prune.main(["one"]) == 0
    assert names(reports / "one") == KEPT
    assert "tensors 1.0 kB" in capsys.readouterr().out


def test_a_dry_run_says_the_same_and_removes_nothing(reports, capsys):
    before = names(reports)
    assert prune.main(["one", "--dry-run"]) == 0
    assert names(reports) == before
    assert capsys.readouterr().out == "one: m.onnx 2.0 kB, m_int8 1.0 kB, tensors.npy 3.0 kB\n6.0 kB would be freed in 1 run\n"


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--all"], []),
        (["--older-than", "1.5"], ["acme/new"]),
        (["--older-than", "0"], []),
        (["--all", "--older-than", "3"], ["acme/new", "one"]),
        (["acme/new"], ["one"]),
        (["one", "acme/new", "one"], []),
        (["one", "acme/new", "--older-than", "1.5"], ["acme/new"]),
    ],
)
def test_runs_are_chosen_by_name_or_age_at_any_depth(reports, arguments, left):
    heavy(reports / "acme" / "new")
    assert prune.main(arguments) == 0
    assert [place for place in ("acme/new", "one") if (reports / place / "artefacts").exists()] == left


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no run was named: name runs, or say --all or --older-than DAYS."),
        (["one", "--all"], "--all takes every run: name runs or say --all, not both."),
        (["one", "nowhere"], "nowhere is not a run: name a folder below reports/ that holds records."),
        (["one", ".."], ".. is not a run: name a folder below reports/ that holds records."),
        (["one", ""], " is not a run: name a folder below reports/ that holds records."),
        (["one", "a\x1b[31m"], r"a\x1b[31m is not a run: name a folder below reports/ that holds records."),
        (["one", "--older-than", "-1"], "--older-than -1 is no age: say a number of days from 0 up."),
        (["one", "--older-than", "nan"], "--older-than nan is no age: say a number of days from 0 up."),
        (["one", "--older-than", "inf"], "--older-than inf is no age: say a number of days from 0 up."),
    ],
)
def test_nonsense_is_refused_in_a_sentence_and_nothing_is_removed(reports, capsys, arguments, said):
    before = names(reports)
    assert prune.main(arguments) == 2
    assert capsys.readouterr().err == f"{said}\n"
    assert names(reports) == before


def test_what_no_notebook_made_is_kept_and_said(reports, capsys):
    (reports / "one" / "artefacts" / "notes.txt").write_text("mine")
    age(reports, 1)
    assert prune.main(["one"]) == 0
    assert names(reports / "one") == sorted([*KEPT, "artefacts", "artefacts/notes.txt"])
    assert "; made by no notebook and kept: notes.txt\n" in capsys.readouterr().out


def test_links_are_removed_and_what_they_lead_to_is_not(reports, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious.npy").write_bytes(bytes(9000))
    artefacts = reports / "one" / "artefacts"
    (artefacts / "photographs").symlink_to(tmp_path / "elsewhere")
    (artefacts / "m_int8" / "linked").symlink_to(tmp_path / "elsewhere")
    (artefacts / "scores_candidate.npz").symlink_to(tmp_path / "elsewhere" / "precious.npy")
    age(reports, 1)
    assert prune.main(["one"]) == 0
    assert not artefacts.exists()
    assert names(tmp_path / "elsewhere") == ["precious.npy"]


@pytest.mark.parametrize("linked", ["run", "artefacts"])
def test_a_folder_behind_a_link_is_left_alone(reports, tmp_path, capsys, linked):
    place = reports / "one" if linked == "run" else reports / "one" / "artefacts"
    place.rename(tmp_path / "moved")
    place.symlink_to(tmp_path / "moved")
    before = names(tmp_path / "moved")
    assert prune.main(["--all"]) == 0
    assert names(tmp_path / "moved") == before
    assert "one: left alone, its files lie elsewhere, behind a link\n" in capsys.readouterr().out


def being_written(reports, name, minutes):
    path = reports / "one" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    os.utime(path, (time.time() - 60 * minutes,) * 2)


@pytest.mark.parametrize(
    ("name", "minutes", "left"),
    [
        ("artefacts/tensors.npy.partial", 20, True),
        ("artefacts/tensors.npy.partial", 40, False),
        ("artefacts/tensors.jsonl.partial", 20, False),  # of a finished run too
        ("artefacts/tensors.unfinished/256.npy", 20, True),
        ("artefacts/units/candidate/256.npz", 20, True),
        ("artefacts/tensors/256.npy", 20, False),
        (f"{files.UNFINISHED}PID-4_batch_sweep.ipynb.x", 600, True),  # helpers.run holds it for as long as a notebook takes
        (f"artefacts/{files.UNFINISHED}PID-tensors.npy.x", 600, True),
        (f"artefacts/{files.UNFINISHED}999999999-tensors.npy.x", 600, False),  # no such process
        ("3_accuracy.html", 0, True),  # between two notebooks
        ("3_accuracy.html", 2, False),
    ],
)
def test_a_run_that_is_being_written_is_left_alone(reports, capsys, name, minutes, left):
    being_written(reports, name.replace("PID", str(os.getpid())), minutes)
    assert prune.main(["one"]) == 0
    assert (reports / "one" / "artefacts").exists() == left
    assert ("one: left alone, it is being written or was a moment ago\n" in capsys.readouterr().out) == left


def test_what_can_not_be_removed_is_one_sentence(reports, capsys, monkeypatch):
    def refuse(path, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(prune.Path, "unlink", refuse)
    assert prune.main(["one"]) == 1
    printed = capsys.readouterr().err
    assert re.fullmatch(r"can't remove \S+/m\.onnx: Permission denied; see who owns it, and call this again\.\n", printed)


def test_the_command_line_has_its_help():
    shown = subprocess.run([sys.executable, "-m", "helpers.prune", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0
    assert all(option in shown.stdout for option in ("RUN", "--all", "--older-than DAYS", "--dry-run"))


def test_every_command_in_the_readme_is_accepted(capsys):
    commands = re.findall(r"^    \.venv/bin/python -m helpers\.prune (.*?)(?: +#.*)?$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands
    for command in commands:
        prune._parser().parse_args(command.split())


def contents(folder):
    """What lies in a run's folder, its artefacts apart."""
    paths = (path for path in folder.rglob("*") if path.is_file() and folder / "artefacts" not in path.parents)
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def test_a_pruned_run_keeps_its_pages_and_goes_on(tmp_path, capsys):
    """A real run of the chain: everything that its notebooks left among the artefacts is known, and is made again."""
    images, labels = models.write_digits(tmp_path, 30)
    values = {"images": str(images), "labels": str(labels), "model": str(models.write_onnx(tmp_path / "m.onnx"))}
    folder = tmp_path / "run"
    params = write_params(tmp_path / "p.yaml", run=str(folder), preprocess=models.PREPROCESS, **values, **{**QUICK, "batch_sizes": [1]})
    assert run.main([str(params)]) == 0
    made, kept = names(folder / "artefacts"), contents(folder)
    size = files.size_of(folder / "artefacts")
    age(folder, 1)
    capsys.readouterr()
    assert prune.main([str(folder)]) == 0
    assert not (folder / "artefacts").exists()
    assert contents(folder) == kept
    assert f"{formats.size(size)} freed in 1 run\n" in capsys.readouterr().out
    assert run.main([str(params), "--list"]) == 0
    assert re.search(r"1_prepare_data +to do(.|\n)*3_accuracy +to do", capsys.readouterr().out)
    assert run.main([str(params)]) == 0
    assert names(folder / "artefacts") == made
    assert run.main([str(params), "--list"]) == 0
    assert capsys.readouterr().out.count("done") == 5
