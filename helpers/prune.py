"""Remove the heavy artefacts of runs; their records, notebooks and pages stay, and a run that is continued makes the rest again.

Exit codes: 0 done, 1 something could not be removed, 2 bad parameters and nothing was removed.
"""

import argparse
import math
import shutil
import sys
import time
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from helpers import ROOT, files, formats, run_folders, steps
from helpers.errors import ParameterError
from helpers.store_journal import JOURNAL

REPORTS = ROOT / "reports"
KNOWN = (  # what notebooks leave in artefacts/: files, then folders; whatever else lies there is somebody's own
    *("manifest.csv", "tensors.npy", "tensors.jsonl", "*.npz", "*.onnx", "*.onnx.data", "*.om", "sweep_blocks.jsonl", "aipp.cfg", "*.log"),
    *("tensors.json", "*.partial", f"{files.UNFINISHED}*", "*_int8", "atc", "photographs", "recorded_*"),
    *("tensors", "tensors.unfinished", "units"),
)
UNFINISHED = ("*.partial", "tensors.unfinished/*", "units/*/*")  # of one process, of workers that prepare and that evaluate
DAY, QUIET = 86_400, 60  # seconds; between two notebooks nothing is being written for a moment
QUIET_PARTIAL = 1_800  # seconds; a point of the longest profile can leave its partial file alone for a quarter of an hour


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        runs = _chosen(options)
    except ParameterError as error:
        print(error, file=sys.stderr)
        return 2
    freed = []
    try:
        for run in runs:
            size = _prune(run, options.dry_run)
            freed += [size] if size else []
    except OSError as error:
        print(f"can't remove {error.filename}: {error.strerror}; see who owns it, and call this again.", file=sys.stderr)
        return 1
    print(f"{formats.size(sum(freed))} {'would be freed' if options.dry_run else 'freed'} in {formats.counted(len(freed), 'run')}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m helpers.prune", description="Remove the artefacts of runs, which are heavy; records, notebooks and pages stay."
    )
    parser.add_argument("run", nargs="*", metavar="RUN", help="a folder below reports/, or an absolute path")
    parser.add_argument("--all", action="store_true", help="every run below reports/")
    parser.add_argument("--older-than", type=float, metavar="DAYS", help="only runs whose folder was last written so long ago")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, remove nothing")
    return parser


def _chosen(options: argparse.Namespace) -> list[Path]:
    """Return the runs that are asked for; ParameterError when one is no run or it is not clear which are meant."""
    days = options.older_than
    if options.run and options.all:
        raise ParameterError("--all takes every run: name runs or say --all, not both.")
    if not options.run and not options.all and days is None:
        raise ParameterError("no run was named: name runs, or say --all or --older-than DAYS.")
    if days is not None and not 0 <= days < math.inf:
        raise ParameterError(f"--older-than {days:g} is no age: say a number of days from 0 up.")
    for name in options.run:
        if not run_folders.is_run(steps.folder(name)):
            raise ParameterError(f"{formats.visible(name)} is not a run: name a folder below reports/ that holds records.")
    runs = dict.fromkeys(steps.folder(name) for name in options.run) if options.run else run_folders.below(REPORTS)
    return [run for run in runs if days is None or _seconds_since(run.iterdir()) >= days * DAY]


def _seconds_since(paths: Iterable[Path]) -> float:
    """Return how long ago the newest of some files was written, infinity where there is none."""
    return min((time.time() - path.lstat().st_mtime for path in paths if not path.is_dir()), default=math.inf)


def _prune(run: Path, dry_run: bool) -> int:
    """Remove what is known of a run's artefacts, or only say so, print the run's line and return the bytes."""
    name, artefacts = formats.visible(str(run.relative_to(REPORTS) if REPORTS in run.parents else run)), run / "artefacts"
    reason = _why_left_alone(run)
    if reason:
        print(f"{name}: left alone, {reason}")
        return 0
    entries = sorted(artefacts.iterdir()) if artefacts.is_dir() else []
    known = {entry: files.size_of(entry) for entry in entries if any(fnmatch(entry.name, pattern) for pattern in KNOWN)}
    listed = ", ".join(f"{formats.visible(entry.name)} {formats.size(size)}" for entry, size in known.items())
    others = ", ".join(formats.visible(entry.name) for entry in entries if entry not in known)
    if known or others:
        print(f"{name}: {listed or 'nothing'}{f'; made by no notebook and kept: {others}' if others else ''}")
    if not dry_run:
        for entry in known:
            _remove(entry)
        if entries and not others:
            artefacts.rmdir()
    return sum(known.values())


def _why_left_alone(run: Path) -> str:
    """Return why nothing may be removed from a run now, empty when it may."""
    artefacts = run / "artefacts"
    if run.is_symlink() or artefacts.is_symlink():
        return "its files lie elsewhere, behind a link"
    unfinished = [path for pattern in UNFINISHED for path in artefacts.glob(pattern) if path.name != JOURNAL]
    recent = min(_seconds_since(place.glob("*")) for place in (run, artefacts)) < QUIET
    if _seconds_since(unfinished) < QUIET_PARTIAL or recent or any(map(files.is_being_written, (run, artefacts))):
        return "it is being written or was a moment ago"
    return ""


def _remove(entry: Path) -> None:
    """Remove a file, a folder, or a link without what it leads to."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
