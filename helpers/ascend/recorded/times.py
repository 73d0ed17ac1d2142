"""The throughput that was recorded, measurement by measurement; what it does not tell becomes a remark."""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.ascend.recorded.files import Files
from helpers.ascend.recorded.logs import LoggedRun, runs
from helpers.ascend.recorded.summary import Summary
from helpers.errors import UserError
from helpers.formats import counted

ONLY_MEAN = "Only the mean was recorded, hence the throughput has no interval."
SEVERAL_THREADS = "With several threads at once the time of one execution is not known, and the mean is over all of them."


@dataclass(frozen=True)
class Timing:
    """One throughput measurement at one batch size."""

    batch: int
    execute_ms: tuple[float, ...]  # one for each execute, empty when only the mean was recorded
    mean_ms: float
    h2d_ms: float | None  # means, None when not recorded
    d2h_ms: float | None
    zero_input: bool  # pure inference
    source: str  # file, relative to the folder given
    remarks: tuple[str, ...] = ()


def timings(files: Files) -> tuple[Timing, ...]:
    """Return each measurement once: a log of a run whose summary is there tells at most its batch size.

    A time or a batch size that is told nowhere is a UserError.
    """
    logs = [run for path, text in files.texts.items() for run in runs(text, files.relative(path), files.named_batch(path))]
    found = [_of_summary(files, folder, summary, logs) for folder, summary in files.summaries.items() if summary.NPU_compute_time]
    for log in logs:
        if not any(log.batch in (other.batch, None) and _are_one(log.mean_ms, other.mean_ms) for other in found):
            found.append(_of_log(log))
    return tuple(sorted(found, key=lambda timing: (timing.batch, timing.source)))


def _of_summary(files: Files, folder: Path, summary: Summary, logs: list[LoggedRun]) -> Timing:
    mean, times = summary.NPU_compute_time.mean, summary.execute_ms
    batch = files.batch(folder) or next((log.batch for log in logs if _are_one(log.mean_ms, mean)), None)
    if times and statistics.fmean(times) > 1.01 * mean:  # several threads: executes overlap, which the recorded mean leaves out
        times = ()
    to_device, to_host = summary.H2D_latency.mean or None, summary.D2H_latency.mean or None
    timing = _checked(Timing(batch or 0, times, mean, to_device, to_host, summary.zero_input, summary.source))
    return replace(timing, remarks=tuple(_remarks(summary, timing)))


def _of_log(log: LoggedRun) -> Timing:
    to_device, to_host = log.h2d_ms or None, log.d2h_ms or None
    timing = _checked(Timing(log.batch or 0, (), log.mean_ms, to_device, to_host, log.zero_input, log.source))
    return replace(timing, remarks=(ONLY_MEAN, *_contradiction(timing, log.throughput)))


def _are_one(ms: float, other_ms: float) -> bool:
    return math.isclose(ms, other_ms, rel_tol=1e-6)


def _checked(timing: Timing) -> Timing:
    if not timing.mean_ms > 0:
        raise UserError(f"{timing.source} tells no NPU_compute_time: measure again, or take the file out of the folder.")
    if not timing.batch:
        raise UserError(f"{timing.source} does not tell its batch size: put it into the name of the file or its folder, such as bs8.")
    return timing


def _remarks(summary: Summary, timing: Timing) -> Iterator[str]:
    told, batch, images = summary.told_batches, timing.batch, len(summary.filesinfo)
    if not timing.execute_ms:
        yield SEVERAL_THREADS if summary.execute_ms else ONLY_MEAN
    if len(set(told)) > 1:
        yield f"The command tells batch size {told[0]} and also {told[-1]}: {batch} is used."
    yield from _contradiction(timing, summary.throughput)
    if images % batch and 0 < len(summary.execute_ms) < images:  # several to a batch, by a release that drops none
        copies = counted(-images % batch, "copy", "copies")
        yield f"The last batch of {counted(images, 'input')} was filled up with {copies}, counted as images in the throughput."


def _contradiction(timing: Timing, throughput: float | None) -> Iterator[str]:
    """Yield a remark where the recorded throughput is not what batch size and time make."""
    fps = 1000 * timing.batch / timing.mean_ms
    if throughput is not None and abs(throughput - fps) > 0.01 * fps:
        yield (
            f"The recorded throughput, {throughput:.2f}, is not that of batch size {timing.batch} in {timing.mean_ms:.3f} ms, {fps:.2f}, "
            "which is used: early releases take batch size 1 when --batchsize is left out."
        )
