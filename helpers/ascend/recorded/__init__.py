"""Read what ais_bench, ais_infer and msame wrote, on whichever machine.

One name stood for several tools: the summary moved from inside the result folder to beside it, results were named by number and
then by input, a last incomplete batch was dropped and later filled up. What a recording does not tell becomes a remark.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from helpers.ascend.recorded import answers, files, times
from helpers.ascend.recorded.answers import Answers
from helpers.ascend.recorded.files import Files
from helpers.ascend.recorded.logs import THROUGHPUT
from helpers.ascend.recorded.times import Timing
from helpers.errors import UserError


@dataclass(frozen=True)
class Recording:
    """All that a folder holds: timings by batch size, answers by folder."""

    timings: tuple[Timing, ...]
    answers: tuple[Answers, ...]
    simulated: bool


def read(folder: Path, classes: int, stems: list[str]) -> Recording:
    """Return what a folder holds of throughput and of answers, `classes` values for each image of `stems`.

    A file that can't be what its name says is a UserError; a folder that holds neither timings nor answers is not.
    """
    try:
        found = files.find(folder)
        answered = answers.answers(found, classes, stems)
    except OSError as error:
        raise UserError(f"{folder.name} can't be read ({error.strerror}): give the folder that ais_bench wrote.") from error
    return Recording(times.timings(found), answered, _is_simulated(found))


def _is_simulated(found: Files) -> bool:
    """Return whether a summary or a text that is of the run says so; notes of the user's are not."""
    of_the_run = (
        text
        for path, text in found.texts.items()
        if path.suffix == ".log" or path.name.startswith("environment") or THROUGHPUT.search(text)
    )
    told = any(re.search(r"\bsimulated\b", text, re.I) for text in of_the_run)
    return told or any(summary.simulated is True for summary in found.summaries.values())
