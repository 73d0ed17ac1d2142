"""What the report says of a whole run, from its records alone."""

import yaml

from helpers import formats
from helpers.elements import Group, Sentence, Table, Text
from helpers.params import Report
from helpers.records import Accuracy, Data, Model, Record, Sweep, Verdict


def verdict(model: Model, accuracy: Accuracy, sweep: Sweep) -> tuple[Verdict, str]:
    """Return the verdict of a run and the sentence that gives its reasons: the worst of accuracy and speed."""
    if model.refusal():
        return "FAIL", f"FAIL: the converted model is refused, since {model.refusal()}; it has neither an accuracy nor a speed."
    given = [accuracy.verdict, sweep.verdict]
    worst = next((verdict for verdict in ("FAIL", "INCONCLUSIVE", "PASS") if verdict in given), "NONE")
    word = "No verdict" if worst == "NONE" else worst
    return worst, f"{word}: {accuracy.sentence} {sweep.sentence}"


def banner(model: Model, accuracy: Accuracy, sweep: Sweep) -> Sentence | None:
    """Return what must be said before any number: a simulated device, weights drawn at random."""
    simulated = [series.name for series in sweep.series if series.kind == "simulated"]
    simulated = simulated or [result.backend for result in accuracy.results if result.simulated]
    if simulated:
        return Sentence(
            f"Simulated device: the figures of {', '.join(simulated)} were made by a simulator and say nothing of any hardware.", "warning"
        )
    if model.random_weights:
        return Sentence("The weights are random: the speed is real, an accuracy would mean nothing.", "warning")
    return None


def chain(data: Data, model: Model, accuracy: Accuracy, sweep: Sweep) -> Table:
    """Return the chain of hashes: from images and checkpoint to the results, each link with what it was made from."""
    rows = [["images", data.source, None, _short(data.source_sha256)]]
    rows += [["manifest", data.manifest, "images, labels", _short(data.manifest_sha256)]]
    rows += [["tensors", data.tensors, "manifest, preprocess", _short(data.tensors_sha256)]]
    made_from = None
    for stage in model.stages:
        rows.append([f"model: {stage.name}", stage.file, made_from, _short(stage.sha256)])
        made_from = made_from if stage.format in ("om", "openvino") else f"model: {stage.name}"  # these are made from the ONNX file
    if model.recording:
        rows.append(["recorded results", model.recording, f"{made_from}, tensors", _short(model.recording_sha256)])
    rows += [
        [
            record.file_name(),
            record.STEP,
            " + ".join(f"{name} {_short(used)}" for name, used in record.inputs.items()),
            _short(record.fingerprint),
        ]
        for record in (data, model, accuracy, sweep)
    ]
    return Table(["link", "what", "made from", "sha256 (first 12)"], rows)


def opening(data: Data, model: Model, accuracy: Accuracy, sweep: Sweep) -> Group:
    """Return the first lines of the report: what it is of, what must be known before any number, the verdict and its reasons."""
    candidate, worst = sweep.one("candidate"), verdict(model, accuracy, sweep)[0]
    said = [
        f"{name} {given.replace('NONE', 'without a verdict')}" for name, given in (("accuracy", accuracy.verdict), ("speed", sweep.verdict))
    ]
    refusal = model.refusal()
    return Group(
        [
            Sentence(f"{model.name} with {formats.counted(data.images, 'image')}, {candidate.backend} on {candidate.device}."),
            banner(model, accuracy, sweep),
            Sentence(f"Not measured by this run, but replayed from {candidate.recorded}.", "warning") if candidate.recorded else None,
            Sentence("No verdict." if worst == "NONE" else f"{worst}: {', '.join(said)}.", worst),
            Sentence(f"The converted model is refused: {refusal}.", "fail") if refusal else None,
            Sentence(accuracy.sentence, accuracy.verdict),
            Sentence(sweep.sentence, sweep.verdict),
            _differences(data),
            *(Sentence(warning, "warning") for warning in data.warnings),
        ]
    )


def again(inputs: tuple[Record, ...], settings: Report) -> Group:
    """Return the machine that the throughput was measured on, and the command and parameters that give this run again."""
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
    return Group(
        [
            Table(["machine and packages", ""], rows),
            Sentence(f"In a clone {source}{changed}, save these parameters as params/again.yaml and run the command."),
            Text(".venv/bin/python -m helpers.run params/again.yaml"),
            Text(yaml.safe_dump(merged, sort_keys=False, default_flow_style=None, allow_unicode=True)),
        ]
    )


def _differences(data: Data) -> Sentence | None:
    """Return that the images are prepared otherwise than the model's own config says."""
    changed = ", ".join(f"{key} (the config says {value})" for key, value in data.preprocess_differs.items())
    return Sentence(f"The images are prepared otherwise than the model's own config says, in {changed}.", "warning") if changed else None


def _short(sha256: str | None) -> str | None:
    return sha256[:12] if sha256 else None
