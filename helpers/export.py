"""A PyTorch module, or an ONNX file brought by the user -> ONNX with `input`, `probs` and a dynamic batch axis."""

import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx.compose

from helpers import files
from helpers.errors import UserError, first_line
from helpers.params import Onnx
from helpers.records import Stage, TensorSpec

BATCH = "batch"
LAYERS = ("Conv", "Gemm", "MatMul")
NORM_TOLERANCE = 1e-3  # of the same layer in two graphs of the same network


def to_onnx(module, path: Path, image_shape: tuple[int, int, int], settings: Onnx) -> Stage:
    """Export a module with the names `input` and `probs`, batch axis dynamic, and return the stage."""
    import torch

    started = time.perf_counter()
    example = torch.rand(2, *image_shape)  # 2: an exporter may take an axis of length 1 for a constant
    dynamic = {"dynamic_axes": {"input": {0: BATCH}, "probs": {0: BATCH}}}
    if settings.exporter == "dynamo":
        dynamic = {"dynamic_shapes": {"input": {0: BATCH}}, "external_data": False, "verbose": False}
    with files.whole(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracer warnings on shapes: the checks that follow are the judge
            torch.onnx.export(
                module,
                (example,),
                str(temporary),
                input_names=["input"],
                output_names=["probs"],
                opset_version=settings.opset,
                dynamo=settings.exporter == "dynamo",
                **dynamic,
            )
        simplified = _simplify(temporary, example.numpy()) if settings.simplify else ""
    command = f"torch.onnx.export, {settings.exporter} exporter{simplified}"
    return describe(path, "onnx", command, time.perf_counter() - started)


def adopt(source: Path, path: Path, image: np.ndarray, output: str) -> tuple[Stage, Stage, str]:
    """Rewrite a user's ONNX classifier to our names, dynamic batch and probabilities; return its stage, ours, its output.

    `image` is one prepared image [1, ...]; it decides between logits and probabilities when `output` is auto.
    """
    started = time.perf_counter()
    model = read(source)
    given, produced = _only_input(model, source), model.graph.output
    if len(produced) != 1:
        raise UserError(f"{source.name} has {len(produced)} outputs: a classifier has one, [batch, classes]; export that one only.")
    theirs = describe(source, source.stem, "given", 0.0, file=source.name)
    scores = original(source)(image)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise UserError(f"{source.name} gives {list(scores.shape)} for one image: not the [1, classes] of a classifier.")
    if output == "auto":
        output = "probabilities" if scores.min() >= -1e-6 and abs(scores.sum() - 1) < 1e-3 else "logits"

    model = onnx.compose.add_prefix(model, "own/", rename_nodes=False)  # no name can clash with ours
    inner_in, inner_out = _only_input(model, source), model.graph.output[0]
    ours_in, ours_out = onnx.ValueInfoProto(), onnx.ValueInfoProto()
    ours_in.CopyFrom(inner_in)
    ours_out.CopyFrom(inner_out)
    ours_in.name, ours_out.name = "input", "probs"
    ours_in.type.tensor_type.shape.dim[0].dim_param = BATCH
    ours_out.type.tensor_type.ClearField("shape")
    for dim in (BATCH, scores.shape[1]):
        ours_out.type.tensor_type.shape.dim.add(**{"dim_param" if dim == BATCH else "dim_value": dim})
    first = onnx.helper.make_node("Identity", ["input"], [inner_in.name])
    last = ("Softmax", {"axis": 1}) if output == "logits" else ("Identity", {})
    nodes = [first, *model.graph.node, onnx.helper.make_node(last[0], [inner_out.name], ["probs"], **last[1])]
    initializers = {tensor.name for tensor in model.graph.initializer}
    others = [value for value in model.graph.input if value.name in initializers]
    for field, values in (("node", nodes), ("input", [ours_in, *others]), ("output", [ours_out]), ("value_info", [])):
        values = [type(value).FromString(value.SerializeToString()) for value in values]
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(values)
    with files.whole(path) as temporary:
        onnx.save(model, temporary)
    command = f"input {given.name} and output {produced[0].name} ({output}) renamed, batch axis made dynamic"
    return theirs, describe(path, "onnx", command, time.perf_counter() - started), output


def original(source: Path):
    """Return a function: one image [1, ...] -> scores of a user's ONNX file run as it is, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(source, options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise UserError(f"ONNX Runtime can't load {source.name}: {_first_line(error)}.") from error
    given = session.get_inputs()[0]
    fixed = given.shape[0] if isinstance(given.shape[0], int) else 1

    def run(image: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(session.run(None, {given.name: np.repeat(image, fixed, axis=0)})[0])[:1]
        except Exception as error:
            raise UserError(
                f"{source.name} wants {given.name} {given.type} {given.shape} and can't run on {image.dtype} {list(image.shape)}: "
                f"correct the parameter preprocess ({_first_line(error)})."
            ) from error

    return run


def read(path: Path) -> onnx.ModelProto:
    """Return a checked ONNX model; UserError when the file is not one."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx raise unrelated classes
        raise UserError(f"{path.name} is not a valid ONNX model: {_first_line(error)}.") from error
    return model


def describe(path: Path, name: str, command: str, seconds: float, file: str | None = None) -> Stage:
    """Return the stage of an ONNX file; `file` is how the record names it, by default its place in the artefacts."""
    model = onnx.load(path, load_external_data=False)
    return Stage(
        name=name,
        format="onnx",
        file=file or f"artefacts/{path.name}",
        sha256=files.sha256(path),
        bytes=path.stat().st_size,
        command=command,
        seconds=round(seconds, 3),
        input=_spec(_only_input(model, path)),
        output=_spec(model.graph.output[0]),
        precision=_precision(model),
        opset=next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
    )


def _precision(model: onnx.ModelProto) -> str:
    """Return int8 for a quantised graph, fp16 where any weight is, else fp32."""
    if any("Quantize" in node.op_type or node.op_type.endswith("Integer") for node in model.graph.node):
        return "int8"
    return "fp16" if any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer) else "fp32"


