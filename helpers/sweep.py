"""The series of a batch sweep: the candidate, and a baseline measured beside it or published."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from helpers import backends, baselines, timing
from helpers.backends import Backend
from helpers.params import BASELINES, BatchSweep
from helpers.progress import announce
from helpers.records import Data, Model, Row, Series
from helpers.steps import Step
from helpers.tensors import Tensors

POOL_BYTES = 256 * 2**20
POOL_IMAGES = 1024


def measure(step: Step, data: Data, model: Model) -> list[Series]:
    """Return the candidate's series first, then the baseline's; a refused model has a reason instead of numbers."""
    settings: BatchSweep = step.settings
    published = BASELINES / f"{settings.baseline}.yaml"
    targets = [target for target in (settings, settings.live_baseline(settings.threads)) if target]
    images = pool(Tensors.of(step.folder, data))
    loaded, starts = [], []
    for target in targets:
        started = time.perf_counter()
        loaded.append(backends.load(step.folder, model, target))
        starts.append(_start(loaded[-1], time.perf_counter() - started, images[:1]))
    sizes = np.random.default_rng(settings.seed).permutation(settings.batch_sizes).tolist()
    refused = {backend: backend.refusal(model, settings.batch_sizes) for backend in loaded}
    useful = [backend for backend in loaded if not refused[backend]] if not refused[loaded[0]] else []
    profile = timing.PROFILES[settings.profile]
    seconds = [profile.expected_seconds(start.call_seconds, sizes) for start in starts]
    announce(f"batch sizes {settings.batch_sizes}", sum(seconds) if useful else 0)
    rows = _measure(useful, images, sizes, profile)
    for backend in loaded:
        if backend not in useful:
            reason = f"refused: {refused[backend] or refused[loaded[0]]}"
            rows[backend] = [Row(batch=batch, regions={}, error=reason) for batch in settings.batch_sizes]
    roles = ["candidate", "baseline"]
    measured = [
        _series(backend, role, [start.put_into(row) for row in rows[backend]], settings)
        for backend, role, start in zip(loaded, roles, starts, strict=False)
    ]
    for backend in loaded:
        backend.close()
    return measured + (baselines.read(published) if published.is_file() else [])


def pool(tensors: Tensors) -> np.ndarray:
    """Return distinct prepared images to rotate through: as many as fit into 256 MiB, at most 1,024."""
    image_bytes = tensors[:1].nbytes
    return tensors[: min(POOL_IMAGES, max(1, POOL_BYTES // image_bytes), len(tensors))]


def rotate(images: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """Yield batches of real images for ever, neighbours different; made before the clock starts where they must be copied."""
    if batch >= len(images):
        return itertools.repeat(np.resize(images, (batch, *images.shape[1:])))
    return itertools.cycle([images[start : start + batch] for start in range(0, len(images) - batch + 1, batch)])


@dataclass(frozen=True)
class Start:
    """What a backend took to start: to load its model, for its first call, and for its second, all on one image."""

    load_seconds: float
    first_call_seconds: float
    call_seconds: float

    def put_into(self, row: Row) -> Row:
        """Return a row with the start in it; a row that failed stays as it is."""
        known = {"load_seconds": round(self.load_seconds, 3), "first_call_ms": 1000 * self.first_call_seconds}
        return row if row.error else row.model_copy(update=known)


def _start(backend: Backend, load_seconds: float, image: np.ndarray) -> Start:
    times = []
    for _ in range(2):
        started = time.perf_counter()
        with contextlib.suppress(Exception):  # runtimes share no base class; the measurement itself records what is wrong
            backend(image)
        times.append(time.perf_counter() - started)
    return Start(load_seconds, *times)


class Failed(Exception):
    """A backend that raised while it was measured, and what it said."""

    def __init__(self, backend: Backend, error: Exception):
        self.backend = backend
        super().__init__((str(error).strip() or type(error).__name__).splitlines()[0][:200])


def _measure(loaded: list[Backend], images: np.ndarray, sizes: list[int], profile: timing.Profile) -> dict[Backend, list[Row]]:
    """Return each backend's rows in order of batch size; where one fails it has the error, and the other is measured alone."""
    rows: dict[Backend, list[Row]] = {backend: [] for backend in loaded}
    for batch in tqdm(sizes, desc="batch sizes", unit="point"):
        left = list(loaded)
        while left:
            try:
                points = timing.interleave([_call(backend, rotate(images, batch)) for backend in left], batch, profile)
            except Failed as failed:
                rows[failed.backend].append(Row(batch=batch, regions={}, error=str(failed)))
                left.remove(failed.backend)
                continue
            for backend, point in zip(left, points, strict=True):
                measured = {backend.region: point.measured()}
                noise = None if len(point.blocks) >= profile.blocks else f"time limit: {len(point.blocks)} of {profile.blocks} blocks"
                rows[backend].append(Row(batch=batch, regions=measured, noise=noise))
            break
    return {backend: sorted(own, key=lambda row: row.batch) for backend, own in rows.items()}


def _call(backend: Backend, batches: Iterator[np.ndarray]) -> Callable[[], None]:
    def run() -> None:
        try:
            backend(next(batches))
        except Exception as error:  # runtimes share no base class for what they raise, out of memory included
            raise Failed(backend, error) from error

    return run


def _series(backend: Backend, role: str, rows: list[Row], settings: BatchSweep) -> Series:
    return Series(
        name=backend.label,
        role=role,
        kind="simulated" if backend.simulated else "measured",
        backend=backend.describe(),
        device=backend.device,
        precision=backend.precision,
        source=f"this run, profile {settings.profile}, order of batch sizes by seed {settings.seed}",
        rows=rows,
    )
