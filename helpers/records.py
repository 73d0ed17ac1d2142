"""The records of a run: what each notebook hands to the next. These models are the schema and its only documentation.

Units are in the names. A point that failed has `error` text and nulls. Paths are relative to the run folder.
"""

import hashlib
import json
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from helpers import ROOT, environment, files
from helpers.errors import UserError
from helpers.params import Settings
from helpers.preprocess import Preprocess

Interval = tuple[float, float]
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "NONE"]  # NONE: nothing was asked for
Region = Literal["compute", "device", "host", "end_to_end"]  # shared meaning: README, "How to read the numbers"


class Body(BaseModel):
    """Common behaviour: no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Record(Body):
    """The head that every record has."""

    STEP: ClassVar[str]
    INPUTS: ClassVar[tuple[type["Record"], ...]] = ()
    PACKAGES: ClassVar[tuple[str, ...]] = ()
    ON_DEVICE: ClassVar[bool] = True  # the result depends on the machine

    schema_number: int = Field(1, alias="schema")
    run: str
    step: str
    created_utc: str
    git_commit: str | None
    git_dirty: bool | None
    params: dict[str, Any]
    fingerprint: str
    inputs: dict[str, str]  # name of the record -> its fingerprint
    environment: dict[str, Any]
    seconds: float

    @classmethod
    def file_name(cls) -> str:
        """Return the record's file name, `data.json` for Data."""
        return f"{cls.__name__.lower()}.json"

    def artefacts(self) -> dict[str, str]:
        """Return the files in the run folder that the record vouches for, with their sha256."""
        return {}


class Rejected(Body):
    name: str
    reason: str


class Throughput(Body):
    images_per_second: float
    seconds: float


class Data(Record):
    STEP = "1_prepare_data"
    PACKAGES = ("pillow", "numpy", "opencv-python", "mmcv-full")
    ON_DEVICE = False

    source: str
    source_sha256: str
    images: int
    classes: int
    class_names: list[str]
    labels_source: str  # empty: the images have no labels
    manifest: str
    manifest_sha256: str
    tensors: str
    tensors_sha256: str
    preprocess: Preprocess
    preprocess_source: str
    preprocess_differs: dict[str, str]  # key -> what the model's own config says
    rejected: list[Rejected]
    throughput: Throughput

    def artefacts(self) -> dict[str, str]:
        return {self.manifest: self.manifest_sha256, self.tensors: self.tensors_sha256}


class TensorSpec(Body):
    name: str
    shape: list[int | str]
    dtype: str


class Stage(Body):
    name: str
    format: Literal["pytorch", "onnx", "om", "openvino"]
    file: str  # a file outside the run folder by its name, weights drawn at random as random:<seed>
    sha256: str | None
    bytes: int | None
    command: str
    seconds: float
    input: TensorSpec
    output: TensorSpec
    opset: int | None = None
    precision: str = "fp32"
    soc: str | None = None
    batch: int | None = None  # None: any


class Check(Body):
    reference: str
    candidate: str
    batch: int
    images: int
    max_abs_diff: float | None  # of log-probabilities with the mean over classes removed
    cosine_min: float | None
    top1_agree_pct: float | None
    spread: float | None  # median over pairs of images of their largest difference, same quantity
    passed: bool
    reason: str


class Model(Record):
    STEP = "2_convert"
    INPUTS = (Data,)
    PACKAGES = ("torch", "mmcls", "mmcv-full", "onnx", "onnxslim", "onnxscript", "onnxruntime", "openvino", "numpy")

    name: str
    classes: int
    random_weights: bool
    stages: list[Stage]
    checks: list[Check]

    def artefacts(self) -> dict[str, str]:
        return {stage.file: stage.sha256 for stage in self.stages if stage.file.startswith("artefacts/")}

    def stage(self, format: str) -> Stage:
        """Return the last stage of a format; UserError when the run has none."""
        found = [stage for stage in self.stages if stage.format == format]
        if not found:
            raise UserError(f"this run has no {format} model: choose a backend that runs {self.stages[-1].format}.")
        return found[-1]

    def refusal(self) -> str | None:
        """Return why the converted model must not be used, None when it may be."""
        failed = [check.reason for check in self.checks if not check.passed]
        return failed[0] if failed else None


class Result(Body):
    stage: str
    backend: str
    device: str
    precision: str
    top1_pct: float | None
    top1_interval_pct: Interval | None
    top5_pct: float | None
    scores_file: str | None
    scores_sha256: str | None
    evaluated: bool
    reason: str  # why not, empty when evaluated
    seconds: float


class ReferenceAccuracy(Body):
    name: str
    top1_pct: float
    source: str


class Comparison(Body):
    a: str
    b: str
    both_right: int
    only_a: int
    only_b: int
    both_wrong: int
    p_value: float
    difference_interval_pct: Interval
    verdict: Literal["EQUIVALENT", "WORSE", "BETTER", "INCONCLUSIVE"]


class Accuracy(Record):
    STEP = "3_accuracy"
    INPUTS = (Data, Model)
    PACKAGES = ("torch", "onnxruntime", "openvino", "numpy", "scipy")

    images: int
    results: list[Result]  # the first is the candidate
    reference: ReferenceAccuracy | None
    comparisons: list[Comparison]
    verdict: Verdict
    sentence: str

    def artefacts(self) -> dict[str, str]:
        return {result.scores_file: result.scores_sha256 for result in self.results if result.scores_file}


class Latency(Body):
    p50: float
    p90: float | None  # from 64 calls
    p99: float | None  # from 459 calls


