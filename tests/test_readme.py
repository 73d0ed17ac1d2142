"""What README says exists, and what exists README says."""

import json
import re
import shlex
import subprocess

import pytest
import yaml

from helpers import ROOT, params
from helpers.ascend.atc_options import Atc
from helpers.params import STEPS, Run
from helpers.preprocess import Preprocess
from helpers.run import main

README = (ROOT / "README.md").read_text(encoding="utf-8")
ASCEND = (ROOT / "docs" / "ascend.md").read_text(encoding="utf-8")


def test_every_parameter_is_documented():
    table = README.partition("### All parameters")[2].partition("## How to read")[0]
    documented = re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")))
    assert sorted(documented) == sorted(Run.model_fields)
    assert all(f"`{name}`" in table for name in Preprocess.model_fields)


def test_every_default_in_the_table_is_the_real_one():
    defaults = Run()
    for line in README.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:3]]
        if len(cells) == 2 and (found := re.fullmatch(r"`(\w+)`", cells[0])) and (value := re.fullmatch(r"`([^`]*)`", cells[1])):
            name, default = found[1], getattr(defaults, found[1], None)
            if default is not None and name not in ("onnx", "atc"):
                assert yaml.safe_load(value[1]) == default, name


@pytest.mark.parametrize("command", re.findall(r"^    (\.venv/bin/python -m helpers\.run .*)$", README + ASCEND, re.MULTILINE))
def test_every_command_of_run_is_accepted(command, capsys):
    words = shlex.split(command, comments=True)[3:]
    code, printed = main([*words, "--list"]), capsys.readouterr()
    if "data/" in (ROOT / words[0]).read_text():  # what the user brings, or a device, is not here
        assert code == 0 or re.search("does not exist|backend ascend is not installed", printed.err)
    else:
        assert code == 0
        assert len(printed.out.splitlines()) == 5


def test_make_targets_and_files_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z]+)|^    make ([a-z]+)", README, re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target
    for folder, text in ((ROOT, README), (ROOT / "docs", ASCEND)):
        for link in re.findall(r"\]\(([^)]+)\)", text):
            assert (folder / link).exists(), link
    for name in re.findall(r"`((?:notebooks|params|helpers|demo|reports/sample)/[\w./]*)`", README):
        assert (ROOT / name).exists(), name
    assert all(f"`{name}`" in README for name in STEPS)


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_the_parameter_files_shown_are_valid_but_for_their_data(text, tmp_path):
    values = yaml.safe_load(text)
    assert params.check(Run, **values).run == "mine"


def test_every_shipped_parameter_file_is_in_the_table():
    assert all(f"`{path.name}`" in README for path in (ROOT / "params").glob("*.yaml"))


def test_the_time_of_the_demo_is_the_measured_one():

    [stated, file] = re.search(r"took (\d+) s on 2 cores \(\[conditions\]\(([^)]+)\)", README).groups()
    assert round(json.loads((ROOT / file).read_text())["total_seconds"]) == pytest.approx(int(stated), abs=1)


def test_nothing_names_the_place_where_it_was_made():

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git clone")
    for name in listed.stdout.splitlines():
        content = (ROOT / name).read_bytes()
        assert str(ROOT).encode() + b"/" not in content, name
        assert len(content) < 6_000_000, name


def test_every_flag_of_atc_is_documented_with_its_default():
    table = ASCEND.partition("in the group `atc`:")[2].partition("\n\n`precision`")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table.splitlines() if line.startswith("| `")]
    documented = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert sorted(documented) == sorted(Atc.model_fields)
    for name, default in documented.items():
        shown = re.findall(r"`([^`]*)`", default)
        if len(shown) == 1:
            assert yaml.safe_load(shown[0]) == getattr(Atc(), name), name
