"""The series of a batch sweep: the candidate, and a baseline measured beside it or published."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from helpers import backends, baselines, timing
from helpers.backends import Backend, Sampler
from helpers.params import BASELINES, BatchSweep
from helpers.progress import announce
from helpers.records import Data, Model, Row, Series
from helpers.steps import Step
from helpers.tensors import Tensors
from helpers.timing import Times

POOL_BYTES = 256 * 2**20
POOL_IMAGES = 1024


def measure(step: Step, data: Data, model: Model) -> list[Series]:
    """Return the candidate's series first, then the baseline's; a refused model has a reason instead of numbers."""
    settings: BatchSweep = step.settings
    published = BASELINES / f"{settings.baseline}.yaml"
    targets = [target for target in (settings, settings.live_baseline(settings.threads)) if target]
    tensors = Tensors.of(step.folder, data)
    with contextlib.ExitStack() as stack:
        loaded, starts = [], []
        for target in targets:
            started = time.perf_counter()
            backend = stack.enter_context(backends.load(step.folder, model, target))
            loaded.append(backend)
            starts.append(_start(backend, time.perf_counter() - started, _images(tensors, backend), min(settings.batch_sizes)))
            if backend.loads_each_batch:
                backend.close()  # that was for the estimate; each point has a start of its own
        rows = _rows(step, model, tensors, loaded, starts)
    roles = ["candidate", "baseline"]
    measured = [
        _series(backend, role, [start.put_into(row) for row in rows[backend]], settings, _unproven(backend, model, rows[backend]))
        for backend, role, start in zip(loaded, roles, starts, strict=False)
    ]
    return measured + (baselines.read(published) if published.is_file() else [])


def _rows(step: Step, model: Model, tensors: Tensors, loaded: list[Backend], starts: list["Start"]) -> dict[Backend, list[Row]]:
    """Return each backend's rows: measured, recorded elsewhere, or with the reason why there is no figure."""
    settings: BatchSweep = step.settings
    sizes = np.random.default_rng(settings.seed).permutation(settings.batch_sizes).tolist()
    refused = {backend: backend.refusal(model, settings.batch_sizes) for backend in loaded}
    useful = [backend for backend in loaded if not refused[backend]] if not refused[loaded[0]] else []
    running = [backend for backend in useful if not backend.recorded]
    profile = timing.PROFILES[settings.profile]
    seconds = [profile.expected_seconds(start.call_seconds, sizes) for start in starts if start.call_seconds]
    announce(f"batch sizes {settings.batch_sizes}", sum(seconds) if running else 0)
    rows = _measure({backend: _images(tensors, backend) for backend in running}, sizes, profile)
    for backend in loaded:
        if backend not in useful:
            reason = f"refused: {refused[backend] or refused[loaded[0]]}"
            rows[backend] = [Row(batch=batch, regions={}, error=reason) for batch in settings.batch_sizes]
        elif backend.recorded:
            known = {row.batch: row for row in backend.recorded.rows}
            missing = "no figure was recorded at this batch size"
            rows[backend] = [known.get(batch, Row(batch=batch, regions={}, remark=missing)) for batch in sorted(settings.batch_sizes)]
    return rows


def _images(tensors: Tensors, backend: Backend) -> np.ndarray:
    """Return the pool of images as a backend takes them."""
    return pool(tensors.prepared(backend.expects(tensors.how)))


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
    """What a backend took to start: to load its model and for its first call; and for one image of its second."""

    load_seconds: float | None
    first_call_seconds: float
    call_seconds: float

    def put_into(self, row: Row) -> Row:
        """Return a row with the start in it; a row that failed, or has a start of its own, stays as it is."""
        if row.error or row.load_seconds is not None or self.load_seconds is None:
            return row
        return row.model_copy(update={"load_seconds": round(self.load_seconds, 3), "first_call_ms": 1000 * self.first_call_seconds})


