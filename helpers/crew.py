"""Workers on Ray, each a process with a device of its own: asked for one thing at a time, given up when it dies or hangs."""

import contextlib
import platform
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from helpers import cluster, steps
from helpers.errors import first_line
from helpers.params import Workers

POLL_SECONDS = 0.5  # how often it is looked whether one hangs
LOAD_SECONDS = 600  # that a process may take to start and to load its model: a compiler may be part of that


@dataclass(frozen=True)
class Loaded:
    """What a worker says of itself once it is ready."""

    host: str
    place: str  # the process on its host, and the card and chip where they can be told
    described: dict
    reason: str | None  # why it must not be asked
    probe: Any  # its answers to the first images

    @property
    def runs(self) -> str:
        """Return runtime, version, provider and precision, which a result has one of."""
        return self.described["backend"]


@dataclass(frozen=True)
class Answer:
    """What came back: a value, or the text of what went wrong, and whether and how the worker is lost with it."""

    value: Any = None
    error: str = ""
    lost: Literal["", "died", "hung"] = ""
    host: str = ""  # where that went wrong, if it was said from there


class Actor:
    """The process's side: makes an object of a class and calls it; what that raises comes back as text, which every host can read.

    It answers nothing where its host has other helpers than the process that asks, whose hash of them is `code`.
    """

    def __init__(self, code: str, kind: type, *arguments: Any):
        self._object, self._same = kind(*arguments), steps.helpers_hash() == code

    def ask(self, method: str, *arguments: Any) -> Answer:
        host = platform.node()
        if not self._same:
            return Answer(error=f"{host} has other helpers than this host: have the same commit on all hosts", host=host)
        try:
            return Answer(getattr(self._object, method)(*arguments))
        except Exception as error:  # runtimes share no base class for what they raise
            return Answer(error=first_line(error).rstrip("."), host=host)


@dataclass(eq=False)
class Worker:
    """The driver's side: which process it is, and what it is at."""

    number: int
    actor: Any
    timeout_seconds: float
    loaded: Loaded | None = None
    host: str = ""  # known once it has answered
    handed: deque = field(default_factory=deque)  # (what it was asked for, the task of that): it is at the first, others wait for it
    since: float = 0.0  # when it came to the first
    unproven: list = field(default_factory=list)  # the units it did since it last answered the first images as it should

    def __str__(self) -> str:
        """Return what it is called: `redact` finds the hosts by this form."""
        if self.loaded:
            return f"worker {self.number} on {self.loaded.host} ({self.loaded.place})"
        return f"worker {self.number}" + (f" on {self.host}" if self.host else "")

    @property
    def patience(self) -> float:
        """Return how many seconds what it is at may take."""
        return self.timeout_seconds if self.loaded else LOAD_SECONDS

    @property
    def doing(self) -> Any:
        """Return what it is at, None when it is idle."""
        return self.handed[0][0] if self.handed else None

    @property
    def task(self) -> Any:
        """Return the task of what it is at, None when it is idle."""
        return self.handed[0][1] if self.handed else None

    def ask(self, doing: Any, method: str, *arguments: Any) -> None:
        """Hand it something, which it begins when what it was handed before is done; `answered` tells when that is."""
        self.since = self.since if self.handed else time.monotonic()
        self.handed.append((doing, self._begin(method, *arguments)))

    def done(self) -> Any:
        """Return what it was at, and have it at what it was handed next."""
        self.since = time.monotonic()
        return self.handed.popleft()[0]

    def kill(self) -> None:
        """End the process whatever it does."""
        import ray

        with contextlib.suppress(ValueError):  # Ray knows it no longer
            ray.kill(self.actor)

    def _begin(self, method: str, *arguments: Any) -> Any:
        return self.actor.ask.remote(method, *arguments)


def hire(number: int, workers: Workers, kind: type, *arguments: Any) -> Worker:
    """Return a worker whose process is being started where Ray has a device free, spread over the hosts."""
    import ray

    options = {**cluster.demand(workers), "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
    return Worker(number, ray.remote(Actor).options(**options).remote(steps.helpers_hash(), kind, *arguments), workers.unit_timeout_seconds)


def answered(workers: Sequence[Worker]) -> list[tuple[Worker, Any, Answer]]:
    """Return (worker, what it was asked for, answer) of those that are done, dead or beyond their time; waits half a second at most."""
    import ray

    tasks = {worker.task: worker for worker in workers if worker.task}
    ray.wait(list(tasks), num_returns=1, timeout=POLL_SECONDS)
    ready, _ = ray.wait(list(tasks), num_returns=len(tasks), timeout=0)  # all that are done by now: asking one by one would take longer
    found = [(tasks[task], _got(task)) for task in ready]
    late = [worker for task, worker in tasks.items() if task not in ready and time.monotonic() - worker.since > worker.patience]
    found += [(worker, Answer(error=f"gave no answer in {worker.patience:g} s", lost="hung")) for worker in late]
    told = [(worker, worker.done(), answer) for worker, answer in found]
    for worker, _, answer in told:
        worker.host = answer.host
        if answer.lost:
            worker.kill()
    return told


def _got(task: Any) -> Answer:
    """Return what a task came back with; Ray's own errors mean that the worker is lost."""
    import ray

    try:
        return ray.get(task)
    except ray.exceptions.OutOfMemoryError:
        return Answer(error="Ray ended its process for want of memory", lost="died")
    except ray.exceptions.RayError as error:
        made = "creation task" in str(error) or isinstance(error, ray.exceptions.RayTaskError)  # it could not even be made there
        return Answer(error=str(error).strip().splitlines()[-1][:300] if made else "its process or its host died", lost="died")
