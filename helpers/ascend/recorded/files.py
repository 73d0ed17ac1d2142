"""The files of a recording by what they are: summaries, logs, results."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from helpers.ascend.recorded import summary
from helpers.ascend.recorded.names import named_batch
from helpers.ascend.recorded.summary import Summary

RESULTS = (".bin", ".npy", ".txt")


@dataclass
class Files:
    root: Path
    summaries: dict[Path, Summary] = field(default_factory=dict)  # by result folder
    texts: dict[Path, str] = field(default_factory=dict)  # logs and what else is no result
    results: list[Path] = field(default_factory=list)  # first outputs and what has a name like them

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def named_batch(self, path: Path) -> int | None:
        """Return the batch size in a name, the file's or that of the nearest folder."""
        parts = (self.root.resolve().name, *path.relative_to(self.root).parts)
        return next(filter(None, map(named_batch, reversed(parts))), None)

    def batch(self, folder: Path) -> int | None:
        """Return the batch size of a result folder: as the command of its run tells it, else as a name does."""
        told = self.summaries[folder].told_batches if folder in self.summaries else []
        return told[0] if told else self.named_batch(folder)


def find(root: Path) -> Files:
    """Return the files of a folder and of those below it; links are not followed."""
    files = Files(root)
    beside = root.with_name(f"{root.name}_summary.json")  # where the folder of one run was given
    if beside.is_file():
        files.summaries[root] = summary.read(beside, beside.name)
    for path in _walk(root):
        if path.name == "sumary.json" or path.name.endswith("_summary.json"):
            folder = path.parent if path.name == "sumary.json" else path.with_name(path.name.removesuffix("_summary.json"))
            files.summaries[folder] = summary.read(path, files.relative(path))
        elif _is_text(path):
            files.texts[path] = path.read_text(errors="replace")
        elif path.suffix in RESULTS and path.stem.endswith("_0"):
            files.results.append(path)
    return files


def _walk(root: Path) -> Iterator[Path]:
    for folder, _, names in sorted(os.walk(root, onerror=_stop)):
        for path in (Path(folder, name) for name in sorted(names)):
            if path.is_file() and not path.is_symlink():
                yield path


def _stop(error: OSError) -> None:
    raise error


def _is_text(path: Path) -> bool:
    """Return whether a file holds words: a .txt that begins with a number is a result."""
    if path.suffix != ".txt":
        return path.suffix == ".log"
    with path.open("rb") as file:
        first = file.read(64).split()[:1]
    try:
        [float(word) for word in first]
    except ValueError:
        return True
    return False
