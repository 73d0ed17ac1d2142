"""The series of a batch sweep: the candidate, the baseline measured beside it or published, other configurations."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from helpers import baselines, energy, files, loadgen, noise, timing
from helpers.bench import Ready, Start, Used
from helpers.journal import Journal
from helpers.params import BASELINES, BatchSweep, Target
from helpers.progress import announce
from helpers.records import Data, Energy, Measured, Model, Noise, Refereed, Row, Series
from helpers.steps import Step
from helpers.timing import Point, Profile
from helpers.worker import Failed, Loaded, Worker

HOST_BLOCK_SECONDS = 0.025
IDLE_SECONDS = 1.0
SAMPLED_SECONDS = 25.0  # npu-smi tells the power about once a second
REFEREE_PAIRS = 4
REFEREE_SECONDS = 1.0  # each of a pair

Hire = Callable[[Target], Worker]


@dataclass(frozen=True)
class Swept:
    """What a sweep measured, and the file with every block's time."""

    series: list[Series]
    blocks_file: str | None
    blocks_sha256: str | None
    referee: list[Refereed]


class Contender:
    """One line of the chart that is measured here: its role, its target, and the process that it runs in."""

    def __init__(self, role: str, target: Target, hire: Hire):
        self.role, self._target, self._hire = role, target, hire
        self.worker = hire(target)

    @property
    def loaded(self) -> Loaded:
        """Return what it says of itself."""
        return self.worker.loaded

    def renew(self) -> None:
        """Go on in a fresh process."""
        self.worker.close()
        self.worker = self._hire(self._target)

    def close(self) -> None:
        """End its process."""
        self.worker.close()


@dataclass
class Turn:
    """What one contender did at one batch size."""

    point: Point
    ready: Ready
    start: Start | None
    used: Used
    host: Measured | None = None
    energy: Energy | None = None
    no_energy: str | None = None


def measure(step: Step, data: Data, model: Model) -> Swept:
    """Return the candidate's series first, then the baseline's, then the options'; a refused model has a reason instead of numbers."""
    settings: BatchSweep = step.settings
    hire = functools.partial(Worker, step.folder, data, model, settings.batch_sizes)
    journal = Journal(step.artefacts, step.fingerprint)
    with contextlib.ExitStack() as stack:
        contenders = []
        for role, target in _targets(settings):
            contenders.append(Contender(role, target, hire))
            stack.callback(contenders[-1].close)
        for batch in _points(contenders, journal, settings):
            journal.add(batch, *_side_by_side(contenders, batch, timing.PROFILES[settings.profile]))
        refereed = _referee(contenders[0], journal.rows(0), settings)
    rows = [_rows(one, journal.rows(at), contenders[0], settings) for at, one in enumerate(contenders)]
    series = [_series(one, own, settings, model) for one, own in zip(contenders, rows, strict=True)]
    published = BASELINES / f"{settings.baseline}.yaml"
    series += baselines.read(published) if published.is_file() else []
    path = journal.finish()
    return Swept(series, path.relative_to(step.folder).as_posix(), files.sha256(path), refereed)


def _targets(settings: BatchSweep) -> list[tuple[str, Target]]:
    """Return every target with its role, the candidate first."""
    baseline = settings.live_baseline(settings.threads)
    return [("candidate", settings), *([("baseline", baseline)] if baseline else []), *(("option", one) for one in settings.options)]


def _running(contenders: list[Contender]) -> list[Contender]:
    """Return those that are measured here: none when the candidate is refused."""
    if contenders[0].loaded.refusal:
        return []
    return [one for one in contenders if not one.loaded.refusal and not one.loaded.recorded]


def _points(contenders: list[Contender], journal: Journal, settings: BatchSweep) -> Iterator[int]:
    """Yield the batch sizes that are not in the journal, in an order drawn at random from the seed."""
    running = _running(contenders)
    order = np.random.default_rng(settings.seed).permutation(settings.batch_sizes).tolist()
    left = [batch for batch in order if batch not in journal] if running else []
    starts = [one.loaded.start for one in running if one.loaded.start]
    profile = timing.PROFILES[settings.profile]
    announce(f"batch sizes {settings.batch_sizes}", sum(profile.expected_seconds(start.image, left) for start in starts))
    yield from tqdm(left, desc="batch sizes", unit="point")


