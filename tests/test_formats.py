import pytest

from helpers.formats import counted


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((1, "image"), "1 image"), ((0, "image"), "0 images"), ((2, "image"), "2 images"), ((2, "copy", "copies"), "2 copies")],
)
def test_a_noun_follows_its_number(arguments, expected):
    assert counted(*arguments) == expected
