"""Preparation shared by workers on Ray: units of images, each a part of the store that its worker writes itself, where all hosts see it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import eq

from helpers import cluster, crew, majority, part_files, units
from helpers.by_name import Place
from helpers.chunks import CHUNK, Refused, refuse_none, refuse_too_many
from helpers.crew import Loaded
from helpers.kept_parts import KeptParts
from helpers.kinds import Kind
from helpers.params import Workers
from helpers.prepared import Filled
from helpers.preparer import Job, Preparer
from helpers.preprocess import Preprocess
from helpers.records import Data, Rejected
from helpers.remote import Source
from helpers.steps import Step
from helpers.store import check_space
from helpers.store_journal import Journal
from helpers.units import Unit
from helpers.work import Work

UNDECIDED = "prepare the first images differently and none of them as this host does: see that all hosts have the same images and packages."


def fill(step: Step, source: Source, names: Sequence[str], rejected: list[Rejected], how: Preprocess) -> Filled:
    """Have workers prepare every unit that an earlier run has not finished; `rejected` were refused before they were read.

    A unit that fails more than `max_retries` times, an address that does not answer and workers of which none is left are UserErrors. An
    interrupt ends the workers; what is done stays.
    """
    settings = step.settings
    cut = units.cut(len(names), settings.workers.unit_images, CHUNK)
    kept = KeptParts(step.artefacts, step.fingerprint, cut, partial(_refuse, rejected, settings.max_rejected), anew=step.forget())
    check_space(step.artefacts, len(names) - kept.images, how.crop)
    job = _job(step, part_files.journal(step.artefacts, step.fingerprint, cut), source, names, how)
    try:
        kept.check()
        remarks = _work(kept, job, settings.workers, lambda unit: list(names[unit.first : unit.first + unit.count])) if kept.missing else []
        done, who = kept.joined()
        refuse_none(done)
    except Refused:
        kept.discard()
        raise
    done.seconds = units.seconds(who)
    return Filled(kept.finish(how.crop), done, who, remarks)


def _work(kept: KeptParts, job: Job, workers: Workers, named: Callable[[Unit], list[str]]) -> list[str]:
    """Have the missing units prepared and return what is to be said of the workers."""
    with cluster.joined(workers):
        limits = cluster.for_cores(workers)
        work = Work(_kind(job, named), kept, limits, lambda number: crew.hire(number, limits, Preparer, job))
        try:
            work.start()
            work.run()
        finally:
            work.end()
    return work.remarks


def _refuse(before: list[Rejected], most: int, found: list[list[str]]) -> None:
    """Raise Refused where the images that were left out, with those refused before, are too many."""
    refuse_too_many([*([entry.name, entry.reason] for entry in before), *found], most)


def _job(step: Step, journal: Journal, source: Source, names: Sequence[str], how: Preprocess) -> Job:
    settings = step.settings
    return Job(
        artefacts=step.artefacts,
        journal=journal,
        place=Place.of(source, settings.images, step.artefacts),
        how=how,
        max_pixels=settings.max_pixels,
        threads=settings.workers.cpus_per_worker,
        first=list(names[: majority.IMAGES]),
    )


def _kind(job: Job, named: Callable[[Unit], list[str]]) -> Kind:
    """Return preparation as a kind of work: the first images must come out the same in every byte."""

    def believed(alike: Mapping[str, Loaded]) -> str:
        found = {name: loaded.probe for name, loaded in alike.items()}
        return majority.believed(found, eq, lambda: Preparer(job).load().probe, eq, UNDECIDED)

    return Kind(
        notebook=Data.STEP,
        name="prepare",
        getting_ready="finding the images",
        otherwise="prepares the first images otherwise than it should",
        ask=lambda unit: ("prepare", unit, named(unit)),
        believed=believed,
        agree=lambda right, found: right.probe == found,
    )
