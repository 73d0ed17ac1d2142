"""Which folders are runs: those that hold a record or the first notebook's page, at any depth below reports/; their names and records."""

import os
from collections.abc import Iterator
from pathlib import Path

from helpers import ROOT, records, steps
from helpers.errors import UserError
from helpers.records import Record, Report

REPORTS = ROOT / "reports"
OWN = ("artefacts", "tables")  # folders of a run; tables/ has a report.json too, which is no record
MARKS = (*(kind.file_name() for kind in records.KINDS), f"{records.Data.STEP}.html")  # a first notebook that failed leaves its page alone


def is_run(folder: Path) -> bool:
    """Return whether a folder holds what only a run leaves."""
    return any(os.path.isfile(folder / name) for name in MARKS)


def name(folder: Path, reports: Path | None = None) -> str:
    """Return what a run is called where one is asked for: its path below reports/, or its absolute path."""
    reports = reports or REPORTS
    return folder.relative_to(reports).as_posix() if reports in folder.parents else str(folder)


def finished(run: Path) -> tuple[Record, ...]:
    """Return the five records of a run; UserError when one is missing or they were not made from each other."""
    inputs, report = steps.load_inputs(Report, run), steps.load(Report, run)
    if report.inputs != {type(record).__name__.lower(): record.fingerprint for record in inputs}:
        raise UserError(f"report.json of run {run.name} was made from other records: run {Report.STEP} again.")
    return (*inputs, report)


def below(folder: Path) -> Iterator[Path]:
    """Yield every run below a folder, sorted within each folder; not in `artefacts/`, `tables/`, hidden folders or behind links.

    A run that is itself a link is among them.
    """
    for root, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if name not in OWN and not name.startswith("."))
        yield from (run for run in (Path(root, name) for name in names) if is_run(run))