def _start(backend: Backend, load_seconds: float, images: np.ndarray, smallest: int) -> Start:
    """Return how a backend starts on one image, or where each batch size has its model on a batch of the smallest."""
    if backend.recorded:
        return Start(None, 0.0, 0.0)
    batch = next(rotate(images, smallest if backend.loads_each_batch else 1))
    marks = [time.perf_counter()]
    for act in (lambda: backend.prepare(len(batch)), lambda: backend(batch), lambda: backend(batch)):
        with contextlib.suppress(Exception):  # runtimes share no base class; the measurement itself records what is wrong
            act()
        marks.append(time.perf_counter())
    prepare, first, second = np.diff(marks).tolist()
    return Start(load_seconds + prepare, first, second / len(batch))


class Failed(Exception):
    """A backend that raised while it was measured, and what it said."""

    def __init__(self, backend: Backend, error: Exception):
        self.backend = backend
        super().__init__((str(error).strip() or type(error).__name__).splitlines()[0][:400])


def _measure(loaded: dict[Backend, np.ndarray], sizes: list[int], profile: timing.Profile) -> dict[Backend, list[Row]]:
    """Return each backend's rows in order of batch size; where one fails it has the error, and the other is measured alone.

    `loaded` has the images that each backend rotates through.
    """
    rows: dict[Backend, list[Row]] = {backend: [] for backend in loaded}
    for batch in tqdm(sizes, desc="batch sizes", unit="point"):
        left = list(loaded)
        while left:
            own = {b: _start(b, 0.0, loaded[b], batch) for b in left if b.loads_each_batch}
            samplers = {backend: backend.sampler() for backend in left}
            try:
                with contextlib.ExitStack() as stack:
                    for sampler in filter(None, samplers.values()):
                        stack.enter_context(sampler)
                    points = timing.interleave([_call(backend, rotate(loaded[backend], batch)) for backend in left], batch, profile)
            except Failed as failed:
                rows[failed.backend].append(Row(batch=batch, regions={}, error=str(failed)))
                left.remove(failed.backend)
                continue
            for backend, point in zip(left, points, strict=True):
                row = _row(backend, point, profile, samplers[backend])
                rows[backend].append(own[backend].put_into(row) if backend in own else row)
            break
    return {backend: sorted(own, key=lambda row: row.batch) for backend, own in rows.items()}


def _row(backend: Backend, point: timing.Point, profile: timing.Profile, sampler: Sampler | None) -> Row:
    """Return the row of a measured point: the whole calls, and the execution alone where the backend tells it apart."""
    return Row(
        batch=point.batch,
        regions={backend.region: point.measured()} | ({"compute": point.computed()} if point.parts else {}),
        copies=point.copies() if point.parts else None,
        telemetry=sampler.telemetry() if sampler else None,
        noise=None if len(point.blocks) >= profile.blocks else f"time limit: {len(point.blocks)} of {profile.blocks} blocks",
    )


def _call(backend: Backend, batches: Iterator[np.ndarray]) -> Callable[[], Times | None]:
    def run() -> Times | None:
        try:
            backend(next(batches))
            return backend.times
        except Exception as error:  # runtimes share no base class for what they raise, out of memory included
            raise Failed(backend, error) from error

    return run


def _unproven(backend: Backend, model: Model, rows: list[Row]) -> str:
    """Return why recorded times can't be tied to the model that was compared: no answers were recorded beside them."""
    if not backend.recorded:
        return ""
    compared = {check.batch for check in model.checks if check.candidate == backend.identity}
    unknown = [str(row.batch) for row in rows if row.regions and row.batch not in compared]
    return f"no answers were recorded at batch size {', '.join(unknown)} to compare" if unknown else ""


def _series(backend: Backend, role: str, rows: list[Row], settings: BatchSweep, unproven: str) -> Series:
    return Series(
        name=backend.label,
        role=role,
        kind="simulated" if backend.simulated else "replayed" if backend.recorded else "measured",
        backend=backend.describe(),
        device=backend.device,
        precision=backend.precision,
        recorded=", recorded ".join(filter(None, [backend.recorded.source, backend.recorded.place])) if backend.recorded else "",
        source=backend.recorded.source
        if backend.recorded
        else f"this run, profile {settings.profile}, order of batch sizes by seed {settings.seed}",
        unproven=unproven,
        rows=rows,
    )
