"""The arithmetic of several devices measured at once: their clocks, what they did in a common window, how much of each alone that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers import timing
from helpers.records import Interval, Measured


class Apart(Exception):
    """Devices that did not all run from before a window's begin to after its end; the argument is the place of one that did not."""


@dataclass(frozen=True)
class Clock:
    """How many seconds a device's clock is ahead of ours, give or take `error`."""

    offset: float
    error: float


@dataclass(frozen=True)
class Ran:
    """What one device did, by its own clock: `marks` float64 [B + 1], seconds, are the first block's begin and each block's end."""

    marks: np.ndarray
    images: int  # of a block


def clock(pings: Sequence[tuple[float, float, float]]) -> Clock:
    """Return a device's clock from (sent, its time, received): of the shortest round trip, half of which is the error's bound.

    Cristian, Probabilistic clock synchronization, Distributed Computing 3 (1989), section 3.
    """
    sent, theirs, received = min(pings, key=lambda ping: ping[2] - ping[0])
    return Clock(theirs - (sent + received) / 2, (received - sent) / 2)


def rates(ran: Sequence[Ran], clocks: Sequence[Clock], begin: float, end: float, pieces: int) -> np.ndarray:
    """Return images per second of all devices together, float64 [pieces], in equal pieces of a window; `begin`, `end` by our clock.

    A block that crosses an edge counts on either side with the share of its time that lies there. Where blocks come at a steady rate
    and the edges were set before, the expected count of a piece is that rate times its length, so that nothing is lost or won at the
    edges. Apart when one began later or ended earlier than the window, by its clock's error at worst.
    """
    for place, (one, its) in enumerate(zip(ran, clocks, strict=True)):
        if one.marks[0] - its.offset + its.error > begin or one.marks[-1] - its.offset - its.error < end:
            raise Apart(place)
    edges = np.linspace(begin, end, pieces + 1)
    done = sum(
        np.interp(edges + its.offset, one.marks, one.images * np.arange(len(one.marks))) for one, its in zip(ran, clocks, strict=True)
    )
    return np.diff(done) / np.diff(edges)


def measured(found: np.ndarray) -> Measured:
    """Return the mean of images per second, float64 [windows, pieces], with its 95 % interval, None where they vary too much for one."""
    mean, half = float(found.mean()), timing.half_width(found.ravel(), found.mean(), _starts(found))
    interval = (mean * (1 - half), mean * (1 + half)) if half < 1 else None
    return Measured(images_per_second=mean, interval_fps=interval, latency_ms=None, blocks=found.size, calls=None)


def efficiency(together: np.ndarray, alone: np.ndarray) -> tuple[float, Interval | None]:
    """Return the ratio of devices together to the sum of each alone, float64 [windows, pieces] each, and its 95 % interval.

    The interval is that of `timing.ratio_interval`, which has the source, of rates instead of times.
    """
    ratio = float(together.mean() / alone.mean())
    half = timing.half_width((together / together.mean() - alone / alone.mean()).ravel(), 1.0, _starts(together))
    return ratio, (ratio * math.exp(-half), ratio * math.exp(half)) if half < 1 else None


def _starts(found: np.ndarray) -> range:
    """Return where each window begins among all pieces: what is independent are windows, with others' turns between them."""
    return range(0, found.size, found.shape[1])
