"""Workers at work: each pulls units until none is left, and what one fails at goes to another.

A worker that answers the first images otherwise than the others, when it begins, after every so many units or when it ends, is put aside.
What a worker that leaves for whatever reason did since it last answered right is done again: a device may go wrong before it dies. That is
the same for every kind of work, evaluating or preparing.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tqdm import tqdm

from helpers import cluster, crew, formats
from helpers.crew import Answer, Loaded, Worker
from helpers.errors import UserError
from helpers.kept_parts import KeptParts
from helpers.kinds import Kind
from helpers.params import Workers
from helpers.records import UnitDone
from helpers.tries import Tries
from helpers.units import Kept, Unit

LOAD, PROBE = "load", "probe"
PROVE_UNITS = 16  # so many units at most are lost with a worker that begins to answer otherwise, or dies


def share(kind: Kind, kept: Kept | KeptParts, workers: Workers, process: type, job: Any) -> tuple[Loaded, list[str]]:
    """Have workers on Ray do every unit that is not kept, each a `process` made of the job; return what one says of itself, and remarks.

    Where that has a reason why it must not be asked, nothing is done. A unit that fails more than `max_retries` times, an address that does
    not answer and workers of which none is left are UserErrors. An interrupt ends the workers; what is done stays.
    """
    with cluster.joined(workers):
        limits = workers if kind.on_device else cluster.for_cores(workers)
        work = Work(kind, kept, limits, lambda number: crew.hire(number, limits, process, job))
        try:
            said = work.start()
            if not said.reason:
                work.run()
        finally:
            work.end()
    return said, work.remarks


class Work:
    """The workers of one kind of work, and what each is at."""

    def __init__(self, kind: Kind, kept: Kept | KeptParts, limits: Workers, hire: Callable[[int], Worker]):
        self._kind, self._kept, self._limits, self._hire = kind, kept, limits, hire
        self._tries = Tries(kept.missing)
        self._crew: list[Worker] = []
        self._hired = 0
        self._agreed: Loaded | None = None  # what the one said that the others are held against
        self.remarks: list[str] = []

    def start(self) -> Loaded:
        """Hire, wait until each is ready, put aside who answers otherwise; return what one of the others says of itself.

        Who was hired in another's place meanwhile is not waited for: there may be no device left for it.
        """
        wanted = min(self._limits.count, max(1, len(self._tries)))
        for _ in range(wanted):
            self._add()
        while any(worker.doing == LOAD and worker.number <= wanted for worker in self._crew) or not self._loaded():
            self._listen()
        [(most, _)] = Counter(worker.loaded.runs for worker in self._loaded()).most_common(1)
        alike = {str(worker): worker.loaded for worker in self._loaded() if worker.loaded.runs == most}
        first = next(iter(alike.values()))
        if first.reason:
            return first
        believed = self._kind.believed(alike)
        self._agreed = next(loaded for loaded in alike.values() if loaded.probe is believed)
        for worker in self._loaded():
            self._judge(worker, worker.loaded.probe)
        return self._agreed

    def run(self) -> None:
        """Work until every unit is done, and every worker that did one has answered the first images once more."""
        total = sum(unit.count for unit in self._kept.missing) + self._kept.images
        with tqdm(total=total, initial=self._kept.images, desc=f"{self._kind.name} by {len(self._crew)} workers", unit="image") as progress:
            while self._tries or any(worker.doing not in (None, LOAD) or worker.unproven for worker in self._crew):
                self._hand_out()
                self._listen()
                progress.update(self._kept.images - progress.n)

    def end(self) -> None:
        """End every worker."""
        for worker in self._crew:
            worker.kill()

    def _add(self) -> None:
        self._hired += 1
        worker = self._hire(self._hired)
        self._crew.append(worker)
        worker.ask(LOAD, "load")

    def _loaded(self) -> list[Worker]:
        return [worker for worker in self._crew if worker.loaded]

    def _hand_out(self) -> None:
        """Give each worker a unit and one ahead, or the first images once more when it did many or there is no unit left."""
        loaded = {worker.number for worker in self._loaded()}
        for most in (1, 2):
            for worker in self._crew:
                if self._has_room(worker, most) and (unit := self._tries.take(worker.number, loaded)):
                    worker.ask(unit, *self._kind.ask(unit))
        for worker in self._crew:
            if not worker.handed and (len(worker.unproven) >= PROVE_UNITS or (worker.unproven and not self._tries)):
                worker.ask(PROBE, "probe")

    def _has_room(self, worker: Worker, most: int) -> bool:
        """Return whether a worker may be handed a unit, of which it then has so many at most: the last ones go to whoever is idle."""
        handed, plenty = len(worker.handed), most == 1 or len(self._tries) > len(self._crew)
        ready = worker.loaded and worker.doing != PROBE and handed + len(worker.unproven) < PROVE_UNITS
        return bool(ready and plenty and handed < most)

    def _listen(self) -> None:
        """Take in what came back."""
        for worker, doing, answer in crew.answered(self._crew):
            if answer.error:
                self._went_wrong(worker, doing, answer)
            elif doing == LOAD:
                worker.loaded = answer.value
                if self._agreed:  # else they are judged together
                    self._judge(worker, worker.loaded.probe)
            elif doing == PROBE:
                self._judge(worker, answer.value)
            else:
                self._keep(worker, doing, *answer.value)

    def _keep(self, worker: Worker, unit: Unit, found: Any, seconds: float) -> None:
        who = {"host": worker.loaded.host, "device": worker.loaded.described["device"], "place": worker.loaded.place}
        started = datetime.now(UTC) - timedelta(seconds=seconds)
        when = {"started_utc": started.isoformat(timespec="milliseconds"), "seconds": seconds, "tries": self._tries.count(unit)}
        self._kept.add(found, UnitDone(**unit._asdict(), **who, **when))
        worker.unproven.append(unit)

    def _judge(self, worker: Worker, probe: Any) -> None:
        """Put a worker aside when it is not what the others are."""
        agreed, said = self._agreed, worker.loaded
        if said.runs != agreed.runs:
            self._put_aside(worker, f"runs {said.runs} where others run {agreed.runs}")
        elif not self._kind.agree(agreed, probe):
            self._put_aside(worker, self._kind.otherwise)
        worker.unproven.clear()

    def _put_aside(self, worker: Worker, why: str) -> None:
        self._leave(worker, f"{worker} {why}: it was put aside")

    def _went_wrong(self, worker: Worker, doing: str | Unit, answer: Answer) -> None:
        """Give what a worker failed at to another, and replace the worker if it is lost; UserError when that was tried too often."""
        if isinstance(doing, Unit) and (failed := self._tries.failed(doing, worker.number)) > self._limits.max_retries:
            raise self._stopped(f"{doing} failed {formats.counted(failed, 'time')}, last on {worker}: {answer.error}")
        if doing == PROBE and not answer.lost:
            self._put_aside(worker, f"failed at the first images ({answer.error})")
        elif doing == LOAD or answer.lost:
            at = {LOAD: self._kind.getting_ready, PROBE: "the first images"}.get(doing, doing)
            replaced = answer.lost and (doing, answer.lost) != (LOAD, "hung")  # a device that others hold does not become free by asking
            if replaced and self._hired < self._limits.count * (1 + self._limits.max_retries):
                self._add()
            self._leave(worker, f"{worker} left at {at}: {answer.error}")

    def _leave(self, worker: Worker, remark: str) -> None:
        """Do without a worker, and without what it did since it last answered right; UserError when it was the last."""
        worker.kill()
        self._crew.remove(worker)
        for unit in worker.unproven:
            self._kept.drop(unit)
        self._tries.again([*worker.unproven, *(unit for unit, _ in worker.handed)])
        remark += f"; done again: {formats.counted(len(worker.unproven), 'unit')} that it did" if worker.unproven else ""
        self.remarks.append(f"{remark}.")
        if not self._crew:
            raise self._stopped(f"no worker is left, {remark}")

    def _stopped(self, why: str) -> UserError:
        done = formats.counted(self._kept.images, "image")
        return UserError(f"{why}; correct that and run {self._kind.notebook} again: it goes on from what is done, {done}.")
