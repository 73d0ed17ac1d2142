"""What is shown of several devices at once: the same numbers as sentence, chart and table, never as those of one device."""

import re

import pytest
from pydantic import ValidationError

from helpers import aggregate_report, charts, comparable, compare_speed, embedded, first_screen, summaries, verdict
from helpers.records import Aggregate, AtOnce, Measured, Noise, OneOfSeveral, Row, Sweep
from tests import runs, test_chinese
from tests.test_html import sweep_of

QUIET = Noise(verdict="STABLE", reasons=[], variation_pct=1.0, iqr_pct=1.0, windows_pct=1.0, drift_pct=1.0, outliers=0)


def fps(mean):
    return Measured(images_per_second=mean, interval_fps=(0.99 * mean, 1.01 * mean), latency_ms=None, blocks=30, calls=None)


def one(mean, **told):
    told = {"host": "h", "device": "Ascend 310P3", "place": "card 1, chip 0", "backend": "ascend 1, fp16", **told}
    return OneOfSeveral(alone=fps(mean), clock_error_ms=0.25, **told)


def row(devices, mean, efficiency=None, interval=None, **told):
    return AtOnce(devices=devices, together=fps(mean), efficiency=efficiency, efficiency_interval=interval, noise=QUIET, **told)


def lost(devices, why):
    return AtOnce(devices=devices, together=None, efficiency=None, efficiency_interval=None, error=why)


TWO = [row(1, 1000.0), row(2, 1800.0, 0.9, (0.89, 0.91))]


def several(rows=TWO, devices=(1000.0, 1000.0), **told):
    told = {"kind": "measured", "batch": 8, "resource": "NPU", "threads": 1, "windows": 6, "window_seconds": 0.25, **told}
    return Aggregate(devices=[one(mean) if isinstance(mean, float) else mean for mean in devices], rows=rows, **told)


def sweep_with(found):
    return sweep_of().model_copy(update={"aggregate": found})


def page(found):
    return aggregate_report.shown(sweep_with(found))._repr_html_()


def tables(text):
    return [
        [re.findall(r"<td[^>]*>([^<]*)</td>", line) for line in table.split("<tr>")[2:]] for table in text.split("</table>")[:-1]
    ]  # fmt: skip


def test_one_process_alone_has_nothing_to_show():
    assert aggregate_report.shown(sweep_of()) is None


def test_rows_and_devices_have_a_table_each():
    rows, devices = tables(page(several()).replace("\xa0", " "))
    assert rows == [
        ["1", "1000", "990 to 1010", "–", "–", "STABLE"],
        ["2", "1800", "1782 to 1818", "90.0 %", "89.0 to 91.0", "STABLE"],
    ]
    assert devices == [[str(number), "Ascend 310P3", "card 1, chip 0", "h", "1000", "990 to 1010"] for number in (1, 2)]


@pytest.mark.parametrize(
    ("efficiency", "interval", "meaning"),
    [
        (
            0.9,
            (0.89, 0.91),
            "90.0 % (89.0 to 91.0 %) of what the same devices do each alone, added up (region aggregate, batch size 8): they slow each",
        ),
        (
            0.995,
            (0.98, 1.01),
            "99.5 % (98.0 to 101.0 %) of what the same devices do each alone, added up (region aggregate, batch size 8): no loss can",
        ),
        (
            1.2,
            (1.1, 1.3),
            "each alone, added up (region aggregate, batch size 8): more than alone, so that something else changed meanwhile.",
        ),
        (
            0.9,
            None,
            "90.0 % of what the same devices do each alone, added up (region aggregate, batch size 8): too unsteady for an interval.",
        ),
    ],
)
def test_the_sentence_says_what_the_efficiency_means(efficiency, interval, meaning):
    said = aggregate_report.in_words(several([row(1, 1000.0), row(2, 1800.0, efficiency, interval)]))
    assert said.text.startswith("2 devices at once come to 1800 images per second, ")
    assert meaning in said.text
    assert said.level == ""


def test_a_device_that_was_lost_leaves_a_reason_and_the_rows_without_it_their_figures():
    found = several([*TWO, lost(4, "worker 3 was lost while 4 devices were measured: it died")], (1000.0, 1000.0, 1000.0))
    said = aggregate_report.in_words(found)
    assert said.level == "warning"
    assert said.text.endswith("; of more there is no figure: worker 3 was lost while 4 devices were measured: it died.")
    rows, _ = tables(page(found))
    assert rows[2] == ["4", "–", "–", "–", "–", "–", "worker 3 was lost while 4 devices were measured: it died"]
    assert aggregate_report.shown(sweep_with(found)).elements[2].alt.endswith("; 4 devices failed.")


def test_where_every_device_was_lost_the_sentence_says_why():
    found = several([lost(1, "it died"), lost(2, "it died")], ())
    assert aggregate_report.in_words(found).text == "Several devices at once have no figure: it died."
    assert "<figure" not in page(found)


