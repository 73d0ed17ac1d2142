"""Preparation shared by workers on Ray: units of images, each a part of the store that its worker writes itself, where all hosts see it."""

from collections.abc import Mapping, Sequence
from operator import eq

from helpers import majority, part_files, units, work
from helpers.by_name import Place
from helpers.chunks import CHUNK, Refused, refuse_none, refuse_too_many
from helpers.crew import Loaded
from helpers.kept_parts import KeptParts
from helpers.kinds import Kind
from helpers.prepared import Filled
from helpers.preparer import Job, Preparer
from helpers.preprocess import Preprocess
from helpers.records import Data, Rejected
from helpers.remote import Source
from helpers.steps import Step
from helpers.store import check_space
from helpers.store_journal import Journal

UNDECIDED = "prepare the first images differently and none of them as this host does: see that all hosts have the same images and packages."


def fill(step: Step, source: Source, names: Sequence[str], rejected: list[Rejected], how: Preprocess) -> Filled:
    """Have workers prepare every unit that an earlier run has not finished, as `work.share` does.

    `rejected` were refused before they were read; Refused where they are too many with those that can't be read.
    """
    settings, listed = step.settings, [[entry.name, entry.reason] for entry in rejected]
    cut = units.cut(len(names), settings.workers.unit_images, CHUNK)

    def refuse(found: list[list[str]]) -> None:
        refuse_too_many([*listed, *found], settings.max_rejected)

    kept = KeptParts(step.artefacts, step.fingerprint, cut, refuse, anew=step.forget())
    check_space(step.artefacts, len(names) - kept.images, how.crop)
    job = _job(step, part_files.journal(step.artefacts, step.fingerprint, cut), source, names, how)
    try:
        kept.check()
        remarks = work.share(_kind(job, names), kept, settings.workers, Preparer, job)[1] if kept.missing else []
        done, who = kept.joined()
        refuse_none(done)
    except Refused:
        kept.discard()
        raise
    done.seconds = units.seconds(who)
    return Filled(kept.finish(how.crop), done, who, remarks)


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


def _kind(job: Job, names: Sequence[str]) -> Kind:
    """Return preparation as a kind of work: the first images must come out the same in every byte."""

    def believed(alike: Mapping[str, Loaded]) -> str:
        found = {name: loaded.probe for name, loaded in alike.items()}
        return majority.believed(found, eq, lambda: Preparer(job).load().probe, eq, UNDECIDED)

    return Kind(
        notebook=Data.STEP,
        name="prepare",
        getting_ready="finding the images",
        on_device=False,
        otherwise="prepares the first images otherwise than it should",
        ask=lambda unit: ("prepare", unit, unit.among(names)),
        believed=believed,
        agree=lambda right, found: right.probe == found,
    )
