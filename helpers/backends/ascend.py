"""Ascend NPUs: the run's .om for each batch size, by aclruntime; copies to and from the device are timed apart."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers import backends, environment
from helpers.ascend import acl, npu_smi, om
from helpers.ascend.telemetry import Sampler
from helpers.errors import ParameterError, UserError
from helpers.params import Target
from helpers.preprocess import Preprocess
from helpers.records import Model, Stage

OPTIONS = {"device_id": (int,), "timeout_seconds": (int, float)}


class Backend(backends.Backend):
    name = "ascend"
    threads = 1
    region = "device"
    loads_each_batch = True

    @staticmethod
    def check(target: Target) -> None:
        if target.provider not in ("auto", "npu"):
            raise ParameterError(f"provider {target.provider}: backend ascend runs on npu.")
        for key, value in target.provider_options.items():
            if type(value) not in OPTIONS.get(key, ()) or not 0 <= value < math.inf:
                raise ParameterError(f"provider_options of backend ascend are {', '.join(OPTIONS)}, numbers from 0 on; not {key}: {value}.")

    def __init__(self, folder: Path, model: Model, target: Target):
        self._device = int(target.provider_options.get("device_id", 0))
        self._timeout = float(target.provider_options.get("timeout_seconds", 300))
        self._folder, self._session, self._batch = folder, None, 0
        made = [stage for stage in model.stages if stage.format == "om"]
        if not made:
            raise UserError("this run has no .om: run 2_convert with backend ascend.")
        first = made[0]
        self.aipp = first.aipp
        self._stages = [stage for stage in made if stage.aipp == self.aipp]  # beside AIPP there is one without, to compare with
        self._chip = npu_smi.chip(self._device)
        if first.soc != self._chip.soc_version and not first.soc.startswith(f"{self._chip.soc_version}_"):  # A3: Ascend910_9391
            raise UserError(
                f"{Path(first.file).name} was made for {first.soc} and device {self._device} is {self._chip.soc_version}: "
                "run 2_convert on this machine, or correct atc.soc_version."
            )
        self.precision = first.precision
        if target.precision not in ("auto", self.precision):
            raise UserError(f"precision {target.precision} was asked for but atc made {self.precision}: say auto or change atc.")
        self.provider = first.soc
        self.options = {"aipp": True} if self.aipp else {}
        version = f"{self.version()} {npu_smi.version()}"
        self.simulated = "simulated" in version  # a tool that calls itself so is believed
        self.device = backends.device_name(f"Ascend {self._chip.name}", self.simulated)

    def expects(self, how: Preprocess) -> Preprocess:
        return om.pixels(how) if self.aipp else how

    def sizes(self, wanted: Sequence[int]) -> list[int]:
        made = {stage.batch for stage in self._stages} | {gear for stage in self._stages for gear in stage.gears}
        return [size for size in wanted if size in made]

    def prepare(self, batch: int) -> None:
        """Load the model of a batch size; one session at a time, fresh for each, since its clock loses digits as it runs."""
        if batch == self._batch:
            return
        self.close()
        stage = self._stage(batch)
        path = self._folder / stage.file
        log = self._folder / "artefacts" / "ascend.log"
        self._session = acl.Session(path, self._device, batch if stage.gears else None, log, self._timeout)
        self._batch = batch

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.prepare(len(batch))
        probabilities, self.times = self._session(batch)
        return probabilities

    def sampler(self) -> Sampler:
        return Sampler(self._chip)

    def close(self) -> None:
        if self._session:
            self._session.close()
        self._session, self._batch = None, 0

    def describe(self) -> str:
        return f"ascend (aclruntime {self.version()}), {self.provider}, {self.precision}{', AIPP' if self.aipp else ''}"

    def version(self) -> str:
        return environment.versions(("aclruntime",))["aclruntime"]

    def _stage(self, batch: int) -> Stage:
        for stage in self._stages:
            if batch == stage.batch or batch in stage.gears:
                return stage
        raise UserError(f"this run has no .om for batch size {batch}: run 2_convert with it in batch_sizes.")
