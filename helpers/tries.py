"""Units that are still to do, and which workers failed at which, so that another gets them."""

from collections import defaultdict, deque
from collections.abc import Iterable

from helpers.units import Unit


class Tries:
    """A queue of units for numbered workers."""

    def __init__(self, units: Iterable[Unit]):
        self._waiting = deque(units)
        self._failed: dict[Unit, list[int]] = defaultdict(list)

    def __len__(self) -> int:
        """Return how many units wait."""
        return len(self._waiting)

    def take(self, worker: int, workers: set[int]) -> Unit | None:
        """Return the next unit for a worker, None when it has to wait: it gets none that it failed at, unless all `workers` did."""
        for unit in self._waiting:
            if worker not in self._failed[unit] or workers <= set(self._failed[unit]):
                self._waiting.remove(unit)
                return unit
        return None

    def failed(self, unit: Unit, worker: int) -> int:
        """Put a unit back, before all others, and return how often it failed by now."""
        self._failed[unit].append(worker)
        self.again([unit])
        return len(self._failed[unit])

    def again(self, units: Iterable[Unit]) -> None:
        """Put units back whose answers are not believed."""
        self._waiting.extendleft(units)

    def count(self, unit: Unit) -> int:
        """Return the number of tries that a unit which is now done took."""
        return len(self._failed[unit]) + 1
