"""The tables of notebooks and report: the numbers behind every chart and sentence."""

from helpers import formats, noise
from helpers.elements import Group, Sentence, Table
from helpers.records import Check, Ratio, Region, Row, Series, Stage, Sweep


def fps(sweep: Sweep) -> Group:
    """Return the numbers of the chart: the candidate's rows with their ratios, then every other line."""
    baseline, ratios = sweep.one("baseline"), {ratio.batch: ratio for ratio in sweep.ratios}
    rows = [_fps_row(row, ratios.get(row.batch), baseline, sweep) for row in sweep.one("candidate").rows]
    headers = ["batch", "FPS", "95 % interval", "p50 ms", "p90 ms", "baseline FPS", "ratio", "95 % interval", "verdict", "noise", "remark"]
    caption = f"{sweep.one('candidate').name} on {sweep.one('candidate').device}, {sweep.region} time"
    if baseline:
        caption += f", against {baseline.name} ({baseline.kind}; device {baseline.device})"
    if baseline and baseline.kind == "published":
        caption += "; the uncertainty of the baseline is unknown"
    return Group([Table(headers, rows, caption), _summary(sweep), _regions(sweep), _telemetry(sweep), _published(sweep)])


def _regions(sweep: Sweep) -> Table | None:
    """Return the candidate's figures in every region that was measured or recorded, with the copies where there are any."""
    rows = [row for row in sweep.one("candidate").rows if row.copies or "host" in row.regions]
    if not rows:
        return None
    copies = any(row.copies for row in rows)
    known = {region for row in rows for region in row.regions} | ({"compute", "device"} if copies else set())
    regions = [region for region in ("compute", "device", "host") if region in known]
    cells = [[row.batch, *(formats.fps(row.regions.get(region)) or "not recorded" for region in regions)] for row in rows]
    for row, cell in zip(rows, cells, strict=True):
        ways = (row.copies.to_device_ms, row.copies.to_host_ms) if row.copies else (None, None)
        cell += [f"{ms:.3f}" if ms is not None else "not recorded" for ms in ways] if copies else []
    headers = ["batch", *(f"{region} FPS" for region in regions), *(["copy to the device, ms", "copy back, ms"] if copies else [])]
    said = {
        "compute": "Compute is the execution alone, 1000 × batch / mean ms as ais_bench counts it" if copies else "Compute is the call",
        "device": "device adds the copies",
        "host": "host adds batch assembly from stored pixels and top-5, in shorter blocks when the others were done",
    }
    return Table(headers, cells, "; ".join(said[region] for region in regions))


def _telemetry(sweep: Sweep) -> Table | None:
    """Return what the device said of itself while it was measured."""
    seen = [(row.batch, row.telemetry) for row in sweep.one("candidate").rows if row.telemetry]
    facts = [(t.aicore_pct, t.temperature_c, t.temperature_max_c, t.power_w) for _, t in seen]
    rows = [
        [batch, *(None if value is None else f"{value:.1f}" for value in values), t.samples]
        for (batch, t), values in zip(seen, facts, strict=True)
    ]
    of = next((t.power_of for _, t in seen if t.power_of), None)
    headers = ["batch", "AI cores busy, %", "mean °C", "highest °C", f"power{f' of the {of}' if of else ''}, W", "samples"]
    return Table(headers, rows, f"The device while it was measured, asked every {seen[0][1].interval_seconds:g} s") if seen else None


def _summary(sweep: Sweep) -> Sentence | None:
    """Return the means of the ratios, and what the candidate took to start."""
    started = next((row for row in sweep.one("candidate").rows if row.load_seconds is not None), None)
    parts = [f"Loading the model took {started.load_seconds:.2f} s and its first call {started.first_call_ms:.1f} ms."] if started else []
    if sweep.geomean_ratio and sweep.best_over_best_ratio:
        means = f"{formats.times(sweep.geomean_ratio)}; best batch over best batch {formats.times(sweep.best_over_best_ratio)}"
        parts.insert(0, f"Geometric mean of the ratios {means}.")
    return Sentence(" ".join(parts)) if parts else None