def test_the_chart_says_the_numbers_of_the_table_and_names_its_region():
    figure = aggregate_report.shown(sweep_with(several())).elements[2]
    assert figure.alt == "2 devices at once do 90 % of what they do alone, added up. 1 device 1000; 2 devices 1800, 90.0 %."
    assert "region aggregate, mine &lt;b&gt;, batch size 8" in figure.svg
    assert ">at once, 90 %<" in figure.svg
    assert ">each alone, added up<" in figure.svg
    assert "stroke-dasharray" in figure.svg
    assert figure.svg == aggregate_report.shown(sweep_with(several())).elements[2].svg


def test_devices_that_are_simulated_say_so_first():
    found = several(kind="simulated")
    assert page(found).index("Simulated devices: what they come to at once was made by a simulator") < page(found).index("<figure")
    assert aggregate_report.shown(sweep_with(found)).elements[2].alt.startswith("Simulated: 2 devices")


@pytest.mark.parametrize("field", ["host", "device", "place", "backend"])
def test_what_hosts_say_of_themselves_is_escaped(field):
    text = page(several(devices=(1000.0, one(1000.0, **{field: "<script>"}))))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("resource", ["CPU", "GPU", "NPU"])
def test_the_caption_says_that_the_efficiency_is_of_the_arrangement(resource):
    assert "the efficiency is of this arrangement." in page(several(resource=resource))


@pytest.mark.parametrize(
    "found",
    [
        several(),
        several(kind="simulated", resource="CPU"),
        several(
            [*TWO, lost(4, "worker 3 on h (process 5) was lost while 4 devices were measured: its process or its host died")],
            resource="GPU",
        ),
        several(
            [
                lost(1, "worker 1 was lost while it loaded the model: x"),
                lost(2, "worker 1 was lost while it warmed up: gave no answer in 5 s"),
            ],
            (),
        ),
    ],
    ids=["measured", "simulated", "one lost", "all lost"],
)
def test_it_is_said_in_chinese_too(found):
    assert test_chinese.english(test_chinese.page(aggregate_report.shown(sweep_with(found)))) == []


# never mixed with figures of one device


def test_no_row_of_one_device_can_have_the_region():
    with pytest.raises(ValidationError):
        Row(batch=8, regions={"aggregate": fps(1.0)})
    with pytest.raises(ValidationError):
        Aggregate.model_validate({**several().model_dump(), "region": "compute"})


FAST = several([row(1, 1e9), row(2, 2e9, 1.0, (0.9, 1.1))], (1e9, 1e9))


def test_neither_first_screen_nor_verdict_sees_it():
    before, after = sweep_of(), sweep_with(FAST)
    assert first_screen._best(after) == first_screen._best(before)
    assert first_screen._speed(after) == first_screen._speed(before)
    assert charts.fps(after) == charts.fps(before)
    assert verdict.judge(after.series, "auto", 5.0) == verdict.judge(before.series, "auto", 5.0)
    assert after.best(after.one("candidate")) == before.best(before.one("candidate"))


def test_neither_index_nor_the_comparison_of_two_runs_sees_it(tmp_path):
    plain, both = runs.write(tmp_path / "plain" / "a"), runs.write(tmp_path / "with" / "a", sweep={"aggregate": FAST})
    carried = embedded.of(both).records[Sweep].aggregate
    assert carried.rows == FAST.rows
    assert {device.host for device in carried.devices} == {
        f"(host {number + 1})" for number in range(len({one.host for one in FAST.devices}))
    }
    assert (summaries.read(both).cells, summaries.read(both).points) == (summaries.read(plain).cells, summaries.read(plain).points)
    found = [
        compare_speed.ratio(embedded.of(plain), other, comparable.of(embedded.of(plain), other))
        for other in map(embedded.of, (plain, both))
    ]
    assert found[0] == found[1]
    assert found[0].mean == pytest.approx(1)


def many(number):
    counts = [1, 2, 4, 8, 16, 32, 64]
    return several([row(one, 1000.0 * one, 0.9 if one > 1 else None) for one in counts if one <= number], (1000.0,) * number)


def test_of_very_many_devices_the_first_are_listed():
    _, devices = tables(page(many(64)))
    assert [int(cells[0]) for cells in devices] == list(range(1, 33))
    assert "Those after the first 32 are in the record alone" in page(many(64))
    assert "in the record alone" not in page(many(32))


def test_of_very_many_devices_only_what_has_room_is_marked_and_written():
    drawn = aggregate_report.shown(sweep_with(many(64))).elements[2].svg
    assert drawn.count(">90 %<") == 4  # at 4, 8, 16 and 32 devices; the last is written beside its line
    assert drawn.count("<use") < 40
