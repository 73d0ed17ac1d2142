"""The stated time of one synchronous execute, after the published Conformer-base table of ais_infer on 310P3."""

import math
import os
import time

import numpy as np

TABLE_MS = {1: 7.02, 4: 19.21, 8: 31.04, 16: 68.99, 32: 144.84, 64: 307.69}
JITTER, PERIOD = 0.003, 20  # the jitter's mean over any 20 calls in a row is zero
COPY_MS, COPY_BYTES_PER_MS = 0.02, 4e6


def scale() -> float:
    """Return the factor on every stated time (ASCEND_SIM_SCALE)."""
    return float(os.environ.get("ASCEND_SIM_SCALE") or 1)


def execute_ms(batch: int, call: int) -> float:
    """Return the milliseconds of the `call`-th execute: linear between the table's batches, proportional beyond."""
    largest = max(TABLE_MS)
    stated = float(np.interp(batch, list(TABLE_MS), list(TABLE_MS.values()))) * max(1, batch / largest)
    return stated * scale() * (1 + JITTER * math.sin(2 * math.pi * 7 * call / PERIOD))


def copy_ms(size: int) -> float:
    """Return the milliseconds of copying `size` bytes between host and device."""
    return (COPY_MS + size / COPY_BYTES_PER_MS) * scale()


def last_until(start: float, milliseconds: float) -> None:
    """Sleep until `milliseconds` have passed since the perf_counter value `start`."""
    while (left := start + milliseconds / 1000 - time.perf_counter()) > 0:
        time.sleep(left)
