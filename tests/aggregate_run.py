"""A run to measure on several devices at once, which sleep, and devices that misbehave as they are told."""

import os
import signal
import time
from pathlib import Path

from helpers import params, records, steps
from helpers.aggregate_device import Device
from helpers.timing import Profile
from tests import ray_cluster

BRIEF = Profile(30, 0.0, 0.0, warm_up_seconds=0.05, limit_seconds=5.0, block_seconds=0.01)


def step_of(folder: Path, count: int = 2, **given):
    """Return notebook 4 at work on a run of a few digits, by devices that sleep 2 ms a call."""
    ray_cluster.write_run(folder, 16)
    null = {"backend": "null", "baseline": "none", "batch_sizes": [8], "provider_options": {"call_ms": 2.0, "image_ms": 0.0}}
    workers = {"engine": "ray", "count": count, "unit_timeout_seconds": 5.0}
    return steps.Step(records.Sweep, params.check(params.BatchSweep, run=str(folder), **{**null, "workers": workers, **given}))


class Misbehaving(Device):
    """The first device that is measured a second time, and then with another, does what the run's file `fault` says."""

    _runs = 0

    def run(self, begin, end):
        self._runs += 1
        if self._runs == 2 and (fault := self._claimed()):
            if fault == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)
        return super().run(begin, end)

    def _claimed(self):
        try:
            return (self._job.folder / "fault").rename(self._job.folder / "claimed").read_text()
        except FileNotFoundError:
            return ""
