"""Which folders are runs: those that hold a record or the first notebook's page, at any depth below reports/."""

import os
from collections.abc import Iterator
from pathlib import Path

from helpers import records

MARKS = (*(kind.file_name() for kind in records.KINDS), f"{records.Data.STEP}.html")  # a first notebook that failed leaves its page alone


def is_run(folder: Path) -> bool:
    """Return whether a folder holds what only a run leaves."""
    return any(os.path.isfile(folder / name) for name in MARKS)


def below(folder: Path) -> Iterator[Path]:
    """Yield every run below a folder, sorted within each folder; not in `artefacts/`, hidden folders or behind links.

    A run that is itself a link is among them.
    """
    for root, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if name != "artefacts" and not name.startswith("."))
        yield from (run for run in (Path(root, name) for name in names) if is_run(run))
