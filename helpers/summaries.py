"""What the index says of one run, read from its records alone."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from helpers import formats, records, run_folders
from helpers.errors import UserError, first_line
from helpers.records import Accuracy, Measured, Sweep

PAGES = ("report.html", *(f"{kind.STEP}.html" for kind in reversed(records.KINDS[:-1])))


@dataclass(frozen=True)
class Summary:
    """One run of the index; of a run that is not finished only `run`, `page` and `reason` are filled."""

    run: Path
    page: str  # the last that was written, empty when none was
    reason: str = ""  # why there are no figures
    created_utc: str = ""
    model: str = ""
    runs_on: str = ""  # configuration and device
    precision: str = ""
    region: str = ""
    fps: float | None = None  # of the best batch size
    ratio: float | None = None
    top1_pct: float | None = None
    cells: dict[str, str] = field(default_factory=dict)  # the figures as they are shown
    verdict: str = ""
    points: dict[int, Measured] = field(default_factory=dict)  # the candidate's, by batch size


def read(run: Path) -> Summary:
    """Return what the records of a run say; a run that is broken, foreign or half finished says why it has no figures."""
    page = next((name for name in PAGES if os.path.isfile(run / name)), "")
    try:
        return _finished(run, page)
    except (UserError, OSError, ValueError, ArithmeticError) as error:  # a foreign record's number may be too large to be written
        return Summary(run, page, reason=formats.visible(first_line(error)))


def _finished(run: Path, page: str) -> Summary:
    _, model, accuracy, sweep, report = run_folders.finished(run)
    candidate, result = sweep.one("candidate"), next(iter(accuracy.results), None)
    if not candidate or not result:
        raise UserError(f"the records of run {run.name} name no candidate: run {Accuracy.STEP} again.")
    points = {row.batch: row.regions[sweep.region] for row in candidate.rows if sweep.region in row.regions}
    fastest = sweep.best(candidate)
    best = fastest.batch if fastest else None
    simulated = "Simulated: " if candidate.kind == "simulated" or result.simulated else ""  # before the name, which may be cut
    return Summary(
        run,
        page,
        created_utc=formats.visible(report.created_utc),
        model=formats.visible(model.name),
        runs_on=formats.visible(f"{simulated}{candidate.name} on {candidate.device}"),
        precision=formats.visible(candidate.precision),
        region=sweep.region,
        fps=points[best].images_per_second if points else None,
        ratio=sweep.geomean_ratio,
        top1_pct=result.top1_pct,
        cells=_cells(points, best, sweep, result.top1_pct),
        verdict=report.verdict,
        points=points,
    )


def _cells(points: dict[int, Measured], best: int | None, sweep: Sweep, top1: float | None) -> dict[str, str]:
    return {
        "fps": formats.fps(points.get(best)) or "–",
        "batch": str(best or "–"),
        "ratio": formats.times(sweep.geomean_ratio) if sweep.geomean_ratio else "–",
        "top1": f"{top1:.2f} %" if top1 is not None else "–",
    }
