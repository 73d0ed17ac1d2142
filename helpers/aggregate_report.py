"""What is shown of several devices measured at once: a sentence, a chart beside each alone, and the numbers behind it."""

import matplotlib
from matplotlib.figure import Figure as Canvas

from helpers import charts, formats
from helpers.elements import Figure, Group, Sentence, Table
from helpers.records import Aggregate, AtOnce, Sweep

APART = 0.05  # of the axis: what is nearer to the next number of devices leaves its own unwritten
ARRANGEMENT = {
    "CPU": "Cores of one host share its memory, caches, clock and heat, so that the efficiency is of this arrangement.",
    "GPU": "GPUs of one host share its processor and memory, so that the efficiency is of this arrangement.",
    "NPU": "NPUs of one host share its processor and memory, chips of one card its slot too, so that the efficiency is of this arrangement.",
}


def shown(sweep: Sweep) -> Group | None:
    """Return what several devices came to at once; None where they were not asked for."""
    found = sweep.aggregate
    if not found:
        return None
    return Group([_banner(found), in_words(found), _chart(found, sweep), _rows(found), _devices(found)])


def in_words(found: Aggregate) -> Sentence:
    """Return what the most devices that were measured at once come to, and what that means."""
    most = max((row for row in found.rows if row.efficiency), key=lambda row: row.devices, default=None)
    lost = next((row.error for row in found.rows if row.error), None)
    if not most:
        return Sentence(f"Several devices at once have no figure: {lost}.", "warning")
    said = (
        f"{formats.counted(most.devices, 'device')} at once come to {formats.fps(most.together)} images per second, {_efficiency(most)} of "
        f"what the same devices do each alone (region aggregate, batch size {found.batch}): {_meaning(most)}"
    )
    return Sentence(f"{said}; of more there is no figure: {lost}." if lost else f"{said}.", "warning" if lost else "")


def _banner(found: Aggregate) -> Sentence | None:
    if found.kind != "simulated":
        return None
    return Sentence("Simulated devices: what they come to at once was made by a simulator and says nothing of any hardware.", "warning")


def _meaning(row: AtOnce) -> str:
    if not row.efficiency_interval:
        return "too unsteady for an interval"
    low, high = row.efficiency_interval
    if high < 1:
        return "they hold each other up"
    return "more than alone, so that something else changed meanwhile" if low > 1 else "no loss can be told from chance"


def _chart(found: Aggregate, sweep: Sweep) -> Figure | None:
    """Return images per second by number of devices, zero-based, and what each alone would add up to."""
    rows = [row for row in found.rows if row.together]
    if not rows:
        return None
    most, ideal = rows[-1], _added_up(found)
    title = f"{formats.counted(most.devices, 'device')} at once, images per second"
    if most.efficiency:
        title = f"{formats.counted(most.devices, 'device')} at once do {100 * most.efficiency:.0f} % of what each does alone"
    title = f"Simulated: {title}" if found.kind == "simulated" else title
    with matplotlib.rc_context(charts.RC):
        canvas = Canvas(figsize=(7.5, 3.6), layout="constrained")
        axes = canvas.subplots()
        _draw(axes, rows, ideal, [row.devices for row in found.rows])
        charts.head(canvas, axes, title, f"region aggregate, {sweep.one('candidate').name}, batch size {found.batch}")
        svg = charts.svg(canvas)
    caption = (
        "Images per second of several devices at once; dashed, what the same devices do each alone, added up; at the points, the share of "
        "it. Bars are 95 % intervals. The same numbers are in the table."
    )
    return Figure(svg, f"{title}. {'; '.join(_in_words(row) for row in found.rows)}.", caption)