def _side_by_side(contenders: list[Contender], batch: int, profile: Profile) -> tuple[list[Row | None], dict[str, Point]]:
    """Return each contender's row at a batch size and the points; where one fails it has the error, and the others go on without it."""
    left, errors = _running(contenders), {}
    turns: dict[Contender, Turn] = {}
    while left and not turns:
        try:
            with noise.Watch() as watch:
                turns = _take_turns(left, batch, profile)
            for one, turn in turns.items():
                turn.energy, turn.no_energy = _energy(one, batch, profile)
                turn.host = _host(one, batch, profile) if one.role == "candidate" else None
        except Failed as failed:
            turns = {}
            loser = next(one for one in left if one.worker is failed.worker)
            errors[loser] = Row(batch=batch, regions={}, error=str(failed))
            left.remove(loser)
            if not loser.worker.alive:
                loser.renew()
    baseline = next((turn.point for one, turn in turns.items() if one.role == "baseline"), None)
    rows = {one: _row(one, turn, baseline, profile, noise.judge(turn.point.seconds, watch.seen)) for one, turn in turns.items()} | errors
    return [rows.get(one) for one in contenders], {one.loaded.label: turn.point for one, turn in turns.items()}


def _take_turns(contenders: list[Contender], batch: int, profile: Profile) -> dict[Contender, Turn]:
    """Return what each contender did when all of them took turns, in one process each or in several fresh ones."""
    turns: dict[Contender, Turn] = {}
    for _ in range(profile.processes):
        for one in contenders:
            if profile.processes > 1:
                one.renew()
            ready = one.worker.begin(batch, profile.warm_up_seconds, profile.block_seconds)
            if one in turns:
                turns[one].point.starts.append(len(turns[one].point.blocks))
            else:
                own_start = ready.start or (one.loaded.start if profile.processes > 1 else None)
                turns[one] = Turn(Point(batch, ready.calls_per_block), ready, own_start or one.loaded.start, Used(None, None, None))
        timing.interleave([one.worker for one in contenders], [turns[one].point for one in contenders], profile)
        for one in contenders:
            turns[one].used = one.worker.end()
    return turns


def _host(candidate: Contender, batch: int, profile: Profile) -> Measured:
    """Return the candidate's figure from stored pixels to the five best classes, measured alone and for no longer than the others."""
    ready = candidate.worker.begin(batch, profile.warm_up_seconds / 4, HOST_BLOCK_SECONDS, host=True)
    point = Point(batch, ready.calls_per_block)
    timing.interleave([candidate.worker], [point], Profile(timing.MINIMUM_BLOCKS, 0.0, 0.0, 0.0, profile.seconds))
    candidate.worker.end()
    return point.measured()


def _energy(one: Contender, batch: int, profile: Profile) -> tuple[Energy | None, str | None]:
    """Return the energy per image of one backend that runs alone, or why there is none; nothing runs where nothing counts."""
    try:
        if one.loaded.has_sampler:
            return _energy_of_device(one, batch, profile), None
        counter = energy.find(one.loaded.provider)
        one.worker.begin(batch, profile.warm_up_seconds / 4, profile.block_seconds)
        measured = energy.measure(counter, one.worker.run_for, IDLE_SECONDS, profile.seconds)
        one.worker.end()
        return measured, None
    except energy.NoEnergy as reason:
        return None, str(reason)


def _energy_of_device(one: Contender, batch: int, profile: Profile) -> Energy:
    """Return the energy by the power that the device tells about once a second: that takes a long time, alone and idle."""
    if profile.processes == 1:
        raise energy.NoEnergy("only profile official takes the time that the device's slow samples of its power need")
    idle = one.worker.idle_for(SAMPLED_SECONDS)
    one.worker.begin(batch, profile.warm_up_seconds / 4, profile.block_seconds)
    images, seconds = one.worker.run_for(SAMPLED_SECONDS)
    return energy.of_telemetry(one.worker.end().telemetry, idle, images, seconds)


