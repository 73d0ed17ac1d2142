import csv

import pytest

from helpers import csv_files


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+a", "'+a"),
        ("-1+1", "'-1+1"),
        ("+0.5 points", "'+0.5 points"),
        ("-1", "-1"),
        ("-1,000.5", "-1,000.5"),
        ("-1.5e-3", "-1.5e-3"),
        ("+0.50 %", "+0.50 %"),
        ("–", "–"),
        ("-2.50 to +0.09", "-2.50 to +0.09"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("＝1", "'＝1"),
        (" =1", "' =1"),
        ("a;=1", "a;'=1"),
        ("a\t=1", "a\t'=1"),
        ("a\n=1", "a\n'=1"),
        ("T-shirt", "T-shirt"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_text_is_never_a_formula(tmp_path, text, written):
    csv_files.write(tmp_path / "x.csv", ["a", "b"], [[text, -1.5], [None, 2]])
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8-sig") as file:
        assert list(csv.reader(file)) == [["a", "b"], [written, "-1.5"], ["", "2"]]
