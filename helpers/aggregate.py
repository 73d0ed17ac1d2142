"""How many images a second several devices come to at once, and what each does alone beside that: measured in turns, on Ray.

The turns go 1, 2, 4, ..., 4, 2, 1, so that drift meets every number of devices alike; each device takes its turn alone.
"""

import time
from collections import defaultdict

import numpy as np
from tqdm import tqdm

from helpers import aggregate_windows, cluster, crew, formats, noise, timing
from helpers.aggregate_device import Device
from helpers.aggregate_team import Lost, Team
from helpers.aggregate_windows import Apart
from helpers.crew import Worker
from helpers.evaluator import Job
from helpers.noise import Seen
from helpers.params import Workers
from helpers.progress import announce
from helpers.records import Aggregate, AtOnce, Data, Model, OneOfSeveral
from helpers.steps import Step

PASSES = 6  # through all turns, every second one backwards; intervals are from so many windows
PIECES = 5  # of a window: 30 in all, by which it is told how steady it went
DELIVERY_SECONDS = 0.1  # until all have been told to begin, and as much again for each ten of them
SETTLE_SECONDS = 0.1  # of calls before a window, which are not counted: clocks rise and caches fill
STARTS = 5  # of a window, until all begin in time

Group = tuple[Worker, ...]
Pieces = dict[Group, list[np.ndarray]]


def check(workers: Workers) -> None:
    """Raise what `measure` would where Ray has too few devices, before an hour is spent; one started here has what it is asked for."""
    if workers.engine == "ray" and workers.address:
        with cluster.joined(workers):
            pass


def measure(step: Step, data: Data, model: Model, batch: int | None) -> Aggregate | None:
    """Return what 1, 2, 4, ... devices come to at once at a batch size; None where one process does it all or it has no figure.

    A device that dies, hangs or fails is left out: the others are measured anew without it, and the rows that need it have the reason.
    UserError when Ray's address does not answer, ParameterError when it has too few devices.
    """
    workers, profile = step.settings.workers, timing.PROFILES[step.settings.profile]
    if workers.engine == "serial" or workers.count == 1 or batch is None:
        return None
    target = step.settings.model_copy(update={"threads": step.settings.threads or workers.cpus_per_worker})
    job = Job(step.folder, data, model, target, batch, False, workers.resource)
    with cluster.joined(workers):
        team = Team([crew.hire(number, workers, Device, job) for number in range(1, workers.count + 1)])
        try:
            slowest = team.get_ready(profile.warm_up_seconds)
            seconds = max(profile.processes * profile.seconds / PASSES, PIECES * max(slowest, profile.block_seconds))
            for worker in team.left:
                worker.timeout_seconds += seconds
            pieces = _take_turns(team, sizes(workers.count), seconds)
        finally:
            team.end()
    return _record(team, pieces, job, seconds, workers.count)


def sizes(count: int) -> list[int]:
    """Return how many devices are measured at once: 1, 2, 4, ... and all."""
    return sorted({2**power for power in range(count.bit_length())} | {count})


def _take_turns(team: Team, at_once: list[int], seconds: float) -> Pieces:
    """Return the images per second of each device alone and of the first 2, 4, ...; when one is lost all begins anew without it."""
    while team.left:
        groups = [(worker,) for worker in team.left]
        groups += [tuple(team.left[:number]) for number in at_once if 1 < number <= len(team.left)]
        order = [*groups, *reversed(groups)] * (PASSES // 2)
        announce("several devices at once", len(order) * (DELIVERY_SECONDS + SETTLE_SECONDS + seconds))
        pieces: Pieces = defaultdict(list)
        try:
            for group in tqdm(order, desc="devices at once", unit="window"):
                pieces[group].append(_window(team, group, seconds))
            return pieces
        except Lost:
            continue
    return {}


def _window(team: Team, group: Group, seconds: float) -> np.ndarray:
    """Return the images per second of a group in a window's pieces, float64 [PIECES]; Lost when one of it is."""
    for _ in range(STARTS):
        clocks = {worker: team.clock(worker) for worker in group}
        slack = 2 * max(clock.error for clock in clocks.values())
        begin = time.perf_counter() + DELIVERY_SECONDS * (1 + len(group) / 10)
        counted = begin + SETTLE_SECONDS + slack
        end = counted + seconds
        ran = team.ask_each({one: (begin + clock.offset, end + slack + clock.offset) for one, clock in clocks.items()}, "run")
        if len(ran) < len(group):
            raise Lost
        try:
            return aggregate_windows.rates([ran[one] for one in group], list(clocks.values()), counted, end, PIECES)
        except Apart as apart:
            late = group[apart.args[0]]
    team.put_aside(late, f"began late {STARTS} times when {formats.counted(len(group), 'device was', 'devices were')} to be measured")
    raise Lost


def _record(team: Team, pieces: Pieces, job: Job, seconds: float, count: int) -> Aggregate:
    alone = {worker: np.stack(pieces[(worker,)]) for worker in team.left}
    devices = [
        OneOfSeveral(
            host=worker.loaded.host,
            place=worker.loaded.place,
            device=worker.loaded.described["device"],
            backend=worker.loaded.described["backend"],
            alone=aggregate_windows.measured(alone[worker]),
            clock_error_ms=1000 * team.clock_error[worker],
        )
        for worker in team.left
    ]
    return Aggregate(
        kind="simulated" if any(worker.loaded.described["simulated"] for worker in team.left) else "measured",
        batch=job.batch_size,
        resource=job.resource,
        threads=job.target.threads,
        windows=PASSES,
        window_seconds=seconds,
        devices=devices,
        rows=[_row(team, pieces, alone, number) for number in sizes(count)],
    )


def _row(team: Team, pieces: Pieces, alone: dict[Worker, np.ndarray], number: int) -> AtOnce:
    group = tuple(team.left[:number])
    if len(group) < number:
        return AtOnce(devices=number, together=None, efficiency=None, efficiency_interval=None, error="; ".join(team.lost))
    together = np.stack(pieces[group])
    ratio, interval = (None, None)
    if number > 1:
        ratio, interval = aggregate_windows.efficiency(together, sum(alone[worker] for worker in group))
    return AtOnce(
        devices=number,
        together=aggregate_windows.measured(together),
        efficiency=ratio,
        efficiency_interval=interval,
        noise=noise.judge(1 / together.ravel(), Seen()),  # what the hosts did meanwhile is not watched
    )
