"""A loaded backend with the images that it rotates through: it gets ready at a batch size and times blocks of calls."""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from helpers import memory, metrics, scores, timing
from helpers.backends import Backend, Sampler
from helpers.records import Telemetry, WarmUp
from helpers.tensors import Tensors
from helpers.timing import Block, Times

POOL_BYTES = 256 * 2**20
POOL_IMAGES = 1024
LONG_CALL = 0.5  # seconds; whatever others left in the caches is read again in a hundredth of it
ROUNDS_IN_FLIGHT = 4  # a block has so many calls for each request, since it begins and ends with fewer in flight


@dataclass(frozen=True)
class Start:
    """Seconds that a backend took to load its model, what a compiler took left out, for its first call, and for one image of its second."""

    load: float
    first_call: float
    image: float


@dataclass(frozen=True)
class Ready:
    """A backend after its warm-up at a batch size, how many calls fill a block, and its start where each size has a model of its own."""

    warm_up: WarmUp
    calls_per_block: int
    compile_seconds: float | None
    start: Start | None


@dataclass(frozen=True)
class Used:
    """What a backend used at one batch size."""

    peak_memory_bytes: int | None
    peak_device_memory_bytes: int | None
    telemetry: Telemetry | None


class Bench:
    """A loaded backend that can be timed at one batch size after the other; seconds are by the clock given."""

    def __init__(self, backend: Backend, tensors: Tensors, clock: Callable[[], float] = time.perf_counter):
        self.backend, self._clock = backend, clock
        self._tensors = tensors.prepared(backend.expects(tensors.how))
        self.images = pool(self._tensors)
        self._sampler: Sampler | None = None
        self._watching = ExitStack()

    def start(self, batch: int, load_seconds: float = 0.0) -> Start:
        """Make the first two calls at a batch size and return how the backend started; `load_seconds` is what came before."""
        given = next(rotate(self.images, batch))
        marks = [self._clock()]
        for act in (lambda: self.backend.prepare(batch), lambda: self.backend(given), lambda: self.backend(given)):
            act()
            marks.append(self._clock())
        prepare, first, second = np.diff(marks).tolist()
        compiled = self.backend.compile_seconds or 0.0  # known by now, wherever it was done
        return Start(load_seconds + prepare - compiled, first, second / batch)

    def begin(self, batch: int, warm_up_seconds: float, block_seconds: float, host: bool = False, alone: bool = True) -> Ready:
        """Warm up at a batch size and return what that took and how many calls fill a block.

        `host`: a call then goes from stored pixels to the five best classes; else it is the backend's alone. `alone`: nobody takes
        turns, so that what the device says of itself until `end` is of these calls.
        """
        self._watching.close()  # of a measurement that failed
        self._batch, self._host = batch, host
        self._batches = self._assembled(batch) if host else rotate(self.images, batch)
        start = self.start(batch) if self.backend.loads_each_batch else None
        self.backend.prepare(batch)
        memory.reset()
        self.backend.device_memory_bytes()
        self._sampler = self.backend.sampler() if alone else None
        if self._sampler:
            self._watching.enter_context(self._sampler)
        requests = self.backend.requests
        used, self._fastest = timing.warm_up(lambda: self._calls(requests), warm_up_seconds, self._clock)
        rounds = math.ceil(block_seconds / max(self._fastest, 1e-6))
        self._calls_per_block = rounds if requests == 1 else requests * max(rounds, ROUNDS_IN_FLIGHT)
        return Ready(used, self._calls_per_block, self.backend.compile_seconds, start)

    def block(self, calls: int, lead: bool = False) -> Block:
        """Time so many calls on real images; `lead`: after one that is not counted, unless a call is so long that caches are nothing."""
        if lead and self._fastest < LONG_CALL:
            self._calls(self.backend.requests)
        cpu = time.process_time()
        timed = self._calls(calls)
        return replace(timed, cpu_seconds=time.process_time() - cpu)

    def run_for(self, seconds: float) -> tuple[int, float]:
        """Call at the batch size of `begin` for at least so long, and return images and seconds."""
        images, spent = 0, 0.0
        while spent < seconds:
            spent += self._calls(self._calls_per_block).seconds
            images += self._batch * self._calls_per_block
        return images, spent

    def idle_for(self, seconds: float) -> Telemetry | None:
        """Return what the device says of itself while nothing runs."""
        sampler = self.backend.sampler()
        if sampler is None:
            return None
        with sampler:
            time.sleep(seconds)
        return sampler.telemetry()

    def end(self) -> Used:
        """Return what was used since `begin`."""
        self._watching.close()
        telemetry = self._sampler.telemetry() if self._sampler else None
        return Used(memory.peak_bytes(), self.backend.device_memory_bytes(), telemetry)

    def _calls(self, calls: int) -> Block:
        if self.backend.requests == 1:
            return timing.block(self._call, calls, self._clock)
        started = self._clock()
        latencies = self.backend.flood(self._batches, calls)
        return Block(self._clock() - started, latencies)

    def _call(self) -> Times | None:
        answers = self.backend(next(self._batches))
        if self._host:
            metrics.top_k(answers, scores.TOP)
        return self.backend.times

    def _assembled(self, batch: int) -> Iterator[np.ndarray]:
        """Yield batches made from the store when they are asked for."""
        places = itertools.cycle(range(0, max(1, len(self._tensors) - batch + 1), batch))
        for at in places:
            made = self._tensors[at : at + batch]
            yield made if len(made) == batch else np.resize(made, (batch, *made.shape[1:]))


def pool(tensors: Tensors) -> np.ndarray:
    """Return distinct prepared images to rotate through: as many as fit into 256 MiB, at most 1,024."""
    image_bytes = tensors[:1].nbytes
    return tensors[: min(POOL_IMAGES, max(1, POOL_BYTES // image_bytes), len(tensors))]


def rotate(images: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """Yield batches of real images for ever, each image as often as any other; copied, where they must be, before the clock starts."""
    ring = images
    if len(images) % batch:  # a batch goes beyond the end, to the first ones again
        ring = np.resize(images, (len(images) + batch, *images.shape[1:]))
    places = [at % len(images) for at in range(0, math.lcm(len(images), batch), batch)]
    return itertools.cycle([ring[at : at + batch] for at in places])
