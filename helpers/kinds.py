"""What differs between the kinds of work that workers share: evaluating and preparing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from helpers.crew import Loaded
from helpers.units import Unit


@dataclass(frozen=True)
class Kind:
    """One kind of work: its words, how a unit is asked for, and which answers to the first images are right."""

    notebook: str  # to be run again
    name: str  # beside the progress bar
    getting_ready: str
    on_device: bool  # else cores are all it needs
    otherwise: str  # what a worker does that is put aside
    ask: Callable[[Unit], tuple]  # the worker's method and its arguments; it returns what was found and the seconds that took
    believed: Callable[[Mapping[str, Loaded]], Any]  # of workers that run the same, the answers that are to be believed
    agree: Callable[[Loaded, Any], bool]  # whether answers are those of a worker that is believed
