import subprocess

from helpers import ROOT, environment


def test_the_machine_is_described_without_names_of_user_or_host():
    import getpass
    import platform

    facts = environment.machine()
    assert facts["cores"] >= 1
    assert facts["memory_bytes"] > 1e8
    assert facts["cpu"]
    words = set(" ".join(map(str, facts.values())).split())
    assert not words & {getpass.getuser(), platform.node()}


def test_a_package_that_is_not_there_is_absent():
    assert environment.versions(("numpy", "no-such-package"))["no-such-package"] == "absent"


def test_only_changes_of_code_or_parameters_make_a_commit_dirty(tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    subprocess.run(["git", "init", "-q", str(clone)], check=True)
    (clone / "helpers").mkdir()
    (clone / "helpers" / "a.py").write_text("")
    (clone / "README.md").write_text("")
    for command in (["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(clone), *command], check=True)
    monkeypatch.setattr(environment, "ROOT", clone)
    head, dirty = environment.commit()
    assert len(head) == 40
    assert dirty is False
    (clone / "README.md").write_text("changed")
    assert environment.commit()[1] is False
    (clone / "helpers" / "a.py").write_text("changed")
    assert environment.commit()[1] is True
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    assert environment.commit() == (None, None)


def test_the_root_is_the_clone():
    assert (ROOT / "helpers" / "environment.py").is_file()
