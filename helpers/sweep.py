"""The series of a batch sweep: the candidate, and a baseline measured beside it or published."""

import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from helpers import backends, baselines, timing
from helpers.backends import Backend
from helpers.params import BASELINES, BatchSweep, Target
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
    targets = [settings]
    if settings.baseline != "none" and not published.is_file():
        targets.append(Target(backend=settings.baseline, threads=settings.threads))
    loaded, load_seconds = [], []
    for target in targets:
        started = time.perf_counter()
        loaded.append(backends.load(step.folder, model, target))
        load_seconds.append(round(time.perf_counter() - started, 3))
    sizes = np.random.default_rng(settings.seed).permutation(settings.batch_sizes).tolist()
    refused = {backend: _refusal(backend, model, settings) for backend in loaded}
    useful = [backend for backend in loaded if not refused[backend]] if not refused[loaded[0]] else []
    rows = _measure(useful, pool(Tensors.of(step.folder, data)), sizes, timing.PROFILES[settings.profile])
    for backend in loaded:
        if backend not in useful:
            reason = f"refused: {refused[backend] or refused[loaded[0]]}"
            rows[backend] = [Row(batch=batch, regions={}, error=reason) for batch in settings.batch_sizes]
    roles = ["candidate", "baseline"]
    measured = [
        _series(backend, role, _with_load(rows[backend], seconds), settings)
        for backend, role, seconds in zip(loaded, roles, load_seconds, strict=False)
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


class Failed(Exception):
    """A backend that raised while it was measured, and what it said."""

    def __init__(self, backend: Backend, error: Exception):
        self.backend = backend
        super().__init__((str(error).strip() or type(error).__name__).splitlines()[0][:200])


def _refusal(backend: Backend, model: Model, settings: BatchSweep) -> str | None:
    """Return why a backend gets no figure: the conversion failed a check, or this was never compared with the original."""
    if backend.simulated or backend.name == "torch":  # PyTorch is the original
        return model.refusal()
    return model.refusal(backend.label, tuple(settings.batch_sizes))


def _measure(loaded: list[Backend], images: np.ndarray, sizes: list[int], profile: timing.Profile) -> dict[Backend, list[Row]]:
    """Return each backend's rows in order of batch size; where one fails it has the error, and the other is measured alone."""
    rows: dict[Backend, list[Row]] = {backend: [] for backend in loaded}
    announce(f"batch sizes {sizes}", sum(_estimate(backend, images[:1], sizes, profile) for backend in loaded))
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
                rows[backend].append(Row(batch=batch, regions=measured, first_call_ms=1000 * point.first_call, noise=noise))
            break
    return {backend: sorted(own, key=lambda row: row.batch) for backend, own in rows.items()}


def _estimate(backend: Backend, image: np.ndarray, sizes: list[int], profile: timing.Profile) -> float:
    """Return about how many seconds a backend's points will take, from its second call on one image."""
    try:
        backend(image)
        started = time.perf_counter()
        backend(image)
    except Exception:  # runtimes share no base class; the measurement itself records what is wrong
        return 0.0
    call = time.perf_counter() - started
    return sum(min(max(profile.seconds, profile.blocks * call * batch), profile.limit_seconds) for batch in sizes)


def _call(backend: Backend, batches: Iterator[np.ndarray]) -> Callable[[], None]:
    def run() -> None:
        try:
            backend(next(batches))
        except Exception as error:  # runtimes share no base class for what they raise, out of memory included
            raise Failed(backend, error) from error

    return run


def _with_load(rows: list[Row], seconds: float) -> list[Row]:
    return [row if row.error else row.model_copy(update={"load_seconds": seconds}) for row in rows]


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
