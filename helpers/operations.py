"""How much a network computes for one image, counted from its ONNX file."""

import math
from pathlib import Path

import onnx
from onnx import shape_inference

COUNTED = ("Conv", "Gemm", "MatMul")  # the rest is small beside them, and no unit of a device is rated by it


def multiply_adds(path: Path) -> int | None:
    """Return the multiply-adds of convolutions and matrix products for one image; None where the shapes can't be inferred."""
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    counts = [_of(node, shapes) for node in graph.node if node.op_type in COUNTED]
    return sum(counts) if counts and all(counts) else None


def _of(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    """Return what one node computes: its output's size times the length of the sums; 0 where a shape is not known."""
    first, second, made = (shapes.get(name, [0]) for name in (node.input[0], node.input[1], node.output[0]))
    if node.op_type == "Conv":
        return math.prod(made) * math.prod(second[1:])
    transposed = node.op_type == "Gemm" and any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(made) * first[0 if transposed else -1]
