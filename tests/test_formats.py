import pytest

from helpers import formats
from helpers.formats import counted


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((1, "image"), "1 image"), ((0, "image"), "0 images"), ((2, "image"), "2 images"), ((2, "copy", "copies"), "2 copies")],
)
def test_a_noun_follows_its_number(arguments, expected):
    assert counted(*arguments) == expected


@pytest.mark.parametrize(
    ("text", "seen"),
    [("a\u202eb", r"a\u202eb"), ("\udcff\x00", r"\xff\x00"), ("two\n lines", r"two\n lines"), ("模型 é", "模型 é"), ("", "")],
)
def test_what_can_not_be_seen_is_shown_by_its_number(text, seen):
    assert formats.visible(text) == seen