def _draw(axes, rows: list[AtOnce], ideal: list[float], numbers: list[int]) -> None:
    """Draw both lines, the share at each point, and the names of the lines at their ends; of the most devices there may be no figure."""
    measured, drawn = [row.together.images_per_second for row in rows], [row.devices for row in rows]
    axes.plot(range(1, len(ideal) + 1), ideal, **charts.STYLES["baseline"], markersize=4)
    axes.errorbar(drawn, measured, yerr=[_half(row) for row in rows], capsize=3, markersize=5, **charts.STYLES["candidate"])
    beside = {"textcoords": "offset points", "fontsize": 9, "annotation_clip": False}
    for row in rows[1:]:
        axes.annotate(f"{100 * row.efficiency:.0f} %", (row.devices, row.together.images_per_second), xytext=(4, -14), **beside)
    ends = (("each alone, added up", len(ideal), ideal[-1], "baseline", 5), ("at once", drawn[-1], measured[-1], "candidate", -5))
    for name, at, value, style, lift in ends:
        axes.annotate(name, (at, value), xytext=(10, lift), va="center", color=charts.STYLES[style]["color"], **beside)
    last = numbers[-1]
    written = [number for number, after in zip(numbers, [*numbers[1:], 2 * last], strict=True) if after - number > APART * last]
    axes.set_xticks(written, [str(number) for number in written])
    axes.set(xlabel="devices at once", ylabel="images per second", xlim=(0, 1.3 * last), ylim=(0, 1.1 * max(axes.get_ylim()[1], 1e-3)))


def _half(row: AtOnce) -> float:
    interval = row.together.interval_fps
    return (interval[1] - interval[0]) / 2 if interval else 0.0


def _added_up(found: Aggregate) -> list[float]:
    """Return what the first 1, 2, 3, ... devices come to, each alone."""
    alone = [device.alone.images_per_second for device in found.devices]
    return [sum(alone[:number]) for number in range(1, len(alone) + 1)]


def _rows(found: Aggregate) -> Table:
    lost = any(row.error for row in found.rows)
    rows = [
        [
            row.devices,
            formats.fps(row.together),
            formats.fps_interval(row.together),
            f"{100 * row.efficiency:.1f} %" if row.efficiency else None,
            formats.span(tuple(100 * end for end in row.efficiency_interval), 1) if row.efficiency_interval else None,
            *([row.error] if lost else []),
        ]
        for row in found.rows
    ]
    headers = ["devices at once", "images per second", "95 % interval", "efficiency", "95 % interval, %", *(["remark"] if lost else [])]
    caption = (
        f"Whole calls at batch size {found.batch}, all devices in the same {found.windows} windows of {found.window_seconds:.2f} s: region "
        "aggregate, no figure of one device and not to be compared with any. Efficiency: over what the same devices come to each alone, "
        f"measured in turns with them. {ARRANGEMENT[found.resource]}"
    )
    return Table(headers, rows, caption)


def _devices(found: Aggregate) -> Table | None:
    rows = [
        [number, one.device, one.place, one.host, formats.fps(one.alone), formats.fps_interval(one.alone)]
        for number, one in enumerate(found.devices, 1)
    ]
    if not rows:
        return None
    error = max(one.clock_error_ms for one in found.devices)
    caption = (
        f"The devices in the order in which they are counted, each measured while the others waited; in {_backends(found)}. "
        f"Their clocks were known to within {error:.1f} ms"
    )
    return Table(["number", "device", "place", "host", "images per second alone", "95 % interval"], rows, caption)


def _backends(found: Aggregate) -> str:
    return " and ".join(sorted({one.backend for one in found.devices}))


def _efficiency(row: AtOnce) -> str:
    interval = row.efficiency_interval
    return f"{100 * row.efficiency:.1f} %" + (f" ({formats.span(tuple(100 * end for end in interval), 1)} %)" if interval else "")


def _in_words(row: AtOnce) -> str:
    number = formats.counted(row.devices, "device")
    if not row.together:
        return f"{number} failed"
    return f"{number} {formats.fps(row.together)}" + (f", {100 * row.efficiency:.1f} %" if row.efficiency else "")
