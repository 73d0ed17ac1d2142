"""The chart of several devices measured at once, beside what each does alone."""

import matplotlib
from matplotlib.figure import Figure as Canvas

from helpers import charts, formats
from helpers.elements import Figure
from helpers.records import Aggregate, AtOnce, Sweep

APART = 0.05  # of the axis: what is nearer to the next number of devices leaves its own unwritten


def chart(found: Aggregate, sweep: Sweep) -> Figure | None:
    """Return images per second by number of devices, zero-based, and what each alone would add up to."""
    rows = [row for row in found.rows if row.together]
    if not rows:
        return None
    most, ideal = rows[-1], _added_up(found)
    title = f"{formats.counted(most.devices, 'device')} at once, images per second"
    if most.efficiency:
        title = f"{formats.counted(most.devices, 'device')} at once do {100 * most.efficiency:.0f} % of what they do alone, added up"
    title = f"Simulated: {title}" if found.kind == "simulated" else title
    with matplotlib.rc_context(charts.RC):
        canvas = Canvas(figsize=(7.5, 3.6), layout="constrained")
        axes = canvas.subplots()
        _draw(axes, rows, ideal, [row.devices for row in found.rows])
        charts.head(canvas, axes, title, f"region aggregate, {sweep.one('candidate').name}, batch size {found.batch}")
        svg = charts.svg(canvas)
    caption = (
        "Images per second of several devices at once; dashed, what the same devices do each alone, added up; at the points, the share of "
        "it. Bars are 95 % intervals; hollow points were NOISY or UNSTABLE. The same numbers are in the table."
    )
    return Figure(svg, f"{title}. {'; '.join(_in_words(row) for row in found.rows)}.", caption)


def _draw(axes, rows: list[AtOnce], ideal: list[float], numbers: list[int]) -> None:
    """Draw both lines over the numbers of devices, of the most of which there may be no figure."""
    points = [(row.devices, row.together.images_per_second) for row in rows]
    last = numbers[-1]
    written = [number for number, after in zip(numbers, [*numbers[1:], 2 * last], strict=True) if after - number > APART * last]
    marked = [number - 1 for number in written if number <= len(ideal)]
    axes.plot(range(1, len(ideal) + 1), ideal, **charts.STYLES["baseline"], markersize=4, markevery=marked)
    axes.errorbar(*zip(*points, strict=True), yerr=[_half(row) for row in rows], capsize=3, markersize=5, **charts.STYLES["candidate"])
    loud = [point for point, row in zip(points, rows, strict=True) if row.noise and row.noise.verdict != "STABLE"]
    if loud:
        hollow = {"color": charts.STYLES["candidate"]["color"], "markerfacecolor": "white", "zorder": 3}
        axes.plot(*zip(*loud, strict=True), linestyle="", marker="o", markersize=5, **hollow)
    _name(axes, [row for row in rows if row.devices in written or row is rows[-1]], (len(ideal), ideal[-1]))
    axes.set_xticks(written, [str(number) for number in written])
    axes.set(xlabel="devices at once", ylabel="images per second", xlim=(0, 1.3 * last), ylim=(0, 1.1 * max(axes.get_ylim()[1], 1e-3)))


def _name(axes, rows: list[AtOnce], ideal_end: tuple[int, float]) -> None:
    """Write each line's name beside its end, and at the numbers of devices of rows the share of what they do alone."""
    points = [(row.devices, row.together.images_per_second) for row in rows]
    shares = [f"{100 * row.efficiency:.0f} %" if row.efficiency else "" for row in rows]
    beside = {"textcoords": "offset points", "fontsize": 9, "annotation_clip": False}
    for share, point in zip(shares[:-1], points[:-1], strict=True):
        axes.annotate(share, point, xytext=(4, -14), **beside)
    ends = (
        ("each alone, added up", ideal_end, "baseline", 5),
        (", ".join(filter(None, ["at once", shares[-1]])), points[-1], "candidate", -5),
    )
    for name, at, style, lift in ends:
        axes.annotate(name, at, xytext=(10, lift), va="center", color=charts.STYLES[style]["color"], **beside)


def _half(row: AtOnce) -> float:
    interval = row.together.interval_fps
    return (interval[1] - interval[0]) / 2 if interval else 0.0


def _added_up(found: Aggregate) -> list[float]:
    """Return what the first 1, 2, 3, ... devices come to, each alone."""
    alone = [device.alone.images_per_second for device in found.devices]
    return [sum(alone[:number]) for number in range(1, len(alone) + 1)]


def _in_words(row: AtOnce) -> str:
    number = formats.counted(row.devices, "device")
    if not row.together:
        return f"{number} failed"
    return f"{number} {formats.fps(row.together)}" + (f", {100 * row.efficiency:.1f} %" if row.efficiency else "")
