"""A run's parameters: one class for each notebook, checked before a kernel starts and again in the notebook.

A parameter file holds keys of any of the notebooks, since the same name means the same thing in all of them. Relative
paths are relative to the repository root.
"""

import difflib
import importlib.util
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from helpers import ROOT
from helpers.errors import ParameterError
from helpers.preprocess import Preprocess

BASELINES = ROOT / "params" / "baselines"
BackendName = Literal["onnxruntime", "openvino", "torch", "null"]


def _distinct(sizes: list[int]) -> list[int]:
    if len(set(sizes)) < len(sizes):
        raise ValueError("a batch size is given twice")
    return sizes


def _seeded(checkpoint: str) -> str:
    if checkpoint.startswith("random") and not re.fullmatch(r"random:\d+", checkpoint):
        raise ValueError("random weights are written random:<seed>, for example random:0")
    return checkpoint


BatchSizes = Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=1), AfterValidator(_distinct)]
Checkpoint = Annotated[str, AfterValidator(_seeded)]
RunName = Annotated[str, Field(pattern=r"^[^\s]+$", description="folder of the run below reports/, or an absolute path")]


class Settings(BaseModel):
    """Common behaviour: unknown keys and wrong types are errors, values never change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def files(self) -> list[Path]:
        """Return the files and folders whose content decides the result; missing ones are a ParameterError."""
        return []


class Onnx(Settings):
    """How PyTorch becomes ONNX."""

    exporter: Literal["legacy", "dynamo"] = "legacy"  # dynamo: fewer nodes, ten times slower to export
    opset: Annotated[int, Field(ge=11, le=23)] = 17  # from 17 on LayerNormalization is one node
    simplify: bool = True  # by onnxslim


class Reference(Settings):
    """A published accuracy to compare with."""

    name: str
    top1_pct: Annotated[float, Field(gt=0, le=100)]
    source: str


class Target(Settings):
    """What the candidate runs on: shared by the notebooks that infer."""

    backend: BackendName = "onnxruntime"
    provider: str = "cpu"
    provider_options: dict[str, str | int | float | bool] = {}
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _runs_here(self) -> Self:
        if self.precision == "bf16" and self.backend != "openvino":
            raise ValueError(f"backend {self.backend} has precision fp32 only; bf16 needs backend: openvino")
        if self.backend != "null" and importlib.util.find_spec(self.backend) is None:
            raise ValueError(f"backend {self.backend} is not installed: pip install -e '.[{self.backend}]' or choose another")
        return self


class PrepareData(Settings):
    """Parameters of 1_prepare_data."""

    run: RunName = "dev"
    images: str = "demo/images.tar.gz"
    labels: str = "demo/val_label.txt"
    model: str = "demo/conformer_fmnist.py"
    preprocess: Literal["model"] | Preprocess = "model"
    subset: Annotated[int, Field(ge=0)] = 0
    seed: int = 0
    max_rejected: Annotated[int, Field(ge=0)] = 0

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
        images = [] if self.images.startswith("photographs:") else [existing("images", self.images)]
        return images + ([existing("labels", self.labels)] if self.labels else []) + model_files(self.model)


class Convert(Target):
    """Parameters of 2_convert."""

    run: RunName = "dev"
    model: str = "demo/conformer_fmnist.py"
    checkpoint: Checkpoint = "demo/conformer_fmnist.pth"
    output: Literal["auto", "logits", "probabilities"] = "auto"
    onnx: Onnx = Onnx()
    batch_sizes: BatchSizes = [1, 4, 8, 16, 32, 64]

    def files(self) -> list[Path]:
        trained = not self.model.endswith(".onnx") and not self.checkpoint.startswith("random:")
        return model_files(self.model) + ([existing("checkpoint", self.checkpoint)] if trained else [])


class Accuracy(Target):
    """Parameters of 3_accuracy."""

    run: RunName = "dev"
    batch_size: Annotated[int, Field(gt=0)] = 64
    reference: Annotated[Reference | None, BeforeValidator(lambda value: value or None)] = None
    margin_points: Annotated[float, Field(gt=0)] = 0.5


class BatchSweep(Target):
    """Parameters of 4_batch_sweep."""

    run: RunName = "dev"
    batch_sizes: BatchSizes = [1, 4, 8, 16, 32, 64]
    baseline: str = "torch"
    profile: Literal["quick", "standard"] = "quick"
    gate: Literal["auto", "none", "rows", "geomean", "best"] = "auto"
    tolerance_pct: Annotated[float, Field(ge=0, lt=100)] = 5.0
    seed: int = 0

    @field_validator("baseline")
    @classmethod
    def _known_baseline(cls, name: str) -> str:
        published = sorted(path.stem for path in BASELINES.glob("*.yaml"))
        if name not in ["none", "torch", "onnxruntime", "openvino", *published]:
            raise ValueError(f"{name!r} is neither none, a live backend (torch, onnxruntime, openvino) nor one of {published}")
        return name

    def files(self) -> list[Path]:
        published = BASELINES / f"{self.baseline}.yaml"
        return [published] if published.is_file() else []


class Report(Settings):
    """Parameters of 5_report."""

    run: RunName = "dev"
    title: str = "Inference report"
    strict: bool = False


class Run(PrepareData, Convert, Accuracy, BatchSweep, Report):
    """Every key that a parameter file may have."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.model.endswith(".onnx") and "torch" in (self.backend, self.baseline):
            raise ValueError("an ONNX model can't run in PyTorch: choose backend and baseline among onnxruntime, openvino, none")
        return self

    def files(self) -> list[Path]:
        return sorted({*PrepareData.files(self), *Convert.files(self), *BatchSweep.files(self)})


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