def _simplify(path: Path, example: np.ndarray) -> str:
    """Simplify a model where that leaves every layer as it is, and return what is to be said of it.

    onnxslim 0.1.98 gets the asymmetric padding of EfficientNet's second stage wrong, which random weights hide from the answers.
    """
    import onnxslim

    plain = onnx.load(path)
    before = _norms(plain, example)
    simplified = onnxslim.slim(onnx.load(path))
    after = _norms(simplified, example)
    changed = [name for name in before.keys() & after.keys() if not np.isclose(before[name], after[name], rtol=NORM_TOLERANCE)]
    if changed:
        return f", without onnxslim, which would change {len(changed)} layers"
    onnx.save(simplified, path)
    return ", onnxslim"


def _norms(model: onnx.ModelProto, example: np.ndarray) -> dict[str, float]:
    """Return the length of what each convolution and matrix product gives for an example: the values themselves would take gigabytes."""
    import onnxruntime

    measured, options = onnx.ModelProto.FromString(model.SerializeToString()), onnxruntime.SessionOptions()
    options.log_severity_level = 4
    values = [node.output[0] for node in model.graph.node if node.op_type in LAYERS]
    for number, value in enumerate(values):
        measured.graph.node.append(onnx.helper.make_node("ReduceL2", [value], [f"norm/{number}"], keepdims=0))
        measured.graph.output.append(onnx.helper.make_tensor_value_info(f"norm/{number}", onnx.TensorProto.FLOAT, []))
    session = onnxruntime.InferenceSession(measured.SerializeToString(), options, ["CPUExecutionProvider"])
    found = session.run([f"norm/{number}" for number in range(len(values))], {session.get_inputs()[0].name: example})
    return dict(zip(values, map(float, found), strict=True))


def _only_input(model: onnx.ModelProto, path: Path) -> onnx.ValueInfoProto:
    """Return the one input that is no initializer (old exporters list both)."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initializers]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        shapes = ", ".join(f"{value.name} of rank {len(value.type.tensor_type.shape.dim)}" for value in inputs) or "none"
        raise UserError(f"{path.name} is not an image classifier: it needs one input [batch, ...] of rank 4 and has {shapes}.")
    return inputs[0]


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = [dim.dim_param or dim.dim_value or "?" for dim in tensor.shape.dim]
    return TensorSpec(name=value.name, shape=shape, dtype=onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name)


def _first_line(error: Exception) -> str:
    return first_line(error).rstrip(".")
