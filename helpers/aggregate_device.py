"""What one of several devices does that are measured at once: it loads the model, and calls it from one moment to another."""

import platform
import time

import numpy as np

from helpers import host_lock
from helpers.aggregate_windows import Ran
from helpers.bench import Bench
from helpers.errors import UserError
from helpers.evaluator import Evaluator, Job, Loaded
from helpers.records import WarmUp

BLOCK_SECONDS = 0.01  # short: a window's edges cut few calls


class Device(Evaluator):
    """A model on this process's device; moments are of this process's clock."""

    def __init__(self, job: Job):
        super().__init__(job)
        self._lock = host_lock.HostLock(f"run {job.folder.name}")

    def hold(self) -> str:
        """Keep single-device sweeps off this host until the process ends; return who is measuring there now, empty when nobody is."""
        holder = self._lock.take(shared=True)
        return f"{holder}, on {platform.node()}" if holder else ""

    def load(self) -> Loaded:
        """Load the model and return what there is to say of it; UserError where it must not be used."""
        loaded = super().load()
        if refusal := self._backend.refusal(self._job.model, [self._job.batch_size]):
            raise UserError(refusal)
        self._bench = Bench(self._backend, self._images)
        return loaded

    def warm_up(self, limit_seconds: float) -> WarmUp:
        """Warm up, and return what that took."""
        ready = self._bench.begin(self._job.batch_size, limit_seconds, BLOCK_SECONDS, alone=False)
        self._calls = ready.calls_per_block
        return ready.warm_up

    def now(self) -> float:
        """Return the clock's seconds."""
        return time.perf_counter()

    def run(self, begin: float, end: float) -> Ran:
        """Call in blocks from one moment until a block has ended after the other."""
        time.sleep(max(0.0, begin - self.now()))
        marks = [self.now()]
        while marks[-1] < end:
            self._bench.block(self._calls)
            marks.append(self.now())
        return Ran(np.array(marks), self._job.batch_size * self._calls)
