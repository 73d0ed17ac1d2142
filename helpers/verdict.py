"""PASS, FAIL or INCONCLUSIVE: throughput against a baseline, with what is known of the uncertainty of both."""

import math
from dataclasses import dataclass

from helpers.formats import times
from helpers.records import Interval, Measured, Ratio, Region, Row, Series, Verdict

TREND_BREAK = 0.8  # a published row below this share of the row before it is flagged


@dataclass(frozen=True)
class Judged:
    """What the sweep's record says beside the measurements."""

    region: Region
    ratios: list[Ratio]
    geomean_ratio: float | None
    best_over_best_ratio: float | None
    gate: str
    verdict: Verdict
    sentence: str


def judge(series: list[Series], gate: str, tolerance_pct: float) -> Judged:
    """Return ratios, means and the verdict of the candidate against the baseline among the series."""
    candidate = next(one for one in series if one.role == "candidate")
    baseline = next((one for one in series if one.role == "baseline"), None)
    region = _region(candidate, baseline)
    failed = [row for row in candidate.rows if row.error]
    if failed and (baseline is None or len(failed) == len(candidate.rows)):
        return Judged(region, [], None, None, "none", "FAIL", f"No throughput at batch size {_batches(failed)}: {failed[0].error}.")
    if baseline is None:
        return Judged(
            region, [], None, None, "none", "NONE", f"{candidate.name} on {candidate.device} was measured; no baseline was asked for."
        )
    if candidate.kind == "simulated" or candidate.unproven:  # whatever gate was asked for: it would judge another thing
        gate = "none"
    elif gate == "auto":
        gate = _default_gate(candidate, baseline)
    floor = 1 - tolerance_pct / 100
    theirs = {row.batch: row for row in baseline.rows}
    compared = {row.batch: _log_ratio(row, theirs.get(row.batch), region) for row in candidate.rows}
    ratios = [_ratio(batch, value, baseline, region, floor) for batch, value in compared.items()]
    if gate == "none":
        ratios = [ratio.model_copy(update={"verdict": "NONE"}) for ratio in ratios]
    known = [value for value in compared.values() if value]
    geomean = _mean(known) if known else None
    best = _log_ratio(_best(candidate.rows, region), _best(baseline.rows, region), region)
    deciding = {"geomean": geomean, "best": best}.get(gate)
    if failed:
        verdict: Verdict = "FAIL"
    elif gate == "none":
        verdict = "NONE"
    elif any(row.error for row in baseline.rows):
        verdict = "INCONCLUSIVE"
    elif geomean is None:
        verdict = "NONE"
    elif gate == "rows":
        given = [ratio.verdict for ratio in ratios if ratio.ratio]
        verdict = next((worst for worst in ("FAIL", "INCONCLUSIVE") if worst in given), "PASS")
    else:
        verdict = _verdict(deciding, floor)
    sentence = _sentence(candidate, baseline, gate, verdict, deciding, geomean, len(known), tolerance_pct)
    return Judged(region, ratios, *(math.exp(v[0]) if v else None for v in (geomean, best)), gate, verdict, sentence)


def _batches(rows: list[Row]) -> str:
    return ", ".join(str(row.batch) for row in rows)


def _default_gate(candidate: Series, baseline: Series) -> str:
    """Return the gate of measurement: live geomean, published on the same device best, published elsewhere none."""
    if baseline.kind == "measured":
        return "geomean" if candidate.kind == "measured" else "none"  # a recording is of another machine
    return "best" if baseline.device == candidate.device != "not stated" else "none"


def _region(candidate: Series, baseline: Series | None) -> Region:
    """Return the region of the headline: the baseline's where the candidate has it too, else the candidate's own."""
    mine = [region for row in candidate.rows for region in row.regions]
    theirs = [region for row in baseline.rows for region in row.regions] if baseline else []
    return next((region for region in theirs if region in mine), mine[0] if mine else "compute")


def _best(rows: list[Row], region: Region) -> Row | None:
    measured = [row for row in rows if region in row.regions]
    return max(measured, key=lambda row: row.regions[region].images_per_second, default=None)


def _log_ratio(mine: Row | None, theirs: Row | None, region: Region) -> tuple[float, float] | None:
    """Return (log of the ratio, half-width of its 95 % interval), None where one is missing or of another region."""
    if not mine or not theirs or region not in mine.regions or region not in theirs.regions:
        return None
    a, b = mine.regions[region], theirs.regions[region]
    if mine.ratio_interval and mine.batch == theirs.batch:  # measured in turns: narrower than what each of them tells alone
        half = math.log(mine.ratio_interval[1] / mine.ratio_interval[0]) / 2
    else:
        half = math.hypot(_log_half(a), _log_half(b))
    return math.log(a.images_per_second / b.images_per_second), half