def read(path: Path, overrides: dict[str, str]) -> Run:
    """Return the checked parameters of a file; `overrides` are texts from the command line, read by the field's type."""
    if not path.is_file():
        raise ParameterError(f"{path} does not exist: give one of params/*.yaml or your own file.")
    values = _mapping(path.read_text(encoding="utf-8"), path.name)
    unknown = set(overrides) - set(Run.model_fields)
    if unknown:
        raise ParameterError(f"-p {', '.join(sorted(unknown))}: no such parameter; there are {', '.join(Run.model_fields)}.")
    for name, text in overrides.items():
        is_text = Run.model_fields[name].annotation is str
        values[name] = text if is_text else _value(text)
    settings = check(Run, **values)
    settings.files()
    return settings


def existing(name: str, value: str) -> Path:
    """Return the absolute path of a parameter's file or folder; ParameterError when there is none."""
    path = ROOT / value  # an absolute value replaces ROOT
    if not path.exists():
        raise ParameterError(f"{name}: {value} does not exist; relative paths start at {ROOT.name}/, the folder of README.md.")
    return path


def model_files(model: str) -> list[Path]:
    """Return the file of an ONNX model or of an mmcls config, given by path or by a name that mmcls ships."""
    if model.endswith((".onnx", ".py")):
        return [existing("model", model)]
    spec = importlib.util.find_spec("mmcls")
    shipped = Path(spec.origin).parent / ".mim" / "configs" if spec else ROOT / "mmcls is not installed"
    found = sorted(shipped.rglob(f"{model}.py")) if model.isidentifier() or model.replace("-", "_").isidentifier() else []
    if not found:
        raise ParameterError(
            f"model {model!r} is neither a .py or .onnx file nor a config that mmcls ships: try conformer-base-p16_8xb128_in1k "
            "or resnet50_8xb32_in1k."
        )
    return found[:1]


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
            close = difflib.get_close_matches(place[-1], Run.model_fields, 1)
            text = "no such parameter" + (f", did you mean {close[0]}" if close else "")
        if not isinstance(problem["input"], dict) and "Input should" in text:
            text += f", not {problem['input']!r}"
        lines.append(f"{'.'.join(place)}: {text}" if place else text)
    return "; ".join(lines) + "."


def _value(text: str) -> Any:
    return _mapping(f"value: {text}", "the command line")["value"]


def _mapping(text: str, source: str) -> dict[str, Any]:
    """Return a YAML mapping; what YAML 1.1 reads otherwise than people do is a ParameterError."""
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        _refuse_traps(node, source)
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        place = f", line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        raise ParameterError(f"{source}{place} is not valid YAML: {getattr(error, 'problem', error)}.") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{source} must hold lines of the form name: value.")
    return values


def _refuse_traps(node: yaml.Node | None, source: str) -> None:
    """Raise ParameterError for 011 (octal), 1:30 (sexagesimal), on/yes (boolean), 1e-3 (text) and keys given twice."""
    if isinstance(node, yaml.ScalarNode) and not node.style:
        text, kind = node.value, node.tag.rpartition(":")[2]
        digits = text.lstrip("+-")
        trap = {
            "int": (len(digits) > 1 and digits[0] == "0") or ":" in text or "_" in text,
            "float": ":" in text or "_" in text or not any(c.isdigit() for c in text),
            "bool": text.lower() not in ("true", "false"),
            "str": "e" in digits.lower() and digits[0].isdigit() and _is_number(text),
        }.get(kind, kind in ("timestamp", "null") and text != "")
        if trap:
            raise ParameterError(
                f"{source}, line {node.start_mark.line + 1}: YAML does not read {text} as it looks; quote it if it is text, "
                "write a number plainly (11, 0.001) and a switch as true or false."
            )
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_traps(item, source)
    elif isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ParameterError(f"{source}: {', '.join(sorted(twice))} is given twice.")
        for _, value in node.value:
            _refuse_traps(value, source)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
