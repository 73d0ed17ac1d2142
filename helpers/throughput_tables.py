"""What stands behind the FPS table: other configurations, other tools' definitions, what a point took, the referee."""

from helpers import formats
from helpers.elements import Sentence, Table
from helpers.records import Region, Row, Series, Sweep

SEVERAL = 1.05  # calls at once on the average, above what one after the other can come to


def options(sweep: Sweep) -> Table | None:
    """Return candidate, baseline and options beside each other, batch size by batch size, where there are options."""
    shown = [series for series in sweep.series if series.kind != "published"]
    if not any(series.role == "option" for series in shown):
        return None
    batches = sorted({row.batch for series in shown for row in series.rows})
    rows = [
        [series.name, _role(series, sweep), series.backend, *(_with_ratio(series, batch, sweep) for batch in batches), _remarks(series)]
        for series in shown
    ]
    baseline = sweep.one("baseline")
    caption = f"Configurations beside each other, images per second in {sweep.region} time"
    caption += f" (ratio to {baseline.name} at the same batch size)" if baseline else ""
    return Table(["configuration", "role", "what ran", *(f"batch {batch}" for batch in batches), "remark"], rows, caption)


def name(series: Series, sweep: Sweep) -> str:
    """Return a line's name, with its role where another line has the same name."""
    alike = sum(other.name == series.name for other in sweep.series)
    return f"{series.name} ({place(series, sweep)})" if alike > 1 else series.name


def place(series: Series, sweep: Sweep) -> str:
    """Return a line's place in the parameters: candidate, baseline, option 1, option 2, ..."""
    if series.role != "option":
        return series.role
    options = [other for other in sweep.series if other.role == "option"]
    return f"option {next(number for number, other in enumerate(options, 1) if other is series)}"


def in_flight(row: Row, region: Region) -> float | None:
    """Return how many calls ran at once on the average: rate times duration (Little's law); None where durations were not recorded."""
    measured = row.regions[region]
    if not measured.latency_ms or measured.latency_ms.mean is None:
        return None
    return measured.images_per_second / row.batch * measured.latency_ms.mean / 1000


def definitions(sweep: Sweep) -> Table | None:
    """Return the candidate's figures as other tools define theirs, from the same calls."""
    rows = [shown for row in sweep.one("candidate").rows if any((shown := _as_others(row))[1:])]
    headers = ["batch", "images over wall time", "1000 × batch / mean ms", "1000 × batch / median ms", "90th percentile, ms"]
    caption = (
        "The same calls as others would print them. Of whole calls, copies included: images over wall time is benchmark_app's and MLPerf "
        "Offline's figure (and trtexec's, but for the copies), the median benchmark_app's with -api sync until 2023, the 90th percentile "
        "that of MLPerf SingleStream without its early stopping. Of the execution alone: the mean is ais_bench's. Where several requests "
        "are in flight, the time of one call does not tell the rate"
    )
    return Table(headers, rows, caption) if rows else None


def used(sweep: Sweep) -> Table | None:
    """Return what each point took: to start, in memory, energy and time to warm up."""
    rows = [_used(series, row, sweep) for series in sweep.series for row in series.rows if row.warm_up]
    headers = ["configuration", "batch", "load s", "compile s", "first call ms", "warm-up calls", "cores busy", "peak memory"]
    headers += ["device memory", "energy per image"]
    caption = (
        "Where one model serves every batch size, it was loaded once, and its first call was at the smallest of them. "
        "Memory is the process's own peak, runtime, weights and rotated images included"
    )
    measured = [row for series in sweep.series for row in series.rows]
    counters = {f"{row.energy.counter}, renewed every {1000 * row.energy.interval_seconds:g} ms" for row in measured if row.energy}
    why_not = {row.no_energy for row in measured if row.no_energy}
    caption += f". Energy, less what is taken idle: {'; '.join(sorted(counters))}" if counters else ""
    caption += f". No energy: {'; '.join(sorted(why_not))}" if why_not else ""
    return Table(headers, rows, caption) if rows else None