def _fps_row(row: Row, ratio: Ratio | None, baseline: Series | None, sweep: Sweep) -> list[object]:
    measured = row.regions.get(sweep.region)
    latency = measured.latency_ms if measured else None
    return [
        row.batch,
        formats.fps(measured),
        formats.fps_interval(measured),
        f"{latency.p50:.2f}" if latency else None,
        f"{latency.p90:.2f}" if latency and latency.p90 else None,
        _fps_of(baseline, row.batch, sweep.region) if baseline else None,
        f"{ratio.ratio:.3f}" if ratio and ratio.ratio else None,
        formats.span(ratio.interval, 3) if ratio else None,
        "no gate" if sweep.gate == "none" else ratio.verdict.replace("NONE", "") if ratio else None,
        _noise(row, baseline),
        _remark(row, ratio, baseline),
    ]


def _noise(row: Row, baseline: Series | None) -> str | None:
    """Return the verdict of the noisier of a row and its baseline; the reasons stand in a table of their own."""
    theirs = next((other.noise for other in baseline.rows if other.batch == row.batch), None) if baseline else None
    if theirs and (not row.noise or noise.worst([row.noise, theirs]) is not row.noise):
        return f"baseline {theirs.verdict}"
    return row.noise.verdict if row.noise else None


def _remark(row: Row, ratio: Ratio | None, baseline: Series | None) -> str:
    """Return what is to be known of a row: why it or its baseline has no figure, or what is odd about them."""
    theirs = next((other for other in baseline.rows if other.batch == row.batch), None) if baseline else None
    if row.error or (theirs and theirs.error):
        return row.error or f"baseline: {theirs.error}"
    return "; ".join(filter(None, [row.remark, ratio.remark if ratio else None]))


def _published(sweep: Sweep) -> Table | None:
    """Return the published lines, which may have more batch sizes, with their sources."""
    others = [series for series in sweep.series if series.kind == "published"]
    batches = sorted({row.batch for series in others for row in series.rows})
    rows = [
        [formats.label(series, sweep.region), series.device, *(_fps_of(series, batch, sweep.region) for batch in batches), series.source]
        for series in others
    ]
    return Table(["line", "device", *(f"batch {batch}" for batch in batches), "source"], rows, "Published, FPS") if others else None


def _fps_of(series: Series, batch: int, region: Region) -> str | None:
    row = next((row for row in series.rows if row.batch == batch), None)
    return formats.fps(formats.shown(row, region)[0]) if row else None


def checks(found: list[Check]) -> Table:
    """Return the comparison of every converted stage with its reference, batch size by batch size."""
    rows = [
        [
            check.candidate,
            check.reference,
            check.batch,
            None if check.max_abs_diff is None else f"{check.max_abs_diff:.1e}",
            None if check.spread is None else f"{check.spread:.2g}",
            None if check.cosine_min is None else f"{check.cosine_min:.6f}",
            None if check.top1_agree_pct is None else f"{check.top1_agree_pct:.1f} %",
            ("same" if check.exact else "same direction") if check.passed else "REFUSED",
            check.reason,
        ]
        for check in found
    ]
    headers = [
        "candidate",
        "reference",
        "batch",
        "largest difference",
        "of images",
        "least cosine",
        "same top-1",
        "verdict",
        "reason",
    ]
    return Table(headers, rows, "Centred log-probabilities: how much they differ, how much those of two images do, and in which direction")


def stages(made: list[Stage]) -> Table:
    """Return the files that the model went through, with what made each."""
    rows = [
        [
            stage.name,
            stage.file.rpartition("/")[2],
            stage.opset,
            formats.size(stage.bytes),
            stage.command,
            None if stage.seconds is None else f"{stage.seconds:.1f}",
            (stage.sha256 or "")[:12],
        ]
        for stage in made
    ]
    return Table(["stage", "file", "opset", "size", "made by", "seconds", "sha256 (first 12)"], rows)
