"""The layers of an ONNX classifier: the float values that it computes, in order, and the PyTorch modules that they come from.

The legacy exporter writes a module's place into the names of nodes, the dynamo exporter into their metadata, which onnxslim drops;
what is left then are the names of the weights.
"""

import ast
import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE}
WRAPPER = "classifier."  # the attribute that classifier.load keeps the mmcls model in
SCOPES = "pkg.torch.onnx.name_scopes"
KINDS = {2: "bias", 3: "running_mean", 4: "running_var"}  # place among a node's inputs -> what PyTorch calls it


@dataclass(frozen=True)
class Value:
    """One float value of the graph."""

    operator: str
    module: str  # dotted, as in PyTorch; the node's name where none is known
    inputs: tuple[str, ...]  # the float values that it is computed from, as near as there are


def values(model: onnx.ModelProto, known: Collection[str] = ()) -> dict[str, Value]:
    """Return name -> value in topological order, of what depends on the image; `known` are module names that scopes may stand for."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.output]}
    (named, prefix), constants = _weight_names(model), {tensor.name for tensor in graph.initializer}
    modules = {name.rpartition(".")[0] for name in named.values()} | set(known)
    named |= _products(model, named)
    nearest = {value.name: () for value in graph.input if value.name not in constants}
    found = {}
    for node in graph.node:
        sources = [nearest[name] for name in node.input if name in nearest]
        if not sources:
            continue
        before = tuple(dict.fromkeys(name for source in sources for name in source))
        module = _resolved(_scope(node, named).removeprefix(prefix), modules) or (node.name or node.output[0]).lstrip("/")
        for name in filter(None, node.output):
            is_float = types.get(name) in FLOATS
            nearest[name] = (name,) if is_float else before
            found |= {name: Value(node.op_type, module, before)} if is_float else {}
    return found


def weights(model: onnx.ModelProto, computed: Collection[str]) -> list[tuple[str, np.ndarray]]:
    """Return the float constants of the nodes that compute some values, each with its place in PyTorch: module, dot, weight or bias."""
    (named, _), constants = _weight_names(model), {tensor.name: tensor for tensor in model.graph.initializer}
    modules = {name: value.module for name, value in values(model).items()}
    return [
        (named.get(name) or f"{modules[node.output[0]]}.{_kind(node, place)}", numpy_helper.to_array(constants[name]))
        for node in model.graph.node
        if not set(computed).isdisjoint(node.output)
        for place, name in enumerate(node.input)
        if name in constants and constants[name].data_type in FLOATS
    ]


def wrapper(names: Collection[str]) -> str:
    """Return our wrapper's prefix where all dotted names have it, else nothing: a user's VGG has a `classifier` beside its `features`."""
    dotted = [name for name in names if "." in name]
    return WRAPPER if dotted and all(name.startswith(WRAPPER) for name in dotted) else ""


def _weight_names(model: onnx.ModelProto) -> tuple[dict[str, str], str]:
    """Return initializer -> dotted name in PyTorch, of those that have kept it, and the prefix that they had in common."""
    tails = {tensor.name: tensor.name.rpartition("/")[2] for tensor in model.graph.initializer}
    dotted = {name: tail for name, tail in tails.items() if re.fullmatch(r"\w+(\.\w+)+", tail)}
    prefix = wrapper(dotted.values())
    return {name: tail.removeprefix(prefix) for name, tail in dotted.items()}, prefix


def _products(model: onnx.ModelProto, named: dict[str, str]) -> dict[str, str]:
    """Return the product of each Linear that is a MatMul and an Add -> the name of its bias: the transposed weight has lost its own."""
    products = {node.output[0] for node in model.graph.node if node.op_type == "MatMul"}
    added = [set(node.input) for node in model.graph.node if node.op_type == "Add"]
    return {name: named[bias] for names in added for name in names & products for bias in names & named.keys()}


def _kind(node: NodeProto, place: int) -> str:
    """Return what PyTorch calls an input of a node."""
    return "bias" if node.op_type == "Add" else KINDS.get(place, "weight")


def _scope(node: NodeProto, named: dict[str, str]) -> str:
    """Return the module that a node says it comes from, empty where it says none."""
    if node.name.startswith("/"):
        scope: list[str] = []
        for part in node.name.split("/")[1:-1]:  # a member of a Sequential repeats its owner: layers/layers.0
            scope[-1:] = [part] if scope and part.startswith(f"{scope[-1]}.") else [*scope[-1:], part]
        return ".".join(scope)
    own = next((named[name] for name in (*node.input, *node.output) if name in named), "")
    told = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), None)
    return ast.literal_eval(told)[-2] if told and not own else own.rpartition(".")[0]


def _resolved(scope: str, known: Collection[str]) -> str:
    """Return the one known module that a scope is the end of, else the scope: an owner that is not called itself leaves no trace in it."""
    owners = [name for name in known if name.endswith(f".{scope}")] if scope and scope not in known else []
    return owners[0] if len(owners) == 1 else scope
