"""What is shown of shared work: a line for each worker, escaped, and the same numbers in words."""

import re
from types import SimpleNamespace

import pytest

from helpers import shards_report
from helpers.elements import Sentence
from tests import test_chinese
from tests.test_units import done

UNITS = [
    done(0, 4, place="card 1, chip 0", started_utc="2026-01-01T00:00:00.000+00:00", seconds=2.0),
    done(4, 4, place="card 1, chip 1", started_utc="2026-01-01T00:00:00.500+00:00", seconds=3.0, tries=2),
    done(8, 2, place="card 1, chip 0", started_utc="2026-01-01T00:00:02.000+00:00", seconds=2.0),
]


def cells(group):
    table = group._repr_html_().partition("</table>")[0]
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in table.split("<tr>")[2:]]


def test_one_process_alone_has_nothing_to_show():
    assert shards_report.shares([], "evaluated") is None


def test_each_worker_has_a_row_with_what_it_did():
    assert cells(shards_report.shares(UNITS, "evaluated")) == [
        ["1", "d", "card 1, chip 0", "h", "2", "6", "4.00", "1.50", "–"],
        ["2", "d", "card 1, chip 1", "h", "1", "4", "3.00", "1.33", "1"],
    ]


def test_what_was_done_and_what_the_time_includes_is_said_in_the_words_of_the_work():
    prepared, evaluated = (shards_report.shares(UNITS, did)._repr_html_() for did in ("prepared", "evaluated"))
    assert "Who prepared the images;" in prepared
    assert "Seconds: its time at work, reading them and writing the store included." in prepared
    assert "Who evaluated the images;" in evaluated
    assert "reading and normalising included, which is no measurement of the device." in evaluated


def test_the_chart_says_how_much_of_the_time_was_work():
    figure = shards_report.timeline(UNITS)
    assert "10 images by 2 workers" in figure.svg
    assert ">1: card 1, chip 0<" in figure.svg  # without the host, whose name may be longer than the chart is wide
    assert "together at work for 88 % of the time shown" in figure.svg  # 7 s of 2 x 4 s
    assert figure.alt == "10 images by 2 workers. card 1, chip 0, h: 6 images in 4.00 s; card 1, chip 1, h: 4 images in 3.00 s."


def test_of_very_many_units_those_are_drawn_joined_that_have_nothing_between_them_to_see():
    begins = [f"2026-01-01T00:00:{second:02d}.{ms:03d}+00:00" for second in range(50) for ms in range(0, 1000, 100)]
    units = [done(4 * at, 4, started_utc=begin, seconds=0.099) for at, begin in enumerate(begins)]
    few, many = shards_report.timeline(units[:400]).svg, shards_report.timeline(units[:200] + units[210:]).svg
    assert few.count("clip-path=") - 400 == many.count("clip-path=") - 2  # a second of waiting stays to be seen


def test_of_very_many_workers_the_first_are_shown():
    group = shards_report.shares([done(4 * at, 4, place=f"process {at}") for at in range(40)], "evaluated")
    assert len(cells(group)) == 32
    assert "8 workers that began later are in the record alone." in group._repr_html_()


def test_each_configuration_has_its_own_where_there_are_several():
    results = [SimpleNamespace(stage=stage, units=UNITS, simulated=False, imported="") for stage in ("candidate", "option_1")]
    page = shards_report.evaluated(results)._repr_html_()
    assert "Who evaluated the images for candidate;" in page
    assert "Who evaluated the images for option 1;" in page
    assert "Who evaluated the images;" in shards_report.evaluated(results[:1])._repr_html_()
    assert shards_report.evaluated([SimpleNamespace(units=[])]) is None


def test_a_unit_of_a_later_try_is_hatched():
    assert "<pattern" in shards_report.timeline(UNITS).svg
    assert "<pattern" not in shards_report.timeline(UNITS[::2]).svg


def test_the_same_numbers_are_the_same_bytes():
    assert shards_report.timeline(UNITS).svg == shards_report.timeline(UNITS[::-1]).svg


@pytest.mark.parametrize("field", ["device", "place", "host"])
def test_names_that_hosts_give_are_escaped(field):
    page = shards_report.shares([done(0, 4, **{field: "<script>"})], "evaluated")._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(("did", "what"), [("prepared", ""), ("evaluated", ""), ("evaluated", " for option 1")])
def test_it_is_said_in_chinese_too(did, what):
    units = [*UNITS, *(done(10 + number, 1, place=f"process {number}") for number in range(shards_report.SHOWN))]
    assert test_chinese.english(test_chinese.page(shards_report.shares(units, did, what))) == []


@pytest.mark.parametrize(
    "remark",
    [
        "worker 2 on h (GPU 0) answers the first images otherwise than it should: it was put aside; done again: 3 units that it did.",
        "worker 2 on h (card 1, chip 0, process 5) prepares the first images otherwise than it should: it was put aside.",
        "worker 2 on h (process 5) runs onnxruntime 1.2 where others run onnxruntime 1.3: it was put aside.",
        "worker 2 on h (GPU 0) failed at the first images (gave no answer in 5 s): it was put aside; done again: 1 unit that it did.",
        "worker 2 on h (process 5) left at images 0 to 255: its process or its host died.",
        "worker 1 left at loading the model: gave no answer in 600 s.",
    ],
)
def test_what_is_said_of_a_worker_is_said_in_chinese_too(remark):
    assert test_chinese.english(test_chinese.page(Sentence(remark, "warning"))) == []
