"""The sections of the report after its first screen, in the order in which a sceptic asks."""

from pathlib import Path

from helpers import (
    accuracy_tables,
    aggregate_report,
    chain,
    flips,
    formats,
    limits,
    recommendation,
    roofline,
    sweep_charts,
    tables,
    throughput_tables,
)
from helpers.elements import Group, Sentence, Table
from helpers.records import Accuracy, Data, Model, Sweep


def measured(data: Data, model: Model, sweep: Sweep) -> Table:
    """Return what was measured: which model on which images, in what, beside what, and how."""
    candidate, baseline, how = sweep.one("candidate"), sweep.one("baseline"), data.preprocess
    prepared = (
        f"short side {how.resize_short}, {how.interpolation}, crop {how.crop}, {how.channel_order}; mean {_listed(how.mean)}, "
        f"std {_listed(how.std)}; by {data.preprocess_source}"
    )
    options = [series.backend for series in sweep.series if series.role == "option"]
    rows = [
        ["model", f"{model.name}, {formats.counted(model.classes, 'class', 'classes')}"],
        ["images", f"{data.images:,} of {data.source}, labels by {data.labels_source or 'nobody'}"],
        ["prepared", prepared],
        ["candidate", f"{candidate.backend}, on {candidate.device}"],
        ["baseline", f"{baseline.backend or baseline.name}, {baseline.kind}, on {baseline.device}" if baseline else None],
        *(["also", option] for option in options),
        ["batch sizes", ", ".join(str(row.batch) for row in candidate.rows)],
        ["profile", sweep.params["profile"]],
    ]
    return Table(["what", "which"], rows)


def same_model(data: Data, model: Model, accuracy: Accuracy, sweep: Sweep) -> Group:
    """Return the comparison with what the model was made from, and the chain of hashes, drawn and as a table."""
    every = (data, model, accuracy, sweep)
    return Group([tables.checks(model.checks), chain.drawn(*every), chain.links(*every)])


def as_accurate(folder: Path, accuracy: Accuracy) -> Group:
    """Return the accuracy of every configuration, how they compare, and the images on which they differ."""
    return Group([Sentence(accuracy.sentence, accuracy.verdict), accuracy_tables.accuracy(accuracy), flips.gallery(folder, accuracy)])


def how_fast(data: Data, model: Model, accuracy: Accuracy, sweep: Sweep) -> Group:
    """Return the numbers behind the chart, what is recommended, and what limits."""
    return Group(
        [
            Sentence(sweep.sentence, sweep.verdict),
            tables.fps(sweep),
            throughput_tables.options(sweep),
            recommendation.in_words(model, accuracy, sweep),
            limits.in_words(sweep, data),
            roofline.in_words(model, sweep),
            sweep_charts.latency(sweep),
            aggregate_report.shown(sweep),
        ]
    )


def how_sure(sweep: Sweep) -> Group:
    """Return how quiet the machine was, what the device did, and the same calls as others count them."""
    return Group(
        [
            throughput_tables.peace(sweep),
            sweep_charts.timeline(sweep),
            throughput_tables.referee(sweep),
            throughput_tables.definitions(sweep),
        ]
    )


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