def _log_half(measured: Measured) -> float:
    """Return half the width of an interval in logarithms: nought for a published number, infinite for one too noisy to bound."""
    if measured.interval_fps:
        return math.log(measured.interval_fps[1] / measured.interval_fps[0]) / 2
    return 0.0 if measured.blocks is None else math.inf


def mean(ratios: list[Ratio]) -> tuple[float, Interval | None]:
    """Return the geometric mean of ratios, which are all known, and its 95 % interval; None where one of them has none.

    They are independent of each other, so that half-widths add up as squares on the scale of logarithms.
    """
    halves = [math.log(one.interval[1] / one.interval[0]) / 2 if one.interval else math.inf for one in ratios]
    value = _mean([(math.log(one.ratio), half) for one, half in zip(ratios, halves, strict=True)])
    return math.exp(value[0]), _interval(value)


def _mean(values: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(log for log, _ in values) / len(values), math.hypot(*(half for _, half in values)) / len(values)


def _interval(value: tuple[float, float]) -> Interval | None:
    return (math.exp(value[0] - value[1]), math.exp(value[0] + value[1])) if math.isfinite(value[1]) else None


def _verdict(value: tuple[float, float], floor: float) -> Verdict:
    low, high = _interval(value) or (0.0, math.inf)
    return "PASS" if low >= floor else "FAIL" if high < floor else "INCONCLUSIVE"


def _ratio(batch: int, value: tuple[float, float] | None, baseline: Series, region: Region, floor: float) -> Ratio:
    if value is None:
        return Ratio(batch=batch, ratio=None, interval=None, verdict="NONE", remark=f"no {region} figure of both at this batch size")
    remarks = ["the baseline breaks its own trend here"] if _breaks_trend(baseline, batch, region) else []
    if not _interval(value):
        remarks.append("no interval: too noisy, or too few times")
    ratio, interval = math.exp(value[0]), _interval(value)
    return Ratio(batch=batch, ratio=ratio, interval=interval, verdict=_verdict(value, floor), remark="; ".join(remarks))


def _breaks_trend(baseline: Series, batch: int, region: Region) -> bool:
    fps = {row.batch: row.regions[region].images_per_second for row in baseline.rows if region in row.regions}
    before = [size for size in fps if size < batch]
    return baseline.kind == "published" and bool(before) and fps[batch] < TREND_BREAK * fps[max(before)]


def _sentence(
    candidate: Series,
    baseline: Series,
    gate: str,
    verdict: Verdict,
    deciding: tuple[float, float] | None,
    geomean: tuple[float, float] | None,
    rows: int,
    tolerance_pct: float,
) -> str:
    errors = [row for series in (candidate, baseline) for row in series.rows if row.error]
    because = f"since batch size {_batches(errors)} has no figure ({errors[0].error})" if errors else ""
    if geomean is None:
        why = because or f"since {baseline.name} has no figure in the same region at the same batch size"
        return f"{candidate.name} on {candidate.device} was measured, but there is no ratio, {why}."
    said = f"{candidate.name} on {candidate.device} runs at {times(math.exp(geomean[0]))} times the speed of {baseline.name}"
    device = f"device {baseline.device}; " if baseline.device != candidate.device else ""
    said += f" ({device}geometric mean over {rows} batch size{'s' if rows > 1 else ''})"
    if verdict == "FAIL" and any(row.error for row in candidate.rows):
        return f"{said}: FAIL, {because}."
    if errors and gate != "none":
        return f"{said}: {verdict}, {because}."
    if gate == "none":
        why = "a simulator made the figures" if candidate.kind == "simulated" else candidate.unproven or "no gate was set"
        return f"{said}; {why}, so this is no verdict."
    if gate == "rows":
        return f"{said}: {verdict}, each of these judged at a tolerance of {tolerance_pct:g} %."
    name = "this mean" if gate == "geomean" else f"best batch over best batch, {times(math.exp(deciding[0]))},"
    interval = _interval(deciding)
    known = f"has the 95 % interval {interval[0]:.3f} to {interval[1]:.3f}" if interval else "is too noisy for an interval"
    return f"{said}: {verdict}, since {name} {known} at a tolerance of {tolerance_pct:g} %."
