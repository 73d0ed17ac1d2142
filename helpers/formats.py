"""Numbers and names as text, the same in charts, tables and sentences."""

from helpers.records import Interval, Measured, Region, Row, Series


def times(ratio: float) -> str:
    """Return a ratio with two decimals, three below 1."""
    return f"{ratio:.2f}" if ratio >= 1 else f"{ratio:.3f}"


def size(number: int | None) -> str | None:
    """Return bytes in decimal units."""
    if number is None:
        return None
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number / 1e3:.1f} kB"


def span(interval: Interval | None, digits: int) -> str | None:
    """Return `low to high`."""
    return f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}" if interval else None


def fps(measured: Measured | None) -> str | None:
    """Return images per second with as many decimals as the interval supports."""
    return f"{measured.images_per_second:.{_digits(measured)}f}" if measured else None


def fps_interval(measured: Measured | None) -> str | None:
    """Return the interval of images per second, as precisely as `fps`."""
    return span(measured.interval_fps, _digits(measured)) if measured else None


def shown(row: Row, region: Region) -> tuple[Measured | None, Region]:
    """Return a row's figure and its region: that of the headline, or the one that a published series has instead."""
    own = region if region in row.regions else next(iter(row.regions), region)
    return row.regions.get(own), own


def label(series: Series, region: Region) -> str:
    """Return a line's name, with its region where that is not the headline's."""
    own = next((shown(row, region)[1] for row in series.rows if row.regions), region)
    return series.name if own == region else f"{series.name} ({own} time)"


def _digits(measured: Measured) -> int:
    """Return how many decimals the interval supports: the last one shown is within its half-width."""
    if not measured.interval_fps:
        return 1
    half = (measured.interval_fps[1] - measured.interval_fps[0]) / 2
    return 0 if half >= 1 else 1 if half >= 0.1 else 2
