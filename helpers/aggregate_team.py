"""The devices that are measured at once, each asked on Ray: those that are left, their clocks, and what became of the others."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from helpers import aggregate_windows, crew, formats
from helpers.aggregate_windows import Clock
from helpers.crew import Worker

PINGS = 5  # of which the shortest tells the clock


class Lost(Exception):
    """A device that was to be measured died, hung or failed."""


class Team:
    """The devices that are left, in the order in which they are counted."""

    def __init__(self, workers: Iterable[Worker]):
        self.left = list(workers)
        self.lost: list[str] = []  # what became of the others
        self.clock_error: dict[Worker, float] = defaultdict(float)  # seconds, the worst

    def get_ready(self, warm_up_seconds: float) -> float:
        """Have every device keep its host, load its model and warm up; return the seconds of the slowest call."""
        self._hold()
        for worker, loaded in self.ask(self.left, "load").items():
            worker.loaded = loaded
            worker.timeout_seconds += 2 * warm_up_seconds
        self.left.sort(
            key=lambda worker: (worker.loaded.host, worker.loaded.place)
        )  # a host is filled before the next: it gets tight there
        warm = self.ask(self.left, "warm_up", warm_up_seconds)
        return max((one.seconds / one.calls for one in warm.values()), default=0.0)

    def _hold(self) -> None:
        """Wait until no single-device sweep is measuring on any of the hosts, and keep them from beginning one."""
        waiting, said = self.left[:], set()
        while waiting:
            held = self.ask(waiting, "hold")
            waiting = [worker for worker in waiting if held.get(worker)]
            for holder in sorted({held[worker] for worker in waiting} - said):
                print(f"Waiting for {holder}: several devices at once are measured when it is done.", flush=True)
                said.add(holder)
            if waiting:
                time.sleep(crew.POLL_SECONDS)

    def ask(self, group: Sequence[Worker], method: str, *arguments: Any) -> dict[Worker, Any]:
        """Return what each of a group answers; one that dies, hangs or fails is put aside and has no answer."""
        return self.ask_each(dict.fromkeys(group, arguments), method)

    def ask_each(self, arguments: Mapping[Worker, Sequence[Any]], method: str) -> dict[Worker, Any]:
        """Return what each answers to arguments of its own."""
        for worker, own in arguments.items():
            worker.ask(method, method, *own)
        found = {}
        while any(worker.doing for worker in arguments):
            for worker, _, answer in crew.answered(list(arguments)):
                if answer.error:
                    self.put_aside(worker, f"was lost {_while(method, len(arguments))}: {answer.error}")
                else:
                    found[worker] = answer.value
        return found

    def put_aside(self, worker: Worker, why: str) -> None:
        """Do without a device from now on."""
        worker.kill()
        self.left.remove(worker)
        self.lost.append(f"{worker} {why}")

    def clock(self, worker: Worker) -> Clock:
        """Return a device's clock as it is now, since those of two hosts drift apart; Lost when it does not answer."""
        pings = []
        for _ in range(PINGS):
            sent = time.perf_counter()
            answer = self.ask([worker], "now")
            if not answer:
                raise Lost
            pings.append((sent, answer[worker], time.perf_counter()))
        found = aggregate_windows.clock(pings)
        self.clock_error[worker] = max(self.clock_error[worker], found.error)
        return found

    def end(self) -> None:
        """End every device's process."""
        for worker in self.left:
            worker.kill()


def _while(method: str, devices: int) -> str:
    """Return what was being done when a device was lost."""
    known = {"hold": "before it began", "load": "while it loaded the model", "warm_up": "while it warmed up"}
    return known.get(method, f"while {formats.counted(devices, 'device was', 'devices were')} measured")
