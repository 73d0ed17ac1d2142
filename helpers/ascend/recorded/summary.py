"""The summary of one run: sumary.json in the result folder of early releases, <result folder>_summary.json beside it since."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from helpers.ascend.recorded.names import PURE, named_batch
from helpers.errors import UserError


class _Read(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)


class Mean(_Read):
    mean: float


class Sample(_Read):
    infiles: list[str] = []
    outfiles: list[str] = []


class Summary(_Read):
    """What is used of it. Paths are those of another machine."""

    NPU_compute_time: Mean | None = None  # None: some other tool's summary
    H2D_latency: Mean = Mean(mean=0)
    D2H_latency: Mean = Mean(mean=0)
    npu_compute_time_list: list[float | tuple[float, float]] = []  # ms of each execute, or when it began and ended
    throughput: float | None = None
    filesinfo: dict[str, Sample] = {}
    args: list[str] = []
    simulated: Any = False
    source: str = ""  # the file, relative to the folder given

    @property
    def execute_ms(self) -> tuple[float, ...]:
        """Return the time of each execute; early releases recorded their mean alone."""
        return tuple(time[1] - time[0] if isinstance(time, tuple) else time for time in self.npu_compute_time_list)

    @property
    def zero_input(self) -> bool:
        """Return whether the model was given no file."""
        return set(self.images.values()) <= {PURE} and self._option("--input|-i") is None

    @property
    def told_batches(self) -> list[int]:
        """Return the batch sizes that the command line tells, first the one to believe."""
        model = PurePosixPath(self._option("--model|-m|--om|--om-model|-om") or "").name
        told = (self._option("--batchsize|--batch-size"), named_batch(model), self._option("--dymBatch|--dym-batch"))
        return [int(batch) for batch in told if batch and int(batch)]

    @property
    def images(self) -> dict[str, str]:
        """Return name of a result file -> stem of its image, PURE where there was none."""
        listed = [(sample.infiles[0], result) for sample in self.filesinfo.values() for result in sample.outfiles if sample.infiles]
        return {PurePosixPath(result).name: PurePosixPath(image).name.partition(".")[0] for image, result in listed}

    def _option(self, names: str) -> str | None:
        """Return the value of an option in the command line, `--a b` or `--a=b`."""
        found = re.search(rf"(?:^|\s)(?:{names})[\s=](\S+)", " ".join(self.args))
        return found and found[1]


def read(path: Path, source: str) -> Summary:
    """Return a summary, UserError where the file can't be one."""
    try:
        return Summary.model_validate_json(path.read_bytes()).model_copy(update={"source": source})
    except ValidationError as error:
        what = f"{source} can't be read as a summary of ais_bench"
        raise UserError(f"{what} ({error.errors()[0]['msg']}): copy it again or take it out of the folder.") from error
