"""MLPerf LoadGen drives a loaded backend: it issues the queries and keeps the time, the backend answers them.

Its figures are of whole calls, copies included where there are any. In Offline it takes about 1 us an image for itself.
"""

import math
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from helpers.backends import Backend
from helpers.errors import UserError

Listener = Callable[[Sequence[int]], object]
SLACK = 4  # times the expected rate: faster than that, a run is so short that LoadGen calls it INVALID


@dataclass(frozen=True)
class Heard:
    """What LoadGen says of one run; its p90 is the early-stopping estimate of a call, None below the 64 calls that it needs."""

    images_per_second: float
    latency_p90_ms: float | None = None


def module() -> ModuleType:
    """Return LoadGen's module; UserError when it is not installed."""
    try:
        import mlperf_loadgen
    except ImportError as error:
        raise UserError("referee needs MLPerf LoadGen: pip install -e '.[referee]', or say referee: false.") from error
    return mlperf_loadgen


def offline(backend: Backend, images: np.ndarray, batch: int, seconds: float, images_per_second: float) -> Heard:
    """Return what LoadGen hears in Offline: all samples in one query, a sample is an image, time ends with the last one.

    `images_per_second` is the expected rate; it makes the query last about `seconds`. The query is a whole number of batches, since
    only sizes that were compared may run. A backend with several requests gets all batches at once.
    """
    lg = module()
    batches = _batches(images, batch)
    places: dict[int, int] = {}

    def load(samples: Sequence[int]) -> None:
        # Which image a sample is, the library decides. LoadGen repeats its shuffled samples in the order in which it loads them:
        # numbered so, a batch of its samples is a batch of neighbouring images, and nothing is copied while the clock runs.
        places.update({sample: place for place, sample in enumerate(samples)})

    def answer(samples: Sequence[int]) -> None:
        chosen = (batches[places[first] // batch] for first in samples[::batch])
        if backend.requests > 1:
            backend.flood(chosen, len(samples) // batch)
        else:
            for given in chosen:
                backend(given)

    settings = lg.TestSettings()
    settings.scenario = lg.TestScenario.Offline
    settings.offline_expected_qps = images_per_second
    settings.min_duration_ms = round(1000 * seconds / SLACK)  # asks for fewer samples than the next line, which therefore decides
    settings.min_query_count = batch * math.ceil(images_per_second * seconds / batch)
    summary = _run(lg, settings, len(batches) * batch, load, answer)
    return Heard(_number(r"Samples per second\s*:", summary))


def single_stream(backend: Backend, images: np.ndarray, batch: int, seconds: float, call_seconds: float) -> Heard:
    """Return what LoadGen hears in SingleStream: one query after the other for `seconds`, drawn at random, each of one sample.

    A sample is a prepared batch, so that a query is one call at any batch size. Images per second are `batch` over LoadGen's mean
    latency, since latency is what the scenario is about. `call_seconds` is the expected time of a call.
    """
    lg = module()
    batches = _batches(images, batch)
    settings = lg.TestSettings()
    settings.scenario = lg.TestScenario.SingleStream
    settings.single_stream_expected_latency_ns = max(1, round(2e9 * call_seconds / SLACK))  # queries for twice the duration are prepared
    settings.min_duration_ms = round(1000 * seconds)
    settings.min_query_count = 1
    summary = _run(lg, settings, len(batches), lambda samples: None, lambda samples: backend(batches[samples[0]]))
    enough = "Early stopping satisfied: Yes" in summary
    p90 = _number(r"Early stopping 90\.0th percentile estimate:", summary) / 1e6 if enough else None
    # Between two queries LoadGen takes 6 us for itself: 2 % of a call of 0.3 ms. It says so, and gives the rate without it as well.
    return Heard(batch * _number(r"QPS w/o loadgen overhead\s*:", summary), p90)


def _batches(images: np.ndarray, batch: int) -> list[np.ndarray]:
    """Return the whole batches that the images make, at least one."""
    if batch > len(images):
        images = np.resize(images, (batch, *images.shape[1:]))
    return [images[start : start + batch] for start in range(0, len(images) - batch + 1, batch)]


def _run(lg: ModuleType, settings: Any, samples: int, load: Listener, answer: Listener) -> str:
    """Run one test over a library of samples and return LoadGen's summary; one INVALID in its rate, or a failed call, is raised.

    `load` gets the samples in LoadGen's order before the clock starts, `answer` those of each query. Nothing is printed or left
    behind. A process can run one test at a time.
    """
    failures: list[BaseException] = []

    def issue(identities: Sequence[int], chosen: Sequence[int]) -> None:
        # What is raised through LoadGen leaves its threads running, and the next test ends the process: every query is answered,
        # and the error raised when the test is over. Answers have no bytes, so no buffer has to outlive this call.
        try:
            if not failures:
                answer(chosen)
        except BaseException as error:
            failures.append(error)
        lg.QuerySamplesComplete([lg.QuerySampleResponse(identity, 0, 0) for identity in identities])

    with tempfile.TemporaryDirectory() as folder:
        log = lg.LogSettings()
        log.log_output.outdir = folder
        log.enable_trace = False  # on unless told otherwise
        sut = lg.ConstructFastSUT(issue, lambda: None)  # plain lists: half the time for each sample
        library = lg.ConstructQSL(samples, samples, load, lambda unloaded: None)
        try:
            # A file of settings in the working folder would be obeyed: an audit file that does not exist is named instead.
            lg.StartTestWithLogSettings(sut, library, settings, log, f"{folder}/none")
        finally:
            lg.DestroyFastSUT(sut)
            lg.DestroyQSL(library)
        summary = (Path(folder) / "mlperf_log_summary.txt").read_text()
    if failures:
        raise failures[0]
    unmet = re.findall(r"^  (.+) satisfied\s*: NO$", summary, re.MULTILINE)
    if "Result is : VALID" not in summary and unmet != ["Early stopping"]:  # too few queries for its percentile: the rate stands
        raise UserError(f"LoadGen calls its run INVALID ({', '.join(unmet)}): the rate was far from the expected one, so measure again.")
    return summary


def _number(pattern: str, summary: str) -> float:
    found = re.search(pattern + r"\s*([\d.e+]+)", summary)
    if not found:
        raise UserError("LoadGen's summary has another form than that of mlcommons-loadgen 6.0: install that version.")
    return float(found[1])
