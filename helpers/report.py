"""What the report says of a whole run, from its records alone."""

import yaml

from helpers import formats
from helpers.elements import Group, Sentence, Table, Text
from helpers.params import Report
from helpers.records import Accuracy, Data, Model, Record, Sweep, Verdict
from helpers.redact import Redaction


def verdict(model: Model, accuracy: Accuracy, sweep: Sweep) -> tuple[Verdict, str]:
    """Return the verdict of a run and the sentence that gives its reasons: the worst of accuracy and speed."""
    if model.refusal():
        return "FAIL", f"FAIL: the converted model is refused, since {model.refusal()}; it has neither an accuracy nor a speed."
    given = [accuracy.verdict, sweep.verdict]
    worst = next((verdict for verdict in ("FAIL", "INCONCLUSIVE", "PASS") if verdict in given), "NONE")
    word = "No verdict" if worst == "NONE" else worst
    return worst, f"{word}: {accuracy.sentence} {sweep.sentence}"


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


def again(inputs: tuple[Record, ...], settings: Report) -> Group:
    """Return the machine that the throughput was measured on, and the command and parameters that give this run again.

    Absolute paths among the parameters are shown without their folders unless the settings say `identify`.
    """
    sweep = inputs[-1]
    facts = {**sweep.environment, "memory_bytes": formats.size(sweep.environment["memory_bytes"])}
    rows = [[key.removesuffix("_bytes").replace("_", " "), value] for key, value in facts.items()]
    source = f"at commit {sweep.git_commit}" if sweep.git_commit else "of this project (made outside a git clone: the commit is unknown)"
    changed = ", to which there were uncommitted changes" if sweep.git_dirty else ""
    merged = {
        key: value
        for params in (*(record.params for record in inputs), settings.model_dump(mode="json", exclude={"run"}))
        for key, value in params.items()
    }
    merged = {key: value for key, value in merged.items() if value is not None}
    shown = merged if settings.identify else Redaction(merged).everywhere(merged)
    hidden = " Where … stands, a folder is not shown: write your own." if shown != merged else ""
    return Group(
        [
            Table(["machine and packages", "value"], rows),
            Sentence(f"In a clone {source}{changed}, save these parameters as params/again.yaml and run the command.{hidden}"),
            Text(".venv/bin/python -m helpers.run params/again.yaml"),
            Text(yaml.safe_dump(shown, sort_keys=False, default_flow_style=None, allow_unicode=True)),
        ]
    )


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
