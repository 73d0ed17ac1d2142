"""A bench in a process of its own: its memory is its own, and when it dies for want of it, the sweep goes on."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil

from helpers import backends, referee
from helpers.backends import Recorded
from helpers.bench import Bench, Ready, Start, Used
from helpers.errors import UserError, first_line, why_it_died
from helpers.params import Target
from helpers.records import Data, Model, Refereed, Region, Telemetry
from helpers.referee import Scenario
from helpers.tensors import Tensors
from helpers.timing import Block


class Failed(Exception):
    """A backend that raised while it was measured, or whose process died; the text is what it said."""

    worker: "Worker"


@dataclass(frozen=True)
class Loaded:
    """What a loaded backend says of itself."""

    label: str
    description: str
    device: str
    precision: str
    region: Region
    simulated: bool
    refusal: str | None  # why it gets no figure
    recorded: Recorded | None  # its times, where nothing runs here
    identity: str
    provider: str
    requests: int
    has_sampler: bool  # the device tells its power, slowly
    start: Start | None  # None where it was not started: nothing runs, it is refused, or it failed


class Worker:
    """A target's bench in a fresh process; what the bench raises is raised here as Failed."""

    def __init__(self, folder: Path, data: Data, model: Model, batch_sizes: list[int], target: Target):
        self._artefacts, self.alive, self._process = folder / "artefacts", True, 0
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_depend_on_parent)
        try:
            self._process = self._ask(os.getpid)
            self.loaded: Loaded = self._ask(_load, folder, data, model, batch_sizes, target)
        except BaseException:
            self.kill()
            raise

    def begin(self, batch: int, warm_up_seconds: float, block_seconds: float, host: bool = False, alone: bool = True) -> Ready:
        return self._ask(_call, "begin", batch, warm_up_seconds, block_seconds, host, alone)

    def block(self, calls: int, lead: bool = False) -> Block:
        return self._ask(_call, "block", calls, lead)

    def run_for(self, seconds: float) -> tuple[int, float]:
        return self._ask(_call, "run_for", seconds)

    def idle_for(self, seconds: float) -> Telemetry | None:
        return self._ask(_call, "idle_for", seconds)

    def end(self) -> Used:
        return self._ask(_call, "end")

    def referee(self, scenario: Scenario, batch: int, seconds: float, pairs: int) -> Refereed:
        """Return how MLPerf LoadGen and the bench agree, both driving it in turns."""
        return self._ask(_referee, scenario, batch, seconds, pairs)

    def close(self) -> None:
        """Free what the runtime holds and end the process."""
        with contextlib.suppress(Failed):  # it has died or was closed, or can't free it: the end of the process will
            self._ask(_close)
        self.alive = False
        self._pool.shutdown()

    def kill(self) -> None:
        """End the process whatever it does: a call may last long, or hang."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if self.alive and self._process:  # else the number may be another's by now
                psutil.Process(self._process).kill()
        self.alive = False
        self._pool.shutdown()

    def _ask(self, function: Callable, *arguments: Any) -> Any:
        try:
            if not self.alive:
                raise Failed("its process has ended")
            return self._pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            self.alive = False
            failed = Failed(why_it_died(self._artefacts))
        except Failed as error:
            failed = error
        failed.worker = self
        raise failed


_bench: Bench  # in the worker's process


def _depend_on_parent() -> None:
    """End this process when its parent is gone, which may be killed, and not before: an interrupt is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _load(*arguments: Any) -> Loaded:
    global _bench
    try:
        _bench, loaded = load(*arguments)
    except UserError:  # the user's to correct
        raise
    except Exception as error:
        raise _failed(error) from None
    return loaded


def load(folder: Path, data: Data, model: Model, batch_sizes: list[int], target: Target) -> tuple[Bench, Loaded]:
    """Return the bench of a target, loaded in this process, and what it says of itself."""
    backends.check(target)  # imports the runtime, which is not loading a model
    started = time.perf_counter()
    backend = backends.load(folder, model, target)
    seconds = time.perf_counter() - started
    refusal = backend.refusal(model, batch_sizes)
    bench = Bench(backend, Tensors.of(folder, data))
    start = None
    if not refusal and not backend.recorded:
        start = _started(bench, min(batch_sizes), seconds)
    return bench, Loaded(
        label=backend.label,
        description=backend.describe(),
        device=backend.device,
        precision=backend.precision,
        region=backend.region,
        simulated=backend.simulated,
        refusal=refusal,
        recorded=replace(backend.recorded, answers={}) if backend.recorded else None,
        identity=backend.identity,
        provider=backend.provider,
        requests=backend.requests,
        has_sampler=backend.sampler() is not None,
        start=start,
    )


def _started(bench: Bench, batch: int, load_seconds: float) -> Start | None:
    try:
        return bench.start(batch, load_seconds)
    except Exception:  # runtimes share no base class; the measurement itself records what is wrong
        return None


def _call(method: str, *arguments: Any) -> Any:
    return _told(lambda: getattr(_bench, method)(*arguments))


def _referee(*arguments: Any) -> Refereed:
    return _told(lambda: referee.compare(_bench, *arguments))


def _told(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except Exception as error:  # runtimes share no base class for what they raise, out of memory included
        raise _failed(error) from None


def _failed(error: Exception) -> Failed:
    """Return what an error says in one line; not all of them can be sent to another process."""
    return Failed(first_line(error))


def _close() -> None:
    _told(_bench.backend.close)
