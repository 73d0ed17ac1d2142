"""Numbers and names as text, the same in charts, tables and sentences."""

import math

from helpers.records import Interval, Measured, Region, Result, Row, Series, readable


def times(ratio: float) -> str:
    """Return a ratio with two decimals, three below 1."""
    return f"{ratio:.2f}" if ratio >= 1 else f"{ratio:.3f}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number and what it counts: 1 image, 2,000 images, 3 copies."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def visible(text: str) -> str:
    """Return a text of others on one line: control characters, direction marks and bytes that are no text are written as escapes."""
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode() for character in readable(text))


def points(number: float) -> str:
    """Return percentage points: 1 point, 0.5 points."""
    return f"{number:g} point{'' if number == 1 else 's'}"


def size(number: int | None) -> str | None:
    """Return bytes in decimal units."""
    if number is None:
        return None
    factor, unit = next((pair for pair in ((1e9, "GB"), (1e6, "MB")) if number >= pair[0] / 10), (1e3, "kB"))
    return f"{number / factor:.1f} {unit}"


def span(interval: Interval | None, digits: int) -> str | None:
    """Return `low to high`."""
    return f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}" if interval else None


def fps(measured: Measured | None) -> str | None:
    """Return images per second with the digits that the interval supports: two of its half-width."""
    return _rounded(measured.images_per_second, _digits(measured)) if measured else None


def fps_interval(measured: Measured | None) -> str | None:
    """Return the interval of images per second, as precisely as `fps`."""
    if not measured or not measured.interval_fps:
        return None
    return " to ".join(_rounded(end, _digits(measured)) for end in measured.interval_fps)


def shown(row: Row, region: Region) -> tuple[Measured | None, Region]:
    """Return a row's figure and its region: that of the headline, or the one that a published series has instead."""
    own = region if region in row.regions else next(iter(row.regions), region)
    return row.regions.get(own), own


def label(series: Series, region: Region) -> str:
    """Return a line's name, with its region where that is not the headline's."""
    own = next((shown(row, region)[1] for row in series.rows if row.regions), region)
    return series.name if own == region else f"{series.name} ({own} time)"


def place(result: Result) -> str:
    """Return what a configuration is called beside others: candidate, option 1, run demo."""
    return f"run {result.imported}" if result.imported else result.stage.replace("_", " ")


def called(result: Result) -> str:
    """Return what a configuration is called, and whether a simulator answered for it."""
    return place(result) + (" (simulated)" if result.simulated else "")


def _digits(measured: Measured) -> int:
    """Return the decimal place to round to; -1 is to tens."""
    if not measured.interval_fps:
        return 1
    half = (measured.interval_fps[1] - measured.interval_fps[0]) / 2
    return 1 - math.floor(math.log10(half)) if half > 0 else 1


def _rounded(number: float, digits: int) -> str:
    return f"{round(number, digits):.{max(digits, 0)}f}"
