from helpers import run_folders, table_files
from tests import finished_runs


def test_runs_are_found_at_any_depth_but_not_among_artefacts_or_hidden_ones(tmp_path):
    for place in ("b", "a/deep/er", "a/deep", "b/artefacts/c", "b/.ipynb_checkpoints/c", ".hidden"):
        finished_runs.write(tmp_path / place, kinds=())
    (tmp_path / "empty").mkdir()
    assert [path.relative_to(tmp_path).as_posix() for path in run_folders.below(tmp_path)] == ["b", "a/deep", "a/deep/er"]


def test_the_tables_of_a_report_are_no_run(tmp_path):
    run = finished_runs.write(tmp_path / "one")
    (run / "report.html").write_text("<table><tr><td>1</td></tr></table>")
    table_files.write(run / "report.html")
    assert (run / "tables" / "report.json").is_file()
    assert list(run_folders.below(tmp_path)) == [run]


def test_links_are_not_followed_but_a_run_may_be_one(tmp_path):
    finished_runs.write(tmp_path / "elsewhere" / "run")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "group").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "reports" / "one").symlink_to(tmp_path / "elsewhere" / "run")
    (tmp_path / "reports" / "round").symlink_to(tmp_path / "reports")
    assert [path.name for path in run_folders.below(tmp_path / "reports")] == ["one"]


def test_no_folder_holds_no_run(tmp_path):
    assert list(run_folders.below(tmp_path / "nowhere")) == []
