"""One batch size, measured on all contenders side by side, each in a process of its own."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from helpers import energy, noise, timing
from helpers.bench import Ready, Start, Used
from helpers.errors import UserError
from helpers.noise import Seen
from helpers.params import Target
from helpers.records import Energy, Measured, Row
from helpers.timing import Point, Profile
from helpers.worker import Failed, Loaded, Worker

HOST = Profile(timing.MINIMUM_BLOCKS, 0.0, 0.0, warm_up_seconds=0.2, limit_seconds=20.0, block_seconds=0.02)  # the backend is warm
IDLE_SECONDS = 1.0
SAMPLED_SECONDS = 25.0  # npu-smi tells the power about once a second

Hire = Callable[[Target], Worker]


class Contender:
    """One line of the chart that is measured here: its role, its target, and the process that it runs in."""

    def __init__(self, role: str, target: Target, hire: Hire):
        self.role, self._target, self._hire = role, target, hire
        try:
            self.worker = hire(target)
        except Failed as failed:
            raise UserError(f"backend {target.backend} can't be loaded: {failed}.") from failed

    @property
    def loaded(self) -> Loaded:
        """Return what it says of itself."""
        return self.worker.loaded

    def renew(self) -> None:
        """Go on in a fresh process."""
        self.worker.close()
        try:
            self.worker = self._hire(self._target)
        except (Failed, UserError) as error:  # it was loaded before: memory, most likely
            failed = Failed(str(error))
            failed.worker = self.worker  # which is closed: the next point tries again
            raise failed from error


@dataclass
class Turn:
    """What one contender did at one batch size, in one process or several: `ready` and `start` are the first one's."""

    point: Point
    ready: Ready
    start: Start | None
    used: list[Used] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    host: Measured | None = None
    energy: Energy | None = None
    no_energy: str | None = None
    remark: str | None = None


def side_by_side(contenders: Sequence[Contender], batch: int, profile: Profile) -> tuple[dict[Contender, Row], dict[Contender, Point]]:
    """Return each contender's row at a batch size, and its point; one that fails has the error, and the others go on without it."""
    left = list(contenders)
    turns: dict[Contender, Turn] = {}
    errors: dict[Contender, Row] = {}
    while left and not turns:
        try:
            turns = _take_turns(left, batch, profile)
        except Failed as failed:
            loser = next(one for one in left if one.worker is failed.worker)
            errors[loser] = Row(batch=batch, regions={}, error=str(failed))
            left.remove(loser)
    for one, turn in turns.items():
        _go_alone(one, turn, batch, profile)
    baseline = next((turn.point for one, turn in turns.items() if one.role == "baseline"), None)
    rows = {one: _row(one, turn, baseline, profile) for one, turn in turns.items()}
    return rows | errors, {one: turn.point for one, turn in turns.items()}


def _take_turns(contenders: list[Contender], batch: int, profile: Profile) -> dict[Contender, Turn]:
    """Return what each contender did when all of them took turns, in one process each or in several fresh ones."""
    turns: dict[Contender, Turn] = {}
    alone = len(contenders) == 1
    for _ in range(profile.processes):
        for one in contenders:
            if profile.processes > 1 or not one.worker.alive:
                one.renew()
        for one in contenders:
            ready = one.worker.begin(batch, profile.warm_up_seconds, profile.block_seconds, alone=alone)
            if one in turns:
                turns[one].point.starts.append(len(turns[one].point.blocks))
            else:
                turns[one] = Turn(Point(batch, ready.calls_per_block), ready, ready.start or one.loaded.start)
        with noise.Watch() as watch:
            timing.interleave([one.worker for one in contenders], [turns[one].point for one in contenders], profile)
        for one in contenders:
            turns[one].used.append(one.worker.end())
            turns[one].seen.append(watch.seen)
    return turns


def _go_alone(one: Contender, turn: Turn, batch: int, profile: Profile) -> None:
    """Add what is measured without the others: energy, and the candidate's way from pixels to classes; a failure is remarked."""
    try:
        turn.energy, turn.no_energy = _energy(one, batch, profile)
        if one.role == "candidate" and one.loaded.requests == 1:
            turn.host = _host(one, turn, batch)
    except Failed as failed:
        turn.remark = f"energy or host time could not be measured: {failed}"


def _host(candidate: Contender, turn: Turn, batch: int) -> Measured:
    """Return the candidate's figure from stored pixels to the five best classes, from few and short blocks in one process."""
    ready = candidate.worker.begin(batch, HOST.warm_up_seconds, HOST.block_seconds, host=True)
    point = Point(batch, ready.calls_per_block)
    timing.interleave([candidate.worker], [point], HOST)
    turn.used.append(candidate.worker.end())
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


def _row(one: Contender, turn: Turn, baseline: Point | None, profile: Profile) -> Row:
    """Return the row of a measured point: the whole calls, and the execution alone where the backend tells it apart."""
    point, start, computed = turn.point, turn.start, turn.point.computed()
    regions = {one.loaded.region: point.measured()}
    regions |= {"compute": computed} if computed else {}
    regions |= {"host": turn.host} if turn.host else {}
    fewest = min(len(blocks) for blocks in point.processes())
    limit = f"time limit: {fewest} of {profile.blocks} blocks" if fewest < profile.blocks else None
    whole = not computed and baseline and not baseline.computed()  # only whole calls of both are divided pair by pair
    return Row(
        batch=point.batch,
        regions=regions,
        load_seconds=start and round(start.load, 3),
        compile_seconds=turn.ready.compile_seconds,
        first_call_ms=start and 1000 * start.first_call,
        warm_up=turn.ready.warm_up,
        ratio_interval=timing.ratio_interval(point, baseline) if whole and point is not baseline else None,
        cores_busy=point.cores_busy(),
        copies=point.copies(),
        telemetry=next((used.telemetry for used in turn.used if used.telemetry), None),
        peak_memory_bytes=_most(used.peak_memory_bytes for used in turn.used),
        peak_device_memory_bytes=_most(used.peak_device_memory_bytes for used in turn.used),
        energy=turn.energy,
        no_energy=turn.no_energy,
        noise=noise.worst([noise.judge(blocks, seen) for blocks, seen in zip(point.processes(), turn.seen, strict=True)]),
        remark="; ".join(filter(None, [limit, turn.remark])) or None,
    )


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