def _referee(candidate: Contender, measured: list[Row], settings: BatchSweep) -> list[Refereed]:
    """Return what LoadGen says: one call at a time at the smallest batch size, all at once at the fastest."""
    known = {row.batch: row.regions[candidate.loaded.region].images_per_second for row in measured if row.regions}
    if not settings.referee or not known:
        return []
    loadgen.module()
    runs = [] if candidate.loaded.requests > 1 else [("SingleStream", min(known))]
    runs.append(("Offline", max(known, key=known.get)))
    seconds = max(REFEREE_SECONDS, timing.PROFILES[settings.profile].seconds / REFEREE_PAIRS)
    return [candidate.worker.referee(scenario, batch, seconds, REFEREE_PAIRS) for scenario, batch in runs]


def _row(one: Contender, turn: Turn, baseline: Point | None, profile: Profile, seen: Noise) -> Row:
    """Return the row of a measured point: the whole calls, and the execution alone where the backend tells it apart."""
    point, start = turn.point, turn.start
    computed = point.computed()
    regions = {one.loaded.region: point.measured(), "compute": computed, "host": turn.host}
    if not computed:
        regions = {one.loaded.region: point.measured(), "host": turn.host}
    short = len(point.blocks) < profile.blocks
    whole = not computed and baseline and not baseline.computed()  # only whole calls of both are divided pair by pair
    return Row(
        batch=point.batch,
        regions={region: measured for region, measured in regions.items() if measured},
        load_seconds=start and round(start.load, 3),
        compile_seconds=start and start.compile,
        first_call_ms=start and 1000 * start.first_call,
        warm_up=turn.ready.warm_up,
        ratio_interval=timing.ratio_interval(point, baseline) if whole and point is not baseline else None,
        cores_busy=point.cores_busy(),
        copies=point.copies(),
        telemetry=turn.used.telemetry,
        peak_memory_bytes=turn.used.peak_memory_bytes,
        peak_device_memory_bytes=turn.used.peak_device_memory_bytes,
        energy=turn.energy,
        no_energy=turn.no_energy,
        noise=seen,
        remark=f"time limit: {len(point.blocks)} of {profile.blocks} blocks" if short else None,
    )


def _rows(one: Contender, measured: list[Row], candidate: Contender, settings: BatchSweep) -> list[Row]:
    """Return a contender's rows: measured, recorded elsewhere, or with the reason why there is no figure."""
    reason = one.loaded.refusal or candidate.loaded.refusal
    sizes = sorted(settings.batch_sizes)
    if reason:
        return [Row(batch=batch, regions={}, error=f"refused: {reason}") for batch in sizes]
    if not one.loaded.recorded:
        return measured
    known = {row.batch: row for row in one.loaded.recorded.rows}
    missing = "no figure was recorded at this batch size"
    return [known.get(batch, Row(batch=batch, regions={}, remark=missing)) for batch in sizes]


def _unproven(loaded: Loaded, model: Model, rows: list[Row]) -> str:
    """Return why recorded times can't be tied to the model that was compared: no answers were recorded beside them."""
    if not loaded.recorded:
        return ""
    compared = {check.batch for check in model.checks if check.candidate == loaded.identity}
    unknown = [str(row.batch) for row in rows if row.regions and row.batch not in compared]
    return f"no answers were recorded at batch size {', '.join(unknown)} to compare" if unknown else ""


def _series(one: Contender, rows: list[Row], settings: BatchSweep, model: Model) -> Series:
    loaded = one.loaded
    here = f"this run, profile {settings.profile}, order of batch sizes by seed {settings.seed}"
    recorded = loaded.recorded
    return Series(
        name=loaded.label,
        role=one.role,
        kind="simulated" if loaded.simulated else "replayed" if recorded else "measured",
        backend=loaded.description,
        device=loaded.device,
        precision=loaded.precision,
        recorded=", recorded ".join(filter(None, [recorded.source, recorded.place])) if recorded else "",
        source=recorded.source if recorded else here,
        unproven=_unproven(loaded, model, rows),
        rows=rows,
    )
