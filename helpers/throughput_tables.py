"""What stands behind the FPS table: other configurations, other tools' definitions, what a point took, the referee."""

from helpers import formats
from helpers.elements import Table
from helpers.records import Row, Series, Sweep


def options(sweep: Sweep) -> Table | None:
    """Return every line that was measured here, batch size by batch size, where there are more than candidate and baseline."""
    measured = [series for series in sweep.series if series.kind != "published"]
    if not any(series.role == "option" for series in measured):
        return None
    batches = sorted({row.batch for series in measured for row in series.rows})
    rows = [[series.name, series.role, *(_with_ratio(series, batch, sweep) for batch in batches)] for series in measured]
    caption = f"Configurations measured side by side, images per second in {sweep.region} time"
    caption += " (ratio to the baseline at the same batch size)" if sweep.one("baseline") else ""
    return Table(["configuration", "role", *(f"batch {batch}" for batch in batches)], rows, caption)


def definitions(sweep: Sweep) -> Table | None:
    """Return the candidate's figures as other tools define theirs, from the same calls."""
    rows = []
    for row in sweep.one("candidate").rows:
        ours = row.regions.get(sweep.region)
        executed = row.regions.get("compute", ours)
        if not ours or not ours.latency_ms or not executed.latency_ms or executed.latency_ms.mean is None:
            continue
        single, several = executed.latency_ms, _in_flight(row, sweep) > 1.05
        rows.append(
            [
                row.batch,
                formats.fps(ours),
                None if several else f"{1000 * row.batch / single.mean:.1f}",
                None if several else f"{1000 * row.batch / single.p50:.1f}",
                f"{ours.latency_ms.p90:.2f}" if row.batch == 1 and ours.latency_ms.p90 and not several else None,
            ]
        )
    headers = ["batch", "images over wall time", "1000 × batch / mean ms", "1000 × batch / median ms", "90th percentile, ms"]
    caption = (
        "The same calls as others would print them, left to right: ours, benchmark_app, MLPerf Offline and trtexec; ais_bench (execution "
        "alone); benchmark_app -api sync until 2023; MLPerf SingleStream, without its early stopping. With several requests in flight "
        "a call's own time says nothing of the rate"
    )
    return Table(headers, rows, caption) if rows else None


def used(sweep: Sweep) -> Table | None:
    """Return what each point took: to start, in memory, energy and time to warm up."""
    rows = [_used(series, row) for series in sweep.series for row in series.rows if row.warm_up]
    headers = ["configuration", "batch", "load s", "compile s", "first call ms", "warm-up calls", "cores busy", "peak memory"]
    headers += ["device memory", "energy per image"]
    counter = next((row.energy for series in sweep.series for row in series.rows if row.energy), None)
    caption = "Memory is the process's own peak, runtime, weights and rotated images included"
    why_not = {row.no_energy for series in sweep.series for row in series.rows if row.no_energy}
    caption += f". No energy: {'; '.join(sorted(why_not))}" if why_not else ""
    if counter:
        caption += (
            f". Energy: {counter.counter}, renewed every {1000 * counter.interval_seconds:g} ms, less the {counter.idle_w:.1f} W taken idle"
        )
    return Table(headers, rows, caption) if rows else None


def peace(sweep: Sweep) -> Table | None:
    """Return how steady each point was, with every reason why it is called noisy."""
    rows = [
        [
            series.name,
            row.batch,
            "stable" if row.noise.verdict == "STABLE" else row.noise.verdict,
            f"{row.noise.variation_pct:.1f} %",
            f"{row.noise.drift_pct:+.1f} %",
            _pct(row.noise.sentinel_pct),
            _pct(row.noise.clock_pct),
            _pct(row.noise.others_pct),
            row.noise.outliers,
            "; ".join(row.noise.reasons),
        ]
        for series in sweep.series
        for row in series.rows
        if row.noise
    ]
    headers = ["configuration", "batch", "verdict", "variation", "drift", "sentinel", "clock", "others", "outliers", "reasons"]
    caption = (
        "Variation of the blocks; their last third against the first; a fixed piece of work, and the clock, after against before; CPU time "
        "of other processes, of all cores. Outliers are counted and stay in the figures"
    )
    return Table(headers, rows, caption) if rows else None


def referee(sweep: Sweep) -> Table | None:
    """Return what MLPerf LoadGen says of the candidate, beside what we say."""
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


def _with_ratio(series: Series, batch: int, sweep: Sweep) -> str | None:
    row = next((row for row in series.rows if row.batch == batch), None)
    figure = formats.fps(row.regions.get(sweep.region)) if row else None
    baseline = sweep.one("baseline")
    theirs = next((row for row in baseline.rows if row.batch == batch), None) if baseline and baseline is not series else None
    if not figure or not theirs or sweep.region not in theirs.regions:
        return figure or ("failed" if row and row.error else None)
    ratio = row.regions[sweep.region].images_per_second / theirs.regions[sweep.region].images_per_second
    return f"{figure} ({formats.times(ratio)})"


def _in_flight(row: Row, sweep: Sweep) -> float:
    """Return how many calls ran at once on the average: rate times duration (Little's law)."""
    measured = row.regions[sweep.region]
    return measured.images_per_second / row.batch * measured.latency_ms.mean / 1000


def _used(series: Series, row: Row) -> list[object]:
    return [
        series.name,
        row.batch,
        None if row.load_seconds is None else f"{row.load_seconds:.2f}",
        None if row.compile_seconds is None else f"{row.compile_seconds:.2f}",
        None if row.first_call_ms is None else f"{row.first_call_ms:.1f}",
        f"{row.warm_up.calls}{'' if row.warm_up.settled else ', unsettled'}",
        None if row.cores_busy is None else f"{row.cores_busy:.2f}",
        formats.size(row.peak_memory_bytes) or "not told",
        formats.size(row.peak_device_memory_bytes),
        f"{row.energy.joules_per_image:.3g} J" if row.energy else "no counter",
    ]


def _pct(value: float | None) -> str | None:
    return None if value is None else f"{value:+.1f} %"
