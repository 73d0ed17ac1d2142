"""The error that is meant for the person at the keyboard."""

from pathlib import Path

from helpers.ascend import HANG_LOGS


class UserError(Exception):
    """One sentence that says what is wrong and what to do next; shown without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints instead of a traceback, so that notebooks show the sentence alone."""
        return [f"{type(self).__name__}: {self}"]


class ParameterError(UserError):
    """A parameter that can't be right whatever the data are; `helpers.run` exits with 2."""


def first_line(error: Exception) -> str:
    """Return what an error of a library says first, at most 300 characters; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def why_it_died(artefacts: Path) -> str:
    """Return why a process ended that runs a model: a device that did not answer leaves a log among the artefacts, memory leaves none."""
    hung = [log.name for log in artefacts.glob(HANG_LOGS) if log.stat().st_size]
    if hung:
        return (
            "the device did not answer in time (provider_options timeout_seconds) and its process was ended: see npu-smi info for its "
            f"health; artefacts/{hung[0]} says where it hung."
        )
    return "its process died, most often for want of memory: try smaller batch_sizes, batch_size or a subset."
