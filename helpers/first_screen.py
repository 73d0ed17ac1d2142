"""The first screen of the report: one verdict, three figures with their conditions, the chart, and what must be known before them."""

from helpers import charts, formats
from helpers import verdict as judging
from helpers.elements import Group, KeyFigures, Sentence
from helpers.records import Accuracy, Data, Model, Sweep
from helpers.report import verdict


def shown(data: Data, model: Model, accuracy: Accuracy, sweep: Sweep) -> Group:
    """Return what a reader who goes no further must see."""
    recorded = sweep.one("candidate").recorded
    return Group(
        [
            banner(model, accuracy, sweep),
            Sentence(f"Not measured by this run, but replayed from {recorded}.", "warning") if recorded else None,
            Sentence(headline(model, accuracy, sweep), verdict(model, accuracy, sweep)[0]),
            *(Sentence(text, "warning") for text in (*accuracy.diagnosis, *data.warnings, *_differences(data))),
            KeyFigures([_best(sweep), _ratio(sweep), _top1(accuracy)]),
            charts.fps(sweep),
        ]
    )


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


def headline(model: Model, accuracy: Accuracy, sweep: Sweep) -> str:
    """Return the verdict of a run in one sentence."""
    candidate, worst = sweep.one("candidate"), verdict(model, accuracy, sweep)[0]
    word = "No verdict" if worst == "NONE" else worst
    if model.refusal():
        return f"FAIL: the converted model of {model.name} is refused and gets neither an accuracy nor a speed: {model.refusal()}."
    said = f"{model.name} in {candidate.name} on {candidate.device}"
    return f"{word}: {said} {_accuracy(accuracy)}, and {_speed(sweep)}."


def _accuracy(record: Accuracy) -> str:
    candidate, reference = record.results[0], record.reference
    if not candidate.evaluated:
        return f"was not evaluated for accuracy ({candidate.reason})"
    if record.verdict == "NONE":
        return f"has a top-1 of {candidate.top1_pct:.2f} %, {'by a simulator' if candidate.simulated else 'compared with no reference'}"
    points = formats.points(record.params["margin_points"])
    return {
        "PASS": f"is as accurate as its reference, within {points}",
        "FAIL": f"is less accurate than its reference, by more than {points}",
        "INCONCLUSIVE": f"answered too few images to tell whether it is as accurate as its reference, {reference.top1_pct:.2f} %",
    }[record.verdict]


def _speed(sweep: Sweep) -> str:
    baseline, ratio = sweep.one("baseline"), sweep.geomean_ratio
    if not ratio:
        return "its speed was compared with nothing" if baseline is None else f"its speed was not compared with {baseline.name}"
    said = f"{formats.times(ratio)} times the speed of {baseline.name}"
    return {
        "PASS": f"runs at {said}",
        "FAIL": f"is too slow, at {said}",
        "INCONCLUSIVE": f"may be too slow, at {said}: these measurements can't tell",
        "NONE": f"runs at {said}, which no gate judges",
    }[sweep.verdict]


def _best(sweep: Sweep) -> tuple[str, str, str]:
    """Return the best figure of the candidate with its batch size, interval and conditions."""
    candidate = sweep.one("candidate")
    best = sweep.best(candidate)
    if not best:
        return "best throughput", "none", next((row.error for row in candidate.rows if row.error), "nothing was measured")
    measured = best.regions[sweep.region]
    interval = formats.fps_interval(measured)
    conditions = [
        f"batch size {best.batch}",
        f"95 % interval {interval}" if interval else "",
        f"{sweep.region} time",
        candidate.kind,
        best.noise.verdict if best.noise else "",
    ]
    return "best throughput", f"{formats.fps(measured)} FPS", ", ".join(filter(None, conditions))


def _ratio(sweep: Sweep) -> tuple[str, str, str]:
    baseline = sweep.one("baseline")
    if not sweep.geomean_ratio:
        return "speed ratio", "none", "no baseline was asked for" if baseline is None else f"{baseline.name} has no figure beside it"
    ratios = [ratio for ratio in sweep.ratios if ratio.ratio]
    _, interval = judging.mean(ratios)
    known = f"95 % interval {' to '.join(map(formats.times, interval))}" if interval else "no interval"
    mean = f"geometric mean of {formats.counted(len(ratios), 'batch size')}"
    beside = "measured in turns with it" if baseline.kind == "measured" else f"{baseline.kind}, on {baseline.device}"
    return "speed ratio", f"{formats.times(sweep.geomean_ratio)} ×", f"{known}, over {baseline.name}, {beside}; {mean}"


def _top1(record: Accuracy) -> tuple[str, str, str]:
    candidate, reference = record.results[0], record.reference
    if not candidate.evaluated:
        return "top-1", "none", candidate.reason
    against = f"; reference {reference.top1_pct:.2f} %" if reference else ""
    interval = formats.span(candidate.top1_interval_pct, 2)
    return "top-1", f"{candidate.top1_pct:.2f} %", f"95 % interval {interval}, {formats.counted(candidate.images, 'image')}{against}"


def _differences(data: Data) -> list[str]:
    """Return that the images are prepared otherwise than the model's own config says."""
    changed = ", ".join(f"{key} (the config says {value})" for key, value in data.preprocess_differs.items())
    return [f"The images are prepared otherwise than the model's own config says, in {changed}."] if changed else []
