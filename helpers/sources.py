"""The files that parameters name, and the files that those refer to in turn."""

import ast
import importlib.util
import re
from pathlib import Path

from helpers import ROOT, addresses
from helpers.errors import ParameterError
from helpers.remote import Source


def existing(name: str, value: str) -> Path:
    """Return the absolute path of a parameter's file or folder; ParameterError when there is none."""
    path = ROOT / value  # an absolute value replaces ROOT
    try:
        found = bool(value) and path.exists()
    except OSError:  # a name too long for the system
        found = False
    if not found:
        raise ParameterError(f"{name}: {value} does not exist; relative paths start at {ROOT.name}/, the folder of README.md.")
    return path


def images(value: str) -> Source:
    """Return where images are: a path as of any file, or an address in a store; ParameterError when there is nothing."""
    return addresses.existing(value) if addresses.is_one(value) else existing("images", addresses.local(value))


def run_folder(value: str) -> Path | None:
    """Return the folder of a run that has an accuracy, by its name below reports/ or its path; None where there is none."""
    folders = (ROOT / "reports" / value, ROOT / value)
    return next((folder for folder in folders if (folder / "accuracy.json").is_file()), None)


def model_file(model: str) -> Path:
    """Return the file of an ONNX model or of an mmcls config, given by path or by a name that mmcls ships."""
    if model.endswith((".onnx", ".py")):
        return existing("model", model)
    spec = importlib.util.find_spec("mmcls")
    shipped = (Path(spec.origin).parent / ".mim" / "configs").rglob("*.py") if spec else []
    found = [path for path in shipped if path.stem == model]
    if not found:
        raise ParameterError(
            f"model {model!r} is neither a .py or .onnx file nor a config that mmcls ships: try conformer-base-p16_8xb128_in1k "
            "or resnet50_8xb32_in1k."
        )
    return found[0]


def short_name(model: str) -> str:
    """Return a model's name for files, conformer_base of conformer-base-p16_8xb128_in1k, as the reference guide has it.

    mmcls names a config model-patch_schedule_dataset; any other file is called by its own name. Newer ais_bench refuses
    paths with other characters.
    """
    stem = model_file(model).stem
    shipped = re.fullmatch(r"(.+?)(-p\d+)?_[^_]*\d+xb\d+.*", stem)
    return re.sub(r"\W+", "_", shipped[1] if shipped else stem, flags=re.ASCII).removesuffix("_dynamicbs")


def model_files(model: str) -> list[Path]:
    """Return every file that a model consists of: a config with its bases, an ONNX file with its external data."""
    path = model_file(model)
    return [path, *(_external_data(path) if path.suffix == ".onnx" else _bases(path))]


def _bases(config: Path) -> list[Path]:
    """Return the configs that an mmcv config inherits from, and theirs."""
    try:
        tree = ast.parse(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return []  # reading the config says what is wrong with it
    found = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(name, ast.Name) and name.id == "_base_" for name in node.targets):
            try:
                named = ast.literal_eval(node.value)
            except ValueError:  # computed: only mmcv can tell, and does
                continue
            bases = [config.parent / base for base in ([named] if isinstance(named, str) else named)]
            found += [path for base in bases if base.is_file() for path in [base, *_bases(base)]]
    return found


def _external_data(model: Path) -> list[Path]:
    """Return the files in which an ONNX model keeps its weights, if not in itself."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(model, load_external_data=False).graph
    except DecodeError:
        return []  # reading the model says what is wrong with it
    external = [tensor for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    names = {entry.value for tensor in external for entry in tensor.external_data if entry.key == "location"}
    return [existing("model", str(model.parent / name)) for name in sorted(names)]
