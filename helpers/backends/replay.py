"""No device: the answers and times that ais_bench or ais_infer recorded on another machine, as if they were measured here."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers import backends, dataset, sources, steps, timing
from helpers.ascend import bin_files, kit_results, recorded
from helpers.ascend.recorded.times import Timing
from helpers.errors import ParameterError, UserError
from helpers.params import Target
from helpers.records import Copies, Data, Measured, Model, Row

OPTIONS = ("results", "device")


class Backend(backends.Backend):
    name = "replay"
    threads = 0

    @staticmethod
    def check(target: Target) -> None:
        unknown = sorted(set(target.provider_options) - set(OPTIONS))
        if unknown or target.provider != "auto":
            wrong = f"not {', '.join(unknown)}" if unknown else f"and it has no provider ({target.provider})"
            raise ParameterError(f"backend replay takes provider_options {' and '.join(OPTIONS)}, {wrong}.")

    def __init__(self, folder: Path, model: Model, target: Target):
        source = sources.existing("provider_options.results", target.provider_options["results"])
        found, data = kit_results.unpack(source, folder / "artefacts"), steps.load(Data, folder)
        told, soc = kit_results.identity(found), kit_results.chip(found)
        kit_results.check_same(told, data, model.stage("onnx"))
        stems = bin_files.stems(dataset.load(folder / data.manifest).names)
        recording = recorded.read(found, model.classes, stems)
        if not recording.timings and not recording.answers:
            raise UserError(f"{source.name} holds nothing that ais_bench wrote: neither summaries, logs nor answers.")
        self.provider = soc or "a device"
        if told and target.precision not in ("auto", told.precision):
            raise UserError(f"precision {target.precision} was asked for, but the kit made {told.precision}: say auto.")
        stated = target.precision if target.precision != "auto" else "precision not stated"
        self.precision = told.precision if told else stated
        self.simulated = recording.simulated
        named = target.provider_options.get("device") or soc.replace("Ascend", "Ascend ") or "not stated"
        self.device = backends.device_name(str(named), self.simulated)
        self.recorded = _recorded(recording, stems, source.name, kit_results.place(found), bool(told))

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        raise UserError("recorded results hold no answers to other images: measure on the device itself with backend ascend.")

    def refusal(self, model: Model, batches: Sequence[int]) -> str | None:
        """Return why recorded results get no figure; a batch size without answers is left to the sweep, which says so."""
        return model.refusal(self.identity, [self.recorded.batch]) if self.recorded.answers else model.refusal()

    @property
    def label(self) -> str:
        return f"recorded {self.precision}"

    def describe(self) -> str:
        return f"replay of {self.recorded.source}, {self.precision}"

    def version(self) -> str:
        return "recorded"


def _recorded(recording: recorded.Recording, stems: list[str], source: str, place: str, from_kit: bool) -> backends.Recorded:
    """Return a recording as this run's rows and answers; of several sets at one batch size the most complete counts."""
    place_of, remarks, answers = {stem: index for index, stem in enumerate(stems)}, [], {}
    for one in sorted(recording.answers, key=lambda one: len(one.probabilities)):  # the most complete at a batch size comes last
        image = np.array([place_of[stem] for stem in one.probabilities], np.int32)
        order = np.argsort(image)
        answers[one.batch or 1] = image[order], np.stack(list(one.probabilities.values()))[order]
        best = one
    if not answers:
        remarks.append("No answers to images were recorded: that it was this model that ran can't be shown.")
    else:
        remarks += best.remarks
        if not from_kit:
            remarks.append("These answers did not come from a kit: that they are of this run's images is told by the file names alone.")
    batch, rounded = (best.batch or 1, best.format == "TXT") if answers else (None, False)
    # pure inference last, so that it counts where both were recorded: it is what the published table has
    timings = sorted(recording.timings, key=lambda one: one.zero_input)
    timed = {one.batch: one for one in timings}
    left_out = {one.batch for one in timings if one.zero_input == timed[one.batch].zero_input and one is not timed[one.batch]}
    remarks += [f"Several measurements were recorded at batch size {size}: the last by name counts." for size in sorted(left_out)]
    return backends.Recorded(answers, batch, rounded, [_row(one) for one in timed.values()], remarks, source, place)


def _row(timed: Timing) -> Row:
    """Return the row of one measurement; ais_bench times the execution alone, so that is its region."""
    seconds = [ms / 1000 for ms in timed.execute_ms]
    if seconds:
        compute = timing.measured(timed.batch, np.array(seconds), seconds)
    else:
        fps = 1000 * timed.batch / timed.mean_ms
        compute = Measured(images_per_second=fps, interval_fps=None, latency_ms=None, blocks=1, calls=None)
    said = ["input of zeros" if timed.zero_input else "", *timed.remarks]
    return Row(
        batch=timed.batch,
        regions={"compute": compute},
        copies=Copies(to_device_ms=timed.h2d_ms, to_host_ms=timed.d2h_ms),
        remark="; ".join(filter(None, said)) or None,
    )
