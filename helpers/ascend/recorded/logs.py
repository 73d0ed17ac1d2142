"""What ais_infer and ais_bench print of their runs: a log tells less than a summary, and may hold several runs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from helpers.ascend.recorded.names import named_batch

NUMBER = r"\d+\.?\d*"
# three wordings, the first without the figures that the throughput was made from
THROUGHPUT = re.compile(
    rf"throughput \(?1000\*batchsize(?:\.mean)?(?:\((?P<batch>{NUMBER})\))?"
    rf"/NPU_compute_time(?:\.mean)?(?:\((?P<mean>{NUMBER})\))?\)?\s*:\s*(?P<throughput>{NUMBER})",
    re.I,
)


@dataclass(frozen=True)
class LoggedRun:
    batch: int | None
    mean_ms: float  # 0 when not told, as after `grep throughput` on an early release
    h2d_ms: float
    d2h_ms: float
    zero_input: bool
    throughput: float  # as printed
    source: str


def runs(text: str, source: str, named: int | None) -> Iterator[LoggedRun]:
    """Yield the run of each throughput line; `named` is the batch size in the name of the log."""
    lines, start, told = list(THROUGHPUT.finditer(text)), 0, ""
    for line in lines:
        part, start = text[start : line.start()], line.end()
        told = part if "load model" in part else told + part  # devices that run at once load before the first of them is done
        model = _last(r"([^\s\"'=:,/]+\.om)\b", told)
        printed = float(line["batch"] or _last(rf"try get model batchsize:({NUMBER})", told) or 0)  # 1 in early releases if not given
        yield LoggedRun(
            batch=named_batch(model) or (named if len(lines) == 1 else None) or int(printed) or None,
            mean_ms=float(line["mean"] or _mean("NPU_compute_time", part)),
            h2d_ms=_mean("H2D_latency", part),
            d2h_ms=_mean("D2H_latency", part),
            zero_input="get filesperbatch" not in told,
            throughput=float(line["throughput"]),
            source=source,
        )


def _mean(name: str, text: str) -> float:
    return float(_last(rf"{name} \(ms\):.*?\bmean = ({NUMBER})", text) or 0)


def _last(pattern: str, text: str) -> str:
    return next(reversed(re.findall(pattern, text)), "")
