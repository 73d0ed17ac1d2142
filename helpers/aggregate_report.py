"""What is shown of several devices measured at once: a sentence, a chart beside each alone, and the numbers behind it."""

from helpers import aggregate_charts, formats
from helpers.elements import Group, Sentence, Table
from helpers.records import Aggregate, AtOnce, Sweep

SHOWN = 32  # devices; records have all
ARRANGEMENT = {
    "CPU": "Cores of one host share its memory, caches, clock and heat, so that the efficiency is of this arrangement.",
    "GPU": "GPUs of one host share its processor and memory, so that the efficiency is of this arrangement.",
    "NPU": "NPUs of one host share its processor and memory, chips of one card its slot, so that the efficiency is of this arrangement.",
}


def shown(sweep: Sweep) -> Group | None:
    """Return what several devices came to at once; None where they were not asked for."""
    found = sweep.aggregate
    if not found:
        return None
    return Group([_banner(found), in_words(found), aggregate_charts.chart(found, sweep), _rows(found), _devices(found)])


def in_words(found: Aggregate) -> Sentence:
    """Return what the most devices that were measured at once come to, and what that means."""
    most = max((row for row in found.rows if row.efficiency), key=lambda row: row.devices, default=None)
    lost = next((row.error for row in found.rows if row.error), None)
    if not most:
        return Sentence(f"Several devices at once have no figure: {lost}.", "warning")
    said = (
        f"{formats.counted(most.devices, 'device')} at once come to {formats.fps(most.together)} images per second, {_efficiency(most)} of "
        f"what the same devices do each alone, added up (region aggregate, batch size {found.batch}): {_meaning(most)}"
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
        return "they slow each other down"
    return "more than alone, so that something else changed meanwhile" if low > 1 else "no loss can be told from chance"


def _rows(found: Aggregate) -> Table:
    lost = any(row.error for row in found.rows)
    rows = [
        [
            row.devices,
            formats.fps(row.together),
            formats.fps_interval(row.together),
            f"{100 * row.efficiency:.1f} %" if row.efficiency else None,
            formats.span(tuple(100 * end for end in row.efficiency_interval), 1) if row.efficiency_interval else None,
            row.noise.verdict if row.noise else None,
            *([row.error] if lost else []),
        ]
        for row in found.rows
    ]
    headers = [
        "devices at once",
        "images per second",
        "95 % interval",
        "efficiency",
        "95 % interval, %",
        "noise",
        *(["remark"] if lost else []),
    ]
    caption = (
        f"Whole calls at batch size {found.batch}, all devices in the same {found.windows} windows of {found.window_seconds:.2f} s: region "
        "aggregate, no figure of one device and not to be compared with any. Efficiency: over what the same devices come to each alone, "
        f"measured in turns with them. {ARRANGEMENT[found.resource]}"
    )
    return Table(headers, rows, caption)


def _devices(found: Aggregate) -> Table | None:
    rows = [
        [number, one.device, one.place, one.host, formats.fps(one.alone), formats.fps_interval(one.alone)]
        for number, one in enumerate(found.devices[:SHOWN], 1)
    ]
    if not rows:
        return None
    error = max(one.clock_error_ms for one in found.devices)
    more = f". Those after the first {SHOWN} are in the record alone" if len(found.devices) > SHOWN else ""
    caption = (
        f"The devices in the order in which they are counted, each measured while the others waited; in {_backends(found)}. "
        f"Their clocks were known to within {error:.1f} ms{more}"
    )
    return Table(["number", "device", "place", "host name", "images per second alone", "95 % interval"], rows, caption)


def _backends(found: Aggregate) -> str:
    return " and ".join(sorted({one.backend for one in found.devices}))


def _efficiency(row: AtOnce) -> str:
    interval = row.efficiency_interval
    return f"{100 * row.efficiency:.1f} %" + (f" ({formats.span(tuple(100 * end for end in interval), 1)} %)" if interval else "")
