"""What limits the throughput, computed from the sweep's own figures, and what to try."""

from helpers import formats, throughput_tables
from helpers.elements import Sentence
from helpers.records import Data, Row, Series, Sweep

IDLE_SHARE = 0.75  # of the threads' time; below it they wait
OTHERS_PCT = 5  # of the cores; above it idle threads may be those that other processes pushed aside
FIXED_SHARE = 0.5  # of a call at the smallest batch size
FALL = 0.9  # of the best, at the largest batch size
GROWTH = 1.05  # from one batch size to the next
FULL = 0.8  # of the memory
NO_MEMORY = ("out of memory", "out of device memory", "allocate", "bad_alloc", "memoryerror")  # what runtimes say when it is certain
PERHAPS_NO_MEMORY = "want of memory"  # what is said of a process that died
LOWER = dict.fromkeys(("bf16", "fp16", "mixed"), "int8") | {"fp32": "a lower precision (bf16, int8)"}


def in_words(sweep: Sweep, data: Data) -> Sentence | None:
    """Return one sentence: what limits the candidate, what to try, and whether one process prepares images as fast.

    None where nothing was measured, or a simulator made the figures.
    """
    candidate = sweep.one("candidate")
    rows = sorted((row for row in candidate.rows if sweep.region in row.regions), key=lambda row: row.batch)
    if not rows or candidate.kind == "simulated":
        return None
    found = (
        _memory(candidate, rows, sweep)
        or _copies(rows, sweep)
        or _threads(rows, sweep)
        or _alone(rows)
        or _fixed_costs(rows, sweep)
        or _large_batches(rows, sweep)
        or _compute(candidate, rows, sweep)
    )
    return Sentence(f"{found}{_preparation(candidate, rows, sweep, data)}{_caution(rows)}.")


def _fps(row: Row, sweep: Sweep) -> float:
    return row.regions[sweep.region].images_per_second


def _best(rows: list[Row], sweep: Sweep) -> Row:
    return max(rows, key=lambda row: _fps(row, sweep))


def _grows(rows: list[Row], sweep: Sweep) -> bool:
    """Return whether the largest batch size is the best and still gained: larger ones may gain more."""
    return len(rows) < 2 or _fps(rows[-1], sweep) >= GROWTH * max(_fps(row, sweep) for row in rows[:-1])


def _memory(candidate: Series, rows: list[Row], sweep: Sweep) -> str | None:
    """Return that the next batch size failed for want of memory, or that there is little left, where it could have been faster."""
    if not _grows(rows, sweep):
        return None
    largest, total = rows[-1], sweep.environment["memory_bytes"]
    tries = " or ".join(filter(None, [LOWER.get(candidate.precision), "more memory"]))
    for row in sorted((row for row in candidate.rows if row.error and row.batch > largest.batch), key=lambda row: row.batch):
        if any(said in row.error.lower() for said in NO_MEMORY):
            return f"Memory limits: batch size {row.batch} did not fit, and {largest.batch} is the fastest of those that did; try {tries}"
        if PERHAPS_NO_MEMORY in row.error:
            return (
                f"Memory limits, most probably: at batch size {row.batch} the process died, and {largest.batch} is the fastest of those "
                f"that ran; try {tries}"
            )
    if (largest.peak_memory_bytes or 0) > FULL * total:
        taken = f"{formats.size(largest.peak_memory_bytes)} of {formats.size(total)}"
        return f"Memory limits: batch size {largest.batch}, the largest and the fastest, takes {taken}; try {tries}"
    return None


def _copies(rows: list[Row], sweep: Sweep) -> str | None:
    """Return that the copies to and from the device take longer than the execution."""
    best = _best(rows, sweep)
    if not best.copies or best.copies.to_device_ms is None or "compute" not in best.regions:
        return None
    copied = best.copies.to_device_ms + (best.copies.to_host_ms or 0.0)
    computed = 1000 * best.batch / best.regions["compute"].images_per_second
    if copied <= computed:
        return None
    return (
        f"Copies limit whole calls: at batch size {best.batch} they take {copied:.2f} ms and the execution {computed:.2f} ms; "
        "try to copy one batch while another is computed, or uint8 inputs that are normalised on the device where they are not yet"
    )


