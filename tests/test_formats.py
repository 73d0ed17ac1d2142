import pytest

from helpers.formats import counted, fps
from helpers.records import Measured


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((1, "image"), "1 image"), ((0, "image"), "0 images"), ((2, "image"), "2 images"), ((2, "copy", "copies"), "2 copies")],
)
def test_a_noun_follows_its_number(arguments, expected):
    assert counted(*arguments) == expected


@pytest.mark.parametrize(
    ("value", "interval", "blocks", "shown"),
    [
        (1523.6, (1500.0, 1548.0), 30, "1524"),
        (1523.6, None, 30, "1500"),
        (0.0371, None, 30, "0.037"),
        (1523.64, None, None, "1523.6"),
    ],
    ids=["measured", "too noisy", "slow and too noisy", "published"],
)
def test_images_per_second_have_the_digits_that_are_known(value, interval, blocks, shown):
    measured = Measured(images_per_second=value, interval_fps=interval, latency_ms=None, blocks=blocks, calls=None)
    assert fps(measured) == shown
