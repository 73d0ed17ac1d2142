"""Is the harness right? Its intervals and verdicts on simulated noise of known size, and its clock against a sleep of known length.

The peer of the interval is arch's stationary bootstrap on the same simulated blocks; that of the clock is the sleep itself, as
the null backend times it. Writes results/harness_<cores>cores.json and exits with 1 when a criterion is not met.
"""

import json
import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from results import write
from tqdm import tqdm

from helpers import noise, timing, verdict
from helpers.records import Row, Series
from helpers.timing import Block, Point

SIMULATIONS = 2000
BOOTSTRAPS = 200  # simulations of the slower peer
BLOCK_SECONDS = 0.05
QUIET = noise.Seen()


class Simulated:
    """Blocks whose times are known but for a noise of known size and correlation: log-normal, first-order autoregressive."""

    def __init__(self, clock: "Clock", random: np.random.Generator, variation: float, correlation: float, slower: float = 1.0):
        self._clock, self._mean = clock, slower * BLOCK_SECONDS
        steps = random.standard_normal(2000)
        state, states = random.standard_normal(), []
        for step in steps:
            state = correlation * state + np.sqrt(1 - correlation**2) * step
            states.append(state)
        self._times = iter(self._mean * np.exp(variation * np.array(states) - variation**2 / 2))

    def block(self, calls: int, lead: bool) -> Block:
        seconds = float(next(self._times))
        self._clock.now += seconds
        return Block(seconds, [seconds])


class Clock:
    """Simulated time."""

    now = 0.0

    def __call__(self) -> float:
        return self.now
