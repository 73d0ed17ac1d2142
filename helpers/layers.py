"""What the layers of a model give, image by image, from each runtime that tells: all under the names of the ONNX file.

Values are told because they are asked for, and a runtime does not fuse across what it must tell: a fault of a fused kernel alone
does not show here.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from helpers import backends, graph
from helpers.backends import onnxruntime
from helpers.errors import UserError, first_line
from helpers.graph import Value
from helpers.params import Target

Values = dict[str, np.ndarray]
UNMOVED = 5e-3  # relative difference of OpenVINO's answer with its layers asked for: fp32 and int8 2e-4 at most, 0.02 to 0.7 where it fails
UNMOVED_BF16 = 0.1  # which rounds where it can't fuse: 0.03 at most of 300 images of the demo, where two classes are about as probable


@dataclass(frozen=True)
class Probe:
    """A model whose layers can be looked at: `run` takes images [N, ...] and yields name -> value of one image after another."""

    name: str  # runtime and precision, for people
    run: Callable[[np.ndarray], Iterator[Values]]
    values: dict[str, Value]  # of the ONNX file, in its order
    precision: str = "fp32"  # unknown: held to what is asked of reduced precision
    remarks: tuple[str, ...] = ()


def of_onnx(model: onnx.ModelProto, target: Target, name: str = "ONNX Runtime", precision: str = "fp32") -> Probe:
    """Return the probe of an ONNX model in ONNX Runtime with the target's provider; a model of a fixed batch size is run at that size."""
    found = graph.values(model)
    asked = onnx.ModelProto.FromString(model.SerializeToString())
    answers = {value.name for value in model.graph.output}
    asked.graph.output.extend(onnx.ValueInfoProto(name=value) for value in found if value not in answers)
    session = onnxruntime.session(Path(f"{name}.onnx"), target, asked.SerializeToString())
    given = session.get_inputs()[0]
    fixed = given.shape[0] if isinstance(given.shape[0], int) else 1
    names = [value.name for value in asked.graph.output]

    def run(images: np.ndarray) -> Iterator[Values]:
        for image in images:
            told = dict(zip(names, session.run(names, {given.name: np.repeat(image[None], fixed, axis=0)}), strict=True))
            yield {value: array if fixed == 1 else array[:1] for value, array in told.items() if np.ndim(array)}

    return Probe(name, run, found, precision)


def of_openvino(path: Path, values: dict[str, Value], target: Target, precision: str) -> Probe:
    """Return the probe of an ONNX file or OpenVINO graph in OpenVINO; UserError, at the first image, where asking changes its answer."""
    import openvino

    from helpers.backends.openvino import PRECISIONS

    core, device = openvino.Core(), backends.provider(target).upper()
    options = {"INFERENCE_PRECISION_HINT": PRECISIONS[target.precision], "INFERENCE_NUM_THREADS": backends.thread_count(target)}
    options = {"PERFORMANCE_HINT": "LATENCY", **options, **target.provider_options}
    read = core.read_model(path)
    there = {name for node in read.get_ops() for port in node.outputs() for name in port.get_names()} - read.output().get_names()
    wanted = [name for name, value in values.items() if name in there and not (precision == "int8" and _of_attention(value))]
    try:
        plain = core.compile_model(read, device, options)
        read.add_outputs(wanted)
        asked = core.compile_model(read, device, options)
    except RuntimeError as error:
        raise UserError(f"OpenVINO can't tell the layers of {path.name} ({first_line(error)}): compare by another runtime.") from error

    def run(images: np.ndarray) -> Iterator[Values]:
        for number, image in enumerate(images):
            told = asked(image[None])
            if number == 0:
                _check_unmoved(plain(image[None])[0], told[0], UNMOVED_BF16 if precision == "bf16" else UNMOVED)
            yield {name: told[port] for port in asked.outputs for name in port.get_names() & values.keys()}

    return Probe(f"OpenVINO {precision}", run, values, precision)


def of_folder(folder: Path, values: dict[str, Value], like: Values) -> Probe:
    """Return the probe of `.npy` files [B, ...] of the first B images, each called by an ONNX value with what is no letter, digit,
    _ . or - written as _ and none in front; what can't be used is a remark. `like`: the values of one image, for their shapes.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give the one that holds the layers' values as .npy files.")
    called = {file_stem(name): name for name in values}
    several = {stem for stem, count in Counter(map(file_stem, values)).items() if count > 1}
    arrays, remarks = {}, []
    for path in sorted(folder.glob("*.npy")):
        name = called.get(path.stem) if path.stem not in several else None
        if name is None or name not in like:
            remarks.append(f"{path.name} is called by no value of the model, or by several")
            continue
        array, remark = _read(path, like[name].shape)
        remarks += [f"{path.name} {remark}"] if remark else []
        if array is not None:
            arrays[name] = array
    if not arrays:
        raise UserError(f"{folder} has no .npy file that can be compared ({remarks[0] if remarks else 'none at all'}): see the file names.")
    images = min(map(len, arrays.values()))
    if any(len(array) > images for array in arrays.values()):
        remarks.append(f"only the first images, {images}, are in all files and compared")

    def run(given: np.ndarray) -> Iterator[Values]:
        for place in range(min(images, len(given))):
            yield {name: array[place].reshape(like[name].shape) for name, array in arrays.items()}

    return Probe(folder.name, run, values, "unknown", tuple(remarks))


def file_stem(name: str) -> str:
    """Return what a file with the values of an ONNX value is called, without its ending."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip("_")


def _read(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray | None, str]:
    """Return the array of a file whose images have as many elements as `shape` [1, ...], or None; and what is to be said of it."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        return None, f"can't be read ({first_line(error)})"
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim == 0 or not len(array):
        return None, "holds no numbers [images, ...]"
    if array.shape == shape and shape[0] > 1:
        return array[None], ""  # of one image, where the batch is not the first axis
    if array[0].size != np.prod(shape):
        return None, f"has {list(array.shape[1:])} for an image where the model has {list(shape[1:])}"
    if [axis for axis in array.shape[1:] if axis > 1] != [axis for axis in shape[1:] if axis > 1]:
        return array, f"has {list(array.shape[1:])} for an image and was compared as {list(shape[1:])} in the order of its elements"
    return array, ""


def _of_attention(value: Value) -> bool:
    """Return whether a value multiplies two others: asked for them, OpenVINO 2026.4.1 changes the answer of an int8 model."""
    return value.operator == "MatMul" and len(value.inputs) == 2


def _check_unmoved(plain: np.ndarray, asked: np.ndarray, tolerance: float) -> None:
    moved = np.linalg.norm(asked - plain) / np.linalg.norm(plain)
    if moved > tolerance:
        raise UserError(
            f"OpenVINO answers otherwise (by {moved:.2g}) when its layers are asked for: compare by another runtime or precision."
        )
