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
    weights = _weight_names(model)
    names = {name.rpartition(".")[0] for name in weights.values()} | set(known)
    constants = {tensor.name for tensor in graph.initializer}
    nearest = {value.name: () for value in graph.input if value.name not in constants}
    found = {}
    for node in graph.node:
        sources = [nearest[name] for name in node.input if name in nearest]
        if not sources:
            continue
        before = tuple(dict.fromkeys(name for source in sources for name in source))
        module = _resolved(_scope(node, weights), names) or node.name or node.output[0]
        for name in filter(None, node.output):
            is_float = types.get(name) in FLOATS
            nearest[name] = (name,) if is_float else before
            found |= {name: Value(node.op_type, module, before)} if is_float else {}
    return found


def weights(model: onnx.ModelProto, computed: Collection[str]) -> list[tuple[str, np.ndarray]]:
    """Return the float constants of the nodes that compute some values, each with its place in PyTorch: module, dot, weight or bias."""
    named, constants = _weight_names(model), {tensor.name: tensor for tensor in model.graph.initializer}
    modules = {name: value.module for name, value in values(model).items()}
    return [
        (named.get(name) or f"{modules[node.output[0]]}.{_kind(node, place)}", numpy_helper.to_array(constants[name]))
        for node in model.graph.node
        if not set(computed).isdisjoint(node.output)
        for place, name in enumerate(node.input)
        if name in constants and constants[name].data_type in FLOATS
    ]


def without_wrapper(names: Collection[str]) -> dict[str, str]:
    """Return each dotted name -> the same without our wrapper's attribute, where all of them have it."""
    wrapped = all(name.startswith(WRAPPER) for name in names)
    return {name: name.removeprefix(WRAPPER) if wrapped else name for name in names}


def _weight_names(model: onnx.ModelProto) -> dict[str, str]:
    """Return initializer -> dotted name in PyTorch, of those that have kept it."""
    kept = {tensor.name: tensor.name.rpartition("/")[2] for tensor in model.graph.initializer}
    dotted = {name: short for name, short in kept.items() if re.fullmatch(r"\w+(\.\w+)+", short)}
    short = without_wrapper(set(dotted.values()))
    return {name: short[full] for name, full in dotted.items()}


def _kind(node: NodeProto, place: int) -> str:
    """Return what PyTorch calls an input of a node."""
    return "bias" if node.op_type == "Add" else {2: "bias", 3: "running_mean", 4: "running_var"}.get(place, "weight")


def _scope(node: NodeProto, weights: dict[str, str]) -> str:
    """Return the module that a node says it comes from, empty where it says none."""
    if node.name.startswith("/"):
        scope: list[str] = []
        for part in node.name.split("/")[1:-1]:  # a member of a Sequential repeats its owner: layers/layers.0
            scope[-1:] = [part] if scope and part.startswith(f"{scope[-1]}.") else [*scope[-1:], part]
        return ".".join(scope)
    own = next((weights[name] for name in node.input if name in weights), "")
    told = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), None)
    if own or not told:
        return own.rpartition(".")[0]
    return ast.literal_eval(told)[-2].removeprefix(WRAPPER)


def _resolved(scope: str, known: Collection[str]) -> str:
    """Return the one known module that a scope is the end of: an owner that is not called itself leaves no trace in it."""
    owners = [name for name in known if name.endswith(f".{scope}")] if scope and scope not in known else []
    return owners[0] if len(owners) == 1 else scope
