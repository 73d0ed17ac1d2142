"""Work handed to threads and taken back in order, with a bound on what is under way."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item, Made = TypeVar("Item"), TypeVar("Made")


def in_order(function: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Made]:
    """Yield function(item) for each item, in order, made by so many threads.

    At most one item a thread and one more are begun and not yet asked for, so that memory does not grow with the number of items. Threads
    are enough where the work is done by libraries that let go of Python's lock: decoders, NumPy, compiled kernels.
    """
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for begun in waiting:
                begun.cancel()
