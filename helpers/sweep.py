"""The series of a batch sweep: the candidate, the baseline measured beside it or published, other configurations."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from helpers import aggregate, baselines, contest, files, host_lock, loadgen, roofline, timing
from helpers.contest import Contender
from helpers.journal import Journal
from helpers.params import BASELINES, BatchSweep, Target
from helpers.progress import announce
from helpers.records import Aggregate, Data, Model, Peak, Refereed, Row, Series
from helpers.steps import Step
from helpers.worker import Failed, Loaded, Worker

REFEREE_PAIRS = 4
REFEREE_SECONDS = 1.0  # each of a pair


@dataclass(frozen=True)
class Swept:
    """What a sweep measured, and the file with every block's time."""

    series: list[Series]
    blocks_file: str
    blocks_sha256: str
    referee: list[Refereed]
    referee_remark: str
    peak: Peak | None
    aggregate: Aggregate | None


def measure(step: Step, data: Data, model: Model) -> Swept:
    """Return the candidate's series first, then the baseline's, then the options'; a refused model has a reason instead of numbers."""
    settings: BatchSweep = step.settings
    if settings.referee:
        loadgen.module()  # missing, it is said before an hour is spent
    aggregate.check(settings.workers)  # too few devices too
    journal = Journal(step.artefacts, step.fingerprint)
    with _alone(settings, step):
        contenders, refereed, remark = _take_turns(step, data, model, journal)
        peak = roofline.measured(step.artefacts, settings) if _running(contenders) else None
    rows = [_rows(one, journal.rows(at), contenders[0], settings) for at, one in enumerate(contenders)]
    series = [_series(one, own, settings, model) for one, own in zip(contenders, rows, strict=True)]
    published = BASELINES / f"{settings.baseline}.yaml"
    series += baselines.read(published) if published.is_file() else []
    known = _known(contenders[0], rows[0])
    together = aggregate.measure(step, data, model, max(known, key=known.get, default=None))
    path = journal.finish()
    return Swept(series, path.relative_to(step.folder).as_posix(), files.sha256(path), refereed, remark, peak, together)


def _alone(settings: BatchSweep, step: Step) -> contextlib.AbstractContextManager:
    """Return what keeps other sweeps off this host meanwhile; where nothing but recordings is read, nothing does."""
    runs_here = any(target.backend != "replay" for _, target in _targets(settings))
    return host_lock.alone(f"run {step.folder.name}") if runs_here else contextlib.nullcontext()


def _take_turns(step: Step, data: Data, model: Model, journal: Journal) -> tuple[list[Contender], list[Refereed], str]:
    """Measure every batch size that the journal lacks; return who did, closed by now, and what the referee says or why it says nothing."""
    settings: BatchSweep = step.settings
    hire = functools.partial(Worker, step.folder, data, model, settings.batch_sizes)
    contenders: list[Contender] = []
    try:
        for role, target in _targets(settings):
            contenders.append(Contender(role, target, hire))
        for batch in _points(contenders, journal, settings):
            rows, points = contest.side_by_side(_running(contenders), batch, timing.PROFILES[settings.profile])
            journal.add(batch, [rows.get(one) for one in contenders], [points.get(one) for one in contenders])
        refereed, remark = _referee(contenders[0], journal.rows(0), settings)
    except BaseException:  # an interrupt too, and then a call may last long
        for one in contenders:
            one.worker.kill()
        raise
    for one in contenders:
        one.worker.close()
    return contenders, refereed, remark


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


def _referee(candidate: Contender, measured: list[Row], settings: BatchSweep) -> tuple[list[Refereed], str]:
    """Return what LoadGen says, or why it says nothing: one call at a time at the smallest batch size, all at once at the fastest."""
    known = _known(candidate, measured)
    if not settings.referee:
        return [], ""
    if candidate.loaded.recorded or not known:
        return [], "The referee was asked for, but nothing was measured here."
    runs = [] if candidate.loaded.requests > 1 else [("SingleStream", min(known))]
    runs.append(("Offline", max(known, key=known.get)))
    seconds = max(REFEREE_SECONDS, timing.PROFILES[settings.profile].seconds / REFEREE_PAIRS)
    try:
        if not candidate.worker.alive:
            candidate.renew()
        return [candidate.worker.referee(scenario, batch, seconds, REFEREE_PAIRS) for scenario, batch in runs], ""
    except Failed as failed:
        return [], f"The referee has no figure: {failed}"


def _known(candidate: Contender, rows: list[Row]) -> dict[int, float]:
    """Return the candidate's images per second in whole calls by batch size, where it has a figure."""
    region = candidate.loaded.region
    return {row.batch: row.regions[region].images_per_second for row in rows if region in row.regions}


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