class Measured(Body):
    images_per_second: float
    interval_fps: Interval | None
    latency_ms: Latency | None
    blocks: int | None
    calls: int | None


class Row(Body):
    batch: int
    regions: dict[Region, Measured]
    load_seconds: float | None = None
    first_call_ms: float | None = None
    peak_memory_bytes: int | None = None
    noise: str | None = None
    error: str | None = None


class Series(Body):
    name: str
    role: Literal["candidate", "baseline", "option"]
    kind: Literal["measured", "published", "replayed", "simulated"]
    backend: str
    device: str
    precision: str
    source: str
    rows: list[Row]


class Ratio(Body):
    batch: int
    ratio: float | None
    interval: Interval | None
    verdict: Verdict
    remark: str = ""


class Sweep(Record):
    STEP = "4_batch_sweep"
    INPUTS = (Data, Model)
    PACKAGES = ("torch", "onnxruntime", "openvino", "numpy", "scipy")

    series: list[Series]
    region: Region
    ratios: list[Ratio]
    geomean_ratio: float | None
    best_over_best_ratio: float | None
    gate: Literal["none", "rows", "geomean", "best"]
    verdict: Verdict
    sentence: str

    def one(self, role: str) -> Series | None:
        """Return the series of a role, None when there is none."""
        return next((series for series in self.series if series.role == role), None)


class Report(Record):
    STEP = "5_report"
    INPUTS = (Data, Model, Accuracy, Sweep)
    ON_DEVICE = False

    title: str
    verdict: Verdict
    sentence: str


KINDS: tuple[type[Record], ...] = (Data, Model, Accuracy, Sweep, Report)


class Step:
    """A notebook at work: its inputs, its folders, and the one record that it will write."""

    def __init__(self, kind: type[Record], settings: Settings):
        self._started = time.monotonic()
        self.kind, self.settings = kind, settings
        self.folder = folder(settings.run)
        self.artefacts = self.folder / "artefacts"
        self.inputs = load_inputs(kind, self.folder)
        self.fingerprint = fingerprint(kind, settings, self.inputs)

    def record(self, **body: Any) -> Record:
        """Return the record as it would be written now."""
        git_commit, git_dirty = environment.commit()
        return self.kind(
            run=self.folder.name,
            step=self.kind.STEP,
            created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            git_commit=git_commit,
            git_dirty=git_dirty,
            params=self.settings.model_dump(mode="json"),
            fingerprint=self.fingerprint,
            inputs={type(record).__name__.lower(): record.fingerprint for record in self.inputs},
            environment={**environment.machine(), **environment.versions(self.kind.PACKAGES)},
            seconds=round(time.monotonic() - self._started, 3),
            **body,
        )

    def save(self, **body: Any) -> Record:
        """Write the record and return it."""
        record = self.record(**body)
        text = json.dumps(record.model_dump(mode="json", by_alias=True), indent=1, allow_nan=False, ensure_ascii=False)
        files.write_text(self.folder / self.kind.file_name(), text + "\n")
        return record


def folder(run: str) -> Path:
    """Return a run's folder: a name below reports/ or an absolute path."""
    return ROOT / "reports" / run


def load(kind: type[Record], run_folder: Path) -> Record:
    """Return one record of a run; UserError names the notebook to run when it is missing or of another version."""
    path = run_folder / kind.file_name()
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path.name} is not in run {run_folder.name}: run {kind.STEP} first.") from None
    except ValidationError:
        raise UserError(f"{path.name} of run {run_folder.name} has another version's form: run {kind.STEP} again.") from None


def load_inputs(kind: type[Record], run_folder: Path) -> tuple[Record, ...]:
    """Return the records that a notebook reads; UserError when they were not made from each other."""
    inputs = tuple(load(needed, run_folder) for needed in kind.INPUTS)
    known = {type(record).__name__.lower(): record.fingerprint for record in inputs}
    for record in inputs:
        for name, used in record.inputs.items():
            if used != known[name]:
                raise UserError(f"{record.file_name()} was made from another {name}.json: run {record.STEP} again.")
    return inputs


def fingerprint(kind: type[Record], settings: Settings, inputs: tuple[Record, ...]) -> str:
    """Return the sha256 over everything that a step's result depends on."""
    hashes = files.sha256_many(settings.files())
    parts = {
        "params": settings.model_dump(mode="json", exclude={"run"}),
        "inputs": [record.fingerprint for record in inputs],
        "files": [hashes[path] for path in settings.files()],
        "code": _code_hash(kind),
        "packages": environment.versions(kind.PACKAGES),
        "machine": [environment.machine(), platform.node()] if kind.ON_DEVICE else None,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def is_current(kind: type[Record], settings: Settings, run_folder: Path) -> bool:
    """Return whether the record of a step exists, would come out the same, and its artefacts are untouched."""
    try:
        record = load(kind, run_folder)
        same = record.fingerprint == fingerprint(kind, settings, load_inputs(kind, run_folder))
        paths = {run_folder / name: sha256 for name, sha256 in record.artefacts().items()}
        return same and all(path.is_file() for path in paths) and files.sha256_many(list(paths)) == paths
    except UserError:
        return False


def _code_hash(kind: type[Record]) -> str:
    """Return the hash of the helpers and of the notebook's code; its parameters cell is not code."""
    code = hashlib.sha256()
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        code.update(path.read_bytes())
    notebook = json.loads((ROOT / "notebooks" / f"{kind.STEP}.ipynb").read_bytes())  # nbformat takes a second to import
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", []):
            code.update("".join(cell["source"]).encode())
    return code.hexdigest()
