import re
import warnings

import numpy as np
import pytest

from helpers import accuracy_charts, metrics

SURE = np.array([0.2, 0.55, 0.58, 0.99, 0.98, 0.97])
RIGHT = np.array([0, 0, 1, 1, 1, 0], bool)


def texts(figure):
    """Return text -> (x, y) of a chart's texts, in points from its upper left corner."""
    with_place = re.findall(
        r'<text[^>]*?(?:translate\(|x="|transform="rotate\([^ ]+ )([\d.]+)[ "]+(?:y=")?([\d.]+)[^>]*>([^<]*)</text>', figure.svg
    )
    return {text: (float(x), float(y)) for x, y, text in with_place}


@pytest.fixture(autouse=True)
def _no_warnings():
    """matplotlib warns where a layout does not fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def reliability(sure=SURE, right=RIGHT):
    return accuracy_charts.reliability(metrics.calibration(sure, right), "On average <b>", "candidate, 6 images")


def test_the_reliability_chart_says_every_bin_in_its_alt_text():
    assert reliability().alt == (
        "On average <b>. candidate, 6 images. Each bin, its images in brackets: "
        "20.0 % sure 0.0 % right (1), 56.5 % sure 50.0 % right (2), 98.0 % sure 66.7 % right (3)."
    )


def test_the_reliability_chart_goes_from_0_to_100_and_counts_the_images_of_each_bin():
    svg = reliability().svg
    assert "On average &lt;b&gt;" in svg
    found = re.findall(r">([^<>]+)</text>", svg)
    assert found.count("0") == 2  # of both axes
    assert found.count("100") == 2
    assert {"as sure as right", "surer than right", "less sure than right", "candidate, 6 images", "1", "2", "3"} <= set(found)


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("sure", [0.0, 1.0])
def test_one_image_has_a_reliability_chart(sure, right):
    figure = reliability(np.array([sure]), np.array([right]))
    assert figure.alt.endswith(f": {100 * sure:.1f} % sure {100 * right:.1f} % right (1).")


def test_charts_have_the_same_bytes_every_time():
    assert reliability().svg == reliability().svg
    assert curve(candidate=[5, 7]).svg == curve(candidate=[5, 7]).svg


def curve(images=1000, **right):
    return accuracy_charts.top_k({name.replace("_", " "): hits for name, hits in right.items()}, [images] * len(right), "Top <b>")


def test_the_curve_says_every_share_in_its_alt_text_and_where_its_axis_begins():
    figure = curve(candidate=[917, 980], option_1=[916, 981])
    assert figure.alt == "Top <b>. candidate: top-1 91.70 %, top-2 98.00 %; option 1: top-1 91.60 %, top-2 98.10 %."
    assert "1,000 images; the axis begins at 80 %" in figure.svg  # the interval begins at 89.7
    assert "Top &lt;b&gt;" in figure.svg


def test_names_of_lines_that_end_together_stand_apart_in_the_order_of_their_shares():
    figure = curve(candidate=[917, 1000], option_1=[916, 999], option_2=[916, 1000], option_3=[900, 1000])
    heights = [y for text, (_, y) in texts(figure).items() if ", top-2" in text]
    names = [text for text in texts(figure) if ", top-2" in text]
    assert names == ["candidate, top-2 100.00 %", "option 2, top-2 100.00 %", "option 3, top-2 100.00 %", "option 1, top-2 99.90 %"]
    assert (np.diff(heights) >= 9).all()  # the size of the letters


def test_names_of_lines_that_end_far_from_each_other_stand_at_their_ends():
    figure = curve(candidate=[100, 900], option_1=[100, 500])
    upper, lower = (texts(figure)[name][1] for name in ("candidate, top-2 90.00 %", "option 1, top-2 50.00 %"))
    ticks = [texts(figure)[tick][1] for tick in ("80", "60")]
    assert lower - upper == pytest.approx(2 * (ticks[1] - ticks[0]), abs=0.5)


@pytest.mark.parametrize(("hits", "images"), [([0] * 5, 1), ([1] * 5, 1), ([1], 1), ([0], 50_000), ([50_000] * 5, 50_000)])
def test_all_right_all_wrong_and_a_single_guess_have_a_curve(hits, images):
    assert curve(images, candidate=hits).alt.endswith(f"top-{len(hits)} {100 * hits[-1] / images:.2f} %.")


def test_stages_may_have_different_numbers_of_guesses():
    assert curve(candidate=[5, 6, 7], option_1=[5]).alt.endswith("option 1: top-1 0.50 %.")
