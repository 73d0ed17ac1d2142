"""The kept answers of every evaluated stage, and what a stage is called where several stand together."""

from pathlib import Path

from helpers import scores
from helpers.records import Result
from helpers.scores import Scores

Kept = list[tuple[Result, Scores]]


def kept(folder: Path, results: list[Result]) -> Kept:
    """Return each evaluated stage with its answers, the candidate first; nothing where the candidate was not evaluated."""
    evaluated = [result for result in results if result.evaluated] if results[0].evaluated else []
    return [(result, scores.load(folder / result.scores_file)) for result in evaluated]


def called(result: Result) -> str:
    """Return a stage's short name, `candidate` or `option 1`, and whether a simulator answered."""
    return result.stage.replace("_", " ") + (" (simulated)" if result.simulated else "")
