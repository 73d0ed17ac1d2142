"""A device that misbehaves as it is told: in a module of its own, which its process imports without what tests need."""

import os
import signal
import time

from helpers.aggregate_device import Device


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
