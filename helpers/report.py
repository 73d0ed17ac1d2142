"""What the report says of a whole run, from its records alone."""

import shlex
from pathlib import Path

import yaml

from helpers import files, formats, redact, run_folders
from helpers.elements import Group, Sentence, Table, Text
from helpers.params import Report
from helpers.records import Accuracy, Model, Record, Sweep, Verdict
from helpers.redact import Redaction


def verdict(model: Model, accuracy: Accuracy, sweep: Sweep) -> tuple[Verdict, str]:
    """Return the verdict of a run and the sentence that gives its reasons: the worst of accuracy and speed."""
    if model.refusal():
        return "FAIL", f"FAIL: the converted model is refused, since {model.refusal()}; it has neither an accuracy nor a speed."
    given = [accuracy.verdict, sweep.verdict]
    worst = next((verdict for verdict in ("FAIL", "INCONCLUSIVE", "PASS") if verdict in given), "NONE")
    word = "No verdict" if worst == "NONE" else worst
    return worst, f"{word}: {accuracy.sentence} {sweep.sentence}"


def again(inputs: tuple[Record, ...], settings: Report, folder: Path) -> Group:
    """Return the machine that the throughput was measured on, how much room the run takes, and what gives it again.

    Absolute paths among the parameters are shown without their folders unless the settings say `identify`.
    """
    sweep, name = inputs[-1], run_folders.name(folder)
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
    if not Path(name).is_absolute():
        merged["run"] = name
    shown = merged if settings.identify else Redaction(merged, hosts=redact.hosts(merged)).everywhere(merged)
    hidden = " Where … or (host) stands, a folder or a host is not shown: write your own." if shown != merged else ""
    return Group(
        [
            Table(["machine and packages", "value"], rows),
            Sentence(
                f"This run's folder takes {formats.size(files.size_of(folder))}; python -m helpers.prune {shlex.quote(name)} frees "
                "what is heavy of it and keeps records and pages."
            ),
            Sentence(f"In a clone {source}{changed}, save these parameters as params/again.yaml and run the command.{hidden}"),
            Text(".venv/bin/python -m helpers.run params/again.yaml"),
            Text(yaml.safe_dump(shown, sort_keys=False, default_flow_style=None, allow_unicode=True)),
        ]
    )
