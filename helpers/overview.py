"""Finished runs side by side, from their records alone: which there are and what each came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from helpers import ROOT, formats, params, records, run_folders
from helpers.elements import Group, Sentence, Table
from helpers.errors import UserError
from helpers.records import Accuracy, Data, Measured, Report, Result, Series, Sweep

MOST = 8  # runs: more lines in one chart can't be told apart


class Overview(params.Settings):
    """Parameters of 0_overview."""

    runs: Annotated[list[params.RunName], Field(default_factory=list, max_length=MOST)]
    newest: Annotated[int, Field(gt=0, le=MOST)] = 5


@dataclass(frozen=True)
class Finished:
    """A run that has a report, and the records that the report quotes."""

    name: str
    data: Data
    accuracy: Accuracy
    sweep: Sweep
    report: Report

    @property
    def line(self) -> Series:
        """Return what the candidate did in the sweep."""
        return self.sweep.one("candidate")

    @property
    def result(self) -> Result:
        """Return the candidate's accuracy."""
        return self.accuracy.results[0]

    @property
    def simulated(self) -> bool:
        """Return whether a simulator gave the figures."""
        return self.line.kind == "simulated" or self.result.simulated

    @property
    def label(self) -> str:
        """Return the name, with what must be said beside every figure."""
        return f"{self.name} (simulated)" if self.simulated else self.name


@dataclass(frozen=True)
class Unfinished:
    """A run without a report that can be believed, and why."""

    name: str
    reason: str


Run = Finished | Unfinished


def read(settings: Overview, reports: Path = ROOT / "reports") -> list[Run]:
    """Return the named runs in the order given, or the newest below `reports`, the latest first."""
    folders = [reports / run for run in settings.runs] or _newest(reports)[: settings.newest]
    names = [folder.name for folder in folders]
    return [_read(folder, folder.name if names.count(folder.name) == 1 else run_folders.name(folder, reports)) for folder in folders]


def _newest(reports: Path) -> list[Path]:
    """Return the runs at any depth, that whose last record is the latest first."""
    return sorted(run_folders.below(reports), key=_last_written, reverse=True)


def _last_written(run: Path) -> int:
    written = [run / kind.file_name() for kind in records.KINDS]
    return max((path.stat().st_mtime_ns for path in written if path.is_file()), default=0)


def _read(folder: Path, name: str) -> Run:
    """Return a run, or why it can't be shown: records missing, unreadable, or not made from each other."""
    try:
        data, _, accuracy, sweep, report = run_folders.finished(folder)
    except UserError as error:
        return Unfinished(name, str(error))
    except OSError as error:
        return Unfinished(name, f"its records can't be read ({error.strerror}): see {folder}.")
    if not accuracy.results or not sweep.one("candidate"):
        return Unfinished(name, f"the records name no candidate: run {Accuracy.STEP} and {Sweep.STEP} again.")
    return Finished(name, data, accuracy, sweep, report)


def finished(runs: Sequence[Run]) -> list[Finished]:
    """Return the runs that have figures."""
    return [run for run in runs if isinstance(run, Finished)]


def table(runs: Sequence[Run]) -> Group:
    """Return one row for each finished run, and below it those that are not finished, each with the reason."""
    headers = ["run", "when (UTC)", "runs on", "best FPS", "batch", "95 % interval", "top-1", "95 % interval", "verdict"]
    rows = [_row(run) for run in finished(runs)]
    others = [[run.name, run.reason] for run in runs if isinstance(run, Unfinished)]
    none = "There is no run yet below reports/: python -m helpers.run params/demo.yaml makes one."
    caption = "Finished runs. Best FPS is images per second at the fastest batch size; the verdict is that of the run's own report"
    return Group(
        [
            None if runs else Sentence(none, "warning"),
            Table(headers, rows, caption) if rows else None,
            Table(["not finished", "why"], others) if others else None,
        ]
    )


def _row(run: Finished) -> list[object]:
    measured, batch = best(run)
    top1 = f"{run.result.top1_pct:.2f} %" if run.result.top1_pct is not None else None
    figures = [formats.fps(measured), batch, formats.fps_interval(measured), top1, formats.span(run.result.top1_interval_pct, 2)]
    when = run.report.created_utc[:16].replace("T", " ")
    return [run.label, when, f"{run.line.name} on {run.line.device}", *figures, run.report.verdict.replace("NONE", "no verdict")]


def best(run: Finished) -> tuple[Measured | None, int | None]:
    """Return the candidate's highest images per second and its batch size; (None, None) where nothing was measured."""
    row = run.sweep.best(run.line)
    return (row.regions[run.sweep.region], row.batch) if row else (None, None)
