"""The series of a batch sweep: the candidate, and a baseline measured beside it or published."""

import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from helpers import backends, baselines, timing
from helpers.backends import Backend
from helpers.params import BASELINES, BatchSweep, Target
from helpers.records import Data, Model, Row, Series, Step
from helpers.tensors import Tensors

POOL_BYTES = 256 * 2**20
POOL_IMAGES = 1024


def measure(step: Step, data: Data, model: Model) -> list[Series]:
    """Return the candidate's series first, then the baseline's; a refused model has a reason instead of numbers."""
    settings: BatchSweep = step.settings
    published = BASELINES / f"{settings.baseline}.yaml"
    targets = [settings]
    if settings.baseline != "none" and not published.is_file():
        targets.append(Target(backend=settings.baseline, threads=settings.threads))
    loaded, load_seconds = [], []
    for target in targets:
        started = time.perf_counter()
        loaded.append(backends.load(step.folder, model, target))
        load_seconds.append(round(time.perf_counter() - started, 3))
    sizes = np.random.default_rng(settings.seed).permutation(settings.batch_sizes).tolist()
    if model.refusal():
        rows = [[Row(batch=batch, regions={}, error=f"refused: {model.refusal()}") for batch in sizes] for _ in loaded]
    else:
        rows = _rows(loaded, load_seconds, pool(Tensors.of(step.folder, data)), sizes, timing.PROFILES[settings.profile])
    roles = ["candidate", "baseline"]
    measured = [_series(backend, role, own, settings) for backend, role, own in zip(loaded, roles, rows, strict=False)]
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


def _rows(
    loaded: list[Backend], load_seconds: list[float], images: np.ndarray, sizes: list[int], profile: timing.Profile
) -> list[list[Row]]:
    """Return each backend's rows; a batch size at which one fails has the error and no numbers."""
    rows = [[] for _ in loaded]
    for batch in tqdm(sizes, desc="batch sizes", unit="point"):
        runs = [_call(backend, rotate(images, batch)) for backend in loaded]
        try:
            points = timing.interleave(runs, batch, profile)
        except (RuntimeError, MemoryError) as error:  # what every runtime raises, out of memory included
            text = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            for own in rows:
                own.append(Row(batch=batch, regions={}, error=text))
            continue
        for own, point, backend, seconds in zip(rows, points, loaded, load_seconds, strict=True):
            measured = {backend.region: point.measured()}
            own.append(Row(batch=batch, regions=measured, load_seconds=seconds, first_call_ms=1000 * point.first_call))
    return [sorted(own, key=lambda row: row.batch) for own in rows]


def _call(backend: Backend, batches: Iterator[np.ndarray]) -> Callable[[], None]:
    return lambda: backend(next(batches))


def _series(backend: Backend, role: str, rows: list[Row], settings: BatchSweep) -> Series:
    return Series(
        name=f"{backend.name} {backend.precision}",
        role=role,
        kind="simulated" if backend.simulated else "measured",
        backend=backend.describe(),
        device=backend.device,
        precision=backend.precision,
        source=f"this run, profile {settings.profile}, order of batch sizes by seed {settings.seed}",
        rows=rows,
    )