def _threads(rows: list[Row], sweep: Sweep) -> str | None:
    """Return that the threads wait for each other."""
    best, threads = _best(rows, sweep), _threads_used(sweep)
    if not _on_cores(best) or threads == 1 or best.cores_busy >= IDLE_SHARE * threads:
        return None
    if best.noise and (best.noise.others_pct or 0.0) > OTHERS_PCT:
        return None
    several = (throughput_tables.in_flight(best, sweep.region) or 1.0) > throughput_tables.SEVERAL
    tries = "more requests in flight" if several else "several requests in flight (OpenVINO's throughput hint)"
    larger = " or larger batches" if best is rows[-1] else ""
    return f"Threads limit: {threads} of them keep {best.cores_busy:.1f} cores busy at batch size {best.batch}; try {tries}{larger}"


def _on_cores(row: Row) -> bool:
    """Return whether the processor's cores did the work, and were watched: not those of a device, nor of a recording."""
    return row.cores_busy is not None and not row.copies and "device" not in row.regions


def _threads_used(sweep: Sweep) -> int:
    return sweep.params["threads"] or sweep.environment["cores"]


def _alone(rows: list[Row]) -> str | None:
    return "One batch size alone does not show what limits: try a second in batch_sizes" if len(rows) == 1 else None


def _fixed_costs(rows: list[Row], sweep: Sweep) -> str | None:
    """Return that most of a small call's time does not grow with the batch: a line through time over batch size.

    It goes through the smallest and the best batch size alone; those between would bend it where the time is no line.
    """
    best, smallest = _best(rows, sweep), rows[0]
    images = best.batch / smallest.batch
    longer = images * _fps(smallest, sweep) / _fps(best, sweep)
    if best is smallest or (images - longer) / (images - 1) < FIXED_SHARE:
        return None
    return (
        f"Fixed costs limit small batches: {images:.3g} times the images take only {formats.times(longer)} times as long, so that most of "
        f"a call at batch size {smallest.batch} does not grow with the batch (launching operations, reading the weights, a device that is "
        f"not full); use batch size {best.batch}{', or try larger ones' if _grows(rows, sweep) else ''}"
    )


def _large_batches(rows: list[Row], sweep: Sweep) -> str | None:
    """Return that larger batches are slower."""
    best, largest = _best(rows, sweep), rows[-1]
    if _fps(largest, sweep) >= FALL * _fps(best, sweep):
        return None
    return (
        f"Large batches are slower: {largest.batch} reaches {formats.times(_fps(largest, sweep) / _fps(best, sweep))} times the speed of "
        f"{best.batch}, most often because what one layer hands to the next no longer fits the caches; use batch size {best.batch}"
    )


def _compute(candidate: Series, rows: list[Row], sweep: Sweep) -> str:
    """Return that the time goes with the number of images, whatever the batch size."""
    best, smallest = _best(rows, sweep), rows[0]
    shown = f"no batch size is faster than {smallest.batch}"
    if best is not smallest:
        gained = formats.times(_fps(best, sweep) / _fps(smallest, sweep))
        shown = f"the best batch size, {best.batch}, is only {gained} times as fast as {smallest.batch}"
    threads, cores = _threads_used(sweep), sweep.environment["cores"]
    tries = [
        "larger batches" if _grows(rows, sweep) else "",
        f"more threads (now {threads} on {cores} cores)" if _on_cores(best) and threads < cores else "",
        LOWER.get(candidate.precision, ""),
        "a faster device",
    ]
    return f"Compute limits: {shown}; try {', or '.join(filter(None, tries))}"


def _preparation(candidate: Series, rows: list[Row], sweep: Sweep, data: Data) -> str:
    """Return whether decoding and resizing would hold up a pipeline from files to answers, where one machine did both."""
    best, prepared = _fps(_best(rows, sweep), sweep), data.throughput.images_per_second
    same = all(data.environment[fact] == sweep.environment[fact] for fact in ("cpu", "cores"))
    here = candidate.kind == "measured" and same and len({unit.host for unit in data.units}) < 2
    if not here or prepared >= best:
        return ""
    computed = formats.fps(_best(rows, sweep).regions[sweep.region])
    who = formats.counted(len({unit.place for unit in data.units}), "worker") if data.units else "one process"
    return f"; from image files on, preparation would limit: {who} prepared {prepared:.1f} images a second, and {computed} were computed"


def _caution(rows: list[Row]) -> str:
    """Return which figures vary too much to be relied on."""
    unstable = [str(row.batch) for row in rows if row.noise and row.noise.verdict == "UNSTABLE"]
    return f"; this may change in a quieter run: UNSTABLE at batch size {', '.join(unstable)}" if unstable else ""
