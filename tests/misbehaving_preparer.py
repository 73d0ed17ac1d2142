"""A worker that prepares, and misbehaves as it is told; in a module of its own, for the workers to import."""

import json
import os
import signal

from helpers.preparer import Preparer
from tests.ray_cluster import claim


class Misbehaving(Preparer):
    """Does what faults.json says.

    The unit at `fails_at` raises. The first `wrong` workers make every pixel wrong, the first `drifts` do from their first unit on, and
    the first `dies` end at their first unit.
    """

    def __init__(self, job):
        super().__init__(job)
        folder = job.artefacts.parent
        self._faults = json.loads((folder / "faults.json").read_text())
        self._role = next((role for role in ("wrong", "drifts", "dies") if claim(folder, role, self._faults)), "")

    def load(self):
        loaded = super().load()
        if self._role == "wrong":
            self._spoil()
            return type(loaded)(**{**vars(loaded), "probe": self.probe()})
        return loaded

    def prepare(self, unit, names):
        if unit.first == self._faults.get("fails_at"):
            raise OSError("out of luck\nat 0x1")
        if self._role == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._role == "drifts":
            self._spoil()
        return super().prepare(unit, names)

    def _spoil(self) -> None:
        """Make every value another one from now on."""
        self._role, right = "", self._work

        def wrong(chunk):
            pixels, what = right(chunk)
            return pixels ^ 1, what

        self._work = wrong
