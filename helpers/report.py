"""What the report says of a whole run, from its records alone."""

import yaml

from helpers import formats, throughput_tables
from helpers.elements import Group, Sentence, Table, Text
from helpers.params import Report
from helpers.records import Accuracy, Data, Measured, Model, Record, Result, Series, Sweep, Verdict


def verdict(model: Model, accuracy: Accuracy, sweep: Sweep) -> tuple[Verdict, str]:
    """Return the verdict of a run and the sentence that gives its reasons: the worst of accuracy and speed."""
    if model.refusal():
        return "FAIL", f"FAIL: the converted model is refused, since {model.refusal()}; it has neither an accuracy nor a speed."
    given = [accuracy.verdict, sweep.verdict]
    worst = next((verdict for verdict in ("FAIL", "INCONCLUSIVE", "PASS") if verdict in given), "NONE")
    word = "No verdict" if worst == "NONE" else worst
    return worst, f"{word}: {accuracy.sentence} {sweep.sentence}"


def recommendation(model: Model, accuracy: Accuracy, sweep: Sweep) -> Sentence | None:
    """Return which configuration measured here is the fastest whose answers still agree; None where there is only the candidate.

    fp32 agrees by the comparison of its answers; reduced precision when paired with the candidate on the same images it is shown to be
    equivalent or better, and the candidate's own accuracy is known; of a model with random weights only the direction is known, and
    that is said.
    """
    measured = [series for series in sweep.series if series.kind == "measured" and _best(series, sweep)]
    if len(measured) < 2 or sweep.one("candidate").kind != "measured":  # a recorded candidate is of another machine
        return None
    ranked = sorted(measured, key=lambda series: -_best(series, sweep)[0].images_per_second)
    at = next((at for at, series in enumerate(ranked) if not _doubt(series, model, accuracy, sweep)), len(ranked))
    passed_over = [f"{_figure(series, sweep)}, but {_doubt(series, model, accuracy, sweep)}" for series in ranked[:at]]
    if at == len(ranked):
        return Sentence(f"None is recommended: {'; '.join(passed_over)}.", "warning")
    chosen, baseline = ranked[at], sweep.one("baseline")
    said = f"Recommended: {_figure(chosen, sweep)}"
    if baseline in measured and baseline is not chosen:
        ratio = formats.times(_best(chosen, sweep)[0].images_per_second / _best(baseline, sweep)[0].images_per_second)
        said += f", {ratio} times the best of {throughput_tables.name(baseline, sweep)}"
    return Sentence("; ".join([said, _agreement(chosen, model, accuracy, sweep), *passed_over]) + ".")


def _best(series: Series, sweep: Sweep) -> tuple[Measured, int] | None:
    """Return a line's best figure and its batch size."""
    figures = [(row.regions[sweep.region], row.batch) for row in series.rows if sweep.region in row.regions]
    return max(figures, key=lambda figure: figure[0].images_per_second, default=None)


def _figure(series: Series, sweep: Sweep) -> str:
    measured, batch = _best(series, sweep)
    return f"{throughput_tables.name(series, sweep)}, {formats.fps(measured)} images per second at batch size {batch}"


def _doubt(series: Series, model: Model, accuracy: Accuracy, sweep: Sweep) -> str:
    """Return why a line must not be recommended, empty when it may be."""
    if series.precision == "fp32" or model.random_weights:
        return ""  # the comparison of its answers has been passed, or there would be no figure
    result = _evaluated(series, accuracy, sweep)
    if result is None:
        return "its accuracy was not evaluated"
    unknown = _unknown(accuracy)
    if result is accuracy.results[0]:
        return f"its accuracy {unknown}" if unknown else ""
    compared = next(one for one in accuracy.comparisons if one.b == result.stage)
    points = formats.span(compared.difference_interval_pct, 2)
    if compared.verdict == "WORSE":
        return f"its top-1 is lower than the candidate's on the same images ({points} points)"
    if compared.verdict == "INCONCLUSIVE":
        return f"these images are too few to tell its top-1 from the candidate's ({points} points)"
    return f"it was compared with the candidate alone, whose accuracy {unknown}" if unknown else ""


def _unknown(accuracy: Accuracy) -> str:
    """Return why the candidate's accuracy is no measure, empty when it is.

    Of reduced precision it is one when it passed against the reference, or is as good as that of fp32 on the same images.
    """
    exact = {result.stage for result in accuracy.results if result.precision == "fp32"}
    same_as_exact = any(one.b in exact and one.verdict in ("EQUIVALENT", "WORSE") for one in accuracy.comparisons)
    if "candidate" in exact or same_as_exact or accuracy.verdict == "PASS":
        return ""
    return {
        "FAIL": "fails against the reference",
        "INCONCLUSIVE": "is INCONCLUSIVE against the reference",
        "NONE": "was compared with nothing",
    }[accuracy.verdict]


def _agreement(series: Series, model: Model, accuracy: Accuracy, sweep: Sweep) -> str:
    """Return what is known of the answers of a line that is recommended."""
    if series.precision == "fp32":
        return "its answers are those of the original within the tolerance"
    if model.random_weights:
        return "its answers point the same way (cosine), but with random weights nothing is known of its accuracy"
    result = _evaluated(series, accuracy, sweep)
    compared = next((one for one in accuracy.comparisons if one.b == result.stage), None)
    if compared:
        span = formats.span(compared.difference_interval_pct, 2)
        return f"its top-1 less the candidate's, on the same images, is {span} points (95 %)"
    if accuracy.verdict == "PASS":
        return "its accuracy passed against the reference"
    return "its top-1 is as good as that of fp32 on the same images"


def _evaluated(series: Series, accuracy: Accuracy, sweep: Sweep) -> Result | None:
    """Return the accuracy of what a line measured, None where there is none or it is of another configuration."""
    stage = throughput_tables.place(series, sweep).replace(" ", "_")
    candidate = accuracy.results[0]
    found = next((result for result in accuracy.results if result.stage == stage and result.backend == series.backend), None)
    return found if found and found.evaluated and candidate.evaluated else None


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
            Sentence(f"{model.name} with {data.images} images, {candidate.backend} on {candidate.device}."),
            banner(model, accuracy, sweep),
            Sentence(f"Not measured by this run, but replayed from {candidate.recorded}.", "warning") if candidate.recorded else None,
            Sentence("No verdict." if worst == "NONE" else f"{worst}: {', '.join(said)}.", worst),
            Sentence(f"The converted model is refused: {refusal}.", "fail") if refusal else None,
            Sentence(accuracy.sentence, accuracy.verdict),
            Sentence(sweep.sentence, sweep.verdict),
            _differences(data),
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
