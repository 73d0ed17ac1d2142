"""What limits the throughput, computed from the sweep's own figures, and what to try."""

import numpy as np

from helpers import formats
from helpers.elements import Sentence
from helpers.records import Data, Row, Series, Sweep

FIXED_SHARE = 0.5  # of a call at the smallest batch size; from there on it is launch overhead that limits
IDLE_SHARE = 0.75  # of the threads' time; below it they wait
FALL = 0.9  # of the best, at a larger batch size
FULL = 0.8  # of the memory


def in_words(sweep: Sweep, data: Data) -> Sentence | None:
    """Return one sentence: what limits the candidate, what to try, and whether the images could be prepared as fast.

    None where nothing was measured.
    """
    candidate = sweep.one("candidate")
    rows = [row for row in candidate.rows if sweep.region in row.regions and row.regions[sweep.region].latency_ms]
    if not rows or candidate.kind == "simulated":
        return None
    found = (
        _memory(candidate, rows, sweep)
        or _copies(rows, sweep)
        or _threads(rows, sweep)
        or _launch(rows, sweep)
        or _caches(rows, sweep)
        or _compute(rows, sweep)
    )
    return Sentence(f"{found}{_preparation(rows, sweep, data)}.")


def _fps(row: Row, sweep: Sweep) -> float:
    return row.regions[sweep.region].images_per_second


def _best(rows: list[Row], sweep: Sweep) -> Row:
    return max(rows, key=lambda row: _fps(row, sweep))


def _memory(candidate: Series, rows: list[Row], sweep: Sweep) -> str | None:
    """Return that batch sizes failed for want of memory, or that there is little left."""
    died = [row.batch for row in candidate.rows if row.error and "memory" in row.error.lower()]
    if died:
        return f"Memory limits: batch size {died[0]} did not fit; stay below it, or try a lower precision"
    peak = max((row.peak_memory_bytes or 0 for row in rows), default=0)
    total = sweep.environment["memory_bytes"]
    if peak > FULL * total:
        return f"Memory limits: {formats.size(peak)} of {formats.size(total)} were in use; try smaller batch sizes or a lower precision"
    return None


def _copies(rows: list[Row], sweep: Sweep) -> str | None:
    """Return that the copies to and from the device take longer than the execution."""
    best = _best(rows, sweep)
    computed = best.regions.get("compute")
    if not best.copies or not computed or not computed.latency_ms or best.copies.to_device_ms is None:
        return None
    copied = best.copies.to_device_ms + (best.copies.to_host_ms or 0.0)
    if copied <= computed.latency_ms.p50:
        return None
    return (
        f"Copies limit: at batch size {best.batch} they take {copied:.2f} ms and the execution {computed.latency_ms.p50:.2f} ms; "
        "try uint8 inputs that are normalised on the device, or copy one batch while another is computed"
    )


def _threads(rows: list[Row], sweep: Sweep) -> str | None:
    """Return that the threads wait for each other; a device of its own has none here."""
    threads = sweep.params["threads"] or sweep.environment["cores"]
    best = _best(rows, sweep)
    if best.cores_busy is None or best.copies or "device" in best.regions or threads == 1:
        return None
    if best.cores_busy >= IDLE_SHARE * threads:
        return None
    return (
        f"Threads limit: {threads} of them keep {best.cores_busy:.1f} cores busy at batch size {best.batch}; "
        "try fewer threads with several requests in flight (OpenVINO's throughput hint), or larger batches"
    )


def _launch(rows: list[Row], sweep: Sweep) -> str | None:
    """Return that most of a small batch's time does not grow with the batch: a line through time over batch size."""
    if len(rows) < 2:
        return None
    batches = np.array([row.batch for row in rows], float)
    times = np.array([1000 * row.batch / _fps(row, sweep) for row in rows])
    each, fixed = np.polyfit(batches, times, 1, w=1 / times)
    smallest = min(rows, key=lambda row: row.batch)
    share = fixed / (1000 * smallest.batch / _fps(smallest, sweep))
    if share < FIXED_SHARE:
        return None
    best = _best(rows, sweep)
    return (
        f"Launch overhead limits small batches: of a call about {fixed:.2g} ms do not grow with the batch, {each:.2g} ms are each image's; "
        f"use batch size {best.batch}, or try a compiled graph"
    )


def _caches(rows: list[Row], sweep: Sweep) -> str | None:
    """Return that larger batches are slower: what a layer hands to the next no longer fits the caches."""
    best, largest = _best(rows, sweep), max(rows, key=lambda row: row.batch)
    if _fps(largest, sweep) >= FALL * _fps(best, sweep):
        return None
    return (
        f"Memory traffic limits large batches: {formats.times(_fps(largest, sweep) / _fps(best, sweep))} times the best at batch size "
        f"{largest.batch}; use batch size {best.batch}"
    )


def _compute(rows: list[Row], sweep: Sweep) -> str:
    best, smallest = _best(rows, sweep), min(rows, key=lambda row: row.batch)
    gained = formats.times(_fps(best, sweep) / _fps(smallest, sweep))
    return (
        f"Compute limits: the best batch size, {best.batch}, is only {gained} times as fast as {smallest.batch}; "
        "try a lower precision (bf16, int8) or a faster device"
    )


def _preparation(rows: list[Row], sweep: Sweep, data: Data) -> str:
    """Return whether decoding and resizing would limit a pipeline from files to answers."""
    best, prepared = _fps(_best(rows, sweep), sweep), data.throughput.images_per_second
    if prepared >= best:
        return ""
    return f"; from image files on, preparation would limit: {prepared:.0f} images a second were prepared, {best:.0f} computed"