def peace(sweep: Sweep) -> Table | None:
    """Return how steady each point was, with every reason why it is called noisy."""
    rows = [
        [
            name(series, sweep),
            row.batch,
            "stable" if row.noise.verdict == "STABLE" else row.noise.verdict,
            f"{row.noise.variation_pct:.1f} %",
            f"{row.noise.drift_pct:+.1f} %",
            _change(row.noise.sentinel_pct),
            _change(row.noise.clock_pct),
            None if row.noise.others_pct is None else f"{row.noise.others_pct:.1f} %",
            row.noise.outliers,
            "; ".join(row.noise.reasons),
        ]
        for series in sweep.series
        for row in series.rows
        if row.noise
    ]
    headers = ["configuration", "batch", "verdict", "variation", "drift", "sentinel", "clock", "others", "outliers", "reasons"]
    caption = (
        "Variation of the blocks' times; their last third against the first; the time of a fixed piece of work, and the clock, after "
        "against before; CPU time of other processes, of all cores. Outliers are counted and stay in the figures"
    )
    return Table(headers, rows, caption) if rows else None


def referee(sweep: Sweep) -> Table | Sentence | None:
    """Return what MLPerf LoadGen says of the candidate, beside what we say, or why it said nothing."""
    if sweep.referee_remark:
        return Sentence(sweep.referee_remark, "warning")
    rows = [
        [
            f"{one.scenario}, batch {one.batch}",
            f"{one.images_per_second:.1f}",
            f"{one.ours:.1f}",
            f"{one.disagreement_pct:+.2f} %",
            formats.span(one.interval_pct, 2),
            one.pairs,
            None if one.latency_p90_ms is None else f"{one.latency_p90_ms:.3f}",
        ]
        for one in sweep.referee
    ]
    headers = ["MLPerf LoadGen", "its FPS", "ours beside it", "disagreement", "95 % interval, %", "pairs", "its p90, ms"]
    return Table(headers, rows, "An independent referee drives the same loaded model, taking turns with our loop") if rows else None


def _role(series: Series, sweep: Sweep) -> str:
    return place(series, sweep) + (f", {series.kind}" if series.kind != "measured" else "")


def _with_ratio(series: Series, batch: int, sweep: Sweep) -> str | None:
    """Return a figure with its ratio; of another region than the headline's it is shown without one."""
    row = _at(series, batch)
    measured, region = formats.shown(row, sweep.region) if row else (None, sweep.region)
    if not measured:
        return None
    if region != sweep.region:
        return f"{formats.fps(measured)} in {region} time"
    baseline = sweep.one("baseline")
    theirs = _at(baseline, batch) if baseline and baseline is not series else None
    if not theirs or region not in theirs.regions:
        return formats.fps(measured)
    return f"{formats.fps(measured)} ({formats.times(measured.images_per_second / theirs.regions[region].images_per_second)})"


def _at(series: Series, batch: int) -> Row | None:
    return next((row for row in series.rows if row.batch == batch), None)


def _remarks(series: Series) -> str:
    """Return what is to be known of a line's figures, or why it has none, each with its batch sizes."""
    said: dict[str, list[str]] = {}
    for row in series.rows:
        if row.error or row.remark:
            said.setdefault(row.error or row.remark, []).append(str(row.batch))
    return "; ".join(f"batch {', '.join(batches)}: {remark}" for remark, batches in said.items())


def _as_others(row: Row) -> list[object]:
    """Return a row's batch size and its figures by other tools' definitions, None where what they are of was not measured."""
    executed = row.regions.get("compute")
    region = "device" if "device" in row.regions else "compute"
    whole = row.regions.get(region) if region == "device" or not row.copies else None
    latency = whole.latency_ms if whole else None
    several = bool(whole) and (in_flight(row, region) or 1.0) > SEVERAL
    one_by_one = latency if not several else None
    mean = executed.latency_ms.mean if executed and executed.latency_ms else None
    return [
        row.batch,
        formats.fps(whole),
        f"{1000 * row.batch / mean:.1f}" if mean and not several else None,
        f"{1000 * row.batch / one_by_one.p50:.1f}" if one_by_one else None,
        f"{one_by_one.p90:.2f}" if one_by_one and one_by_one.p90 and row.batch == 1 else None,
    ]


def _used(series: Series, row: Row, sweep: Sweep) -> list[object]:
    return [
        name(series, sweep),
        row.batch,
        None if row.load_seconds is None else f"{row.load_seconds:.2f}",
        None if row.compile_seconds is None else f"{row.compile_seconds:.2f}",
        None if row.first_call_ms is None else f"{row.first_call_ms:.1f}",
        f"{row.warm_up.calls}{'' if row.warm_up.settled else ', unsettled'}",
        None if row.cores_busy is None else f"{row.cores_busy:.2f}",
        formats.size(row.peak_memory_bytes) or "not told",
        formats.size(row.peak_device_memory_bytes),
        f"{row.energy.joules_per_image:.3g} J" if row.energy else None,
    ]


def _change(value: float | None) -> str | None:
    return None if value is None else f"{value:+.1f} %"
