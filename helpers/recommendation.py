"""Which of the configurations measured beside each other to use: the fastest whose answers still agree."""

from helpers import formats, throughput_tables
from helpers.elements import Sentence
from helpers.records import Accuracy, Measured, Model, Result, Series, Sweep


def in_words(model: Model, accuracy: Accuracy, sweep: Sweep) -> Sentence | None:
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
    row = sweep.best(series)
    return (row.regions[sweep.region], row.batch) if row else None


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
    compared = next(one for one in accuracy.against_candidate() if one.b == result.stage)
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
    exact = {result.stage for result in accuracy.results if result.precision == "fp32" and not result.imported}  # that may be another model
    same_as_exact = any(one.b in exact and one.verdict in ("EQUIVALENT", "WORSE") for one in accuracy.against_candidate())
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
    compared = next((one for one in accuracy.against_candidate() if one.b == result.stage), None)
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
