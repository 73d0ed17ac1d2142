"""Small convolutional classifiers of a chosen cost, for measuring what stands around a model."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from helpers import files
from helpers.records import Model, Stage, TensorSpec

CLASSES = 1000


def write(path: Path, channels: int, blocks: int = 4) -> Model:
    """Write an ONNX file with random weights, images [N, 3, 224, 224] to probabilities [N, 1000], and return a record that names it."""
    random = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name)

    constants = [
        weights("stem", channels, 3, 7, 7),
        *(weights(f"block{number}", channels, channels, 3, 3) for number in range(blocks)),
        weights("head", CLASSES, channels),
    ]
    nodes = [
        helper.make_node("Conv", ["input", "stem"], ["stem_out"], strides=[4, 4], pads=[3] * 4),
        helper.make_node("Relu", ["stem_out"], ["x0"]),
    ]
    for number in range(blocks):
        nodes.append(helper.make_node("Conv", [f"x{number}", f"block{number}"], [f"c{number}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"x{number + 1}"]))
    nodes += [
        helper.make_node("GlobalAveragePool", [f"x{blocks}"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probs"]),
    ]
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 224, 224])
    answer = helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["batch", CLASSES])
    onnx.save(
        helper.make_model(
            helper.make_graph(nodes, "small", [given], [answer], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
        ),
        path,
    )
    stage = Stage(
        name="onnx",
        format="onnx",
        file=path.name,
        sha256=files.sha256(path),
        bytes=path.stat().st_size,
        command="",
        seconds=None,
        input=TensorSpec(name="input", shape=["batch", 3, 224, 224], dtype="float32"),
        output=TensorSpec(name="probs", shape=["batch", CLASSES], dtype="float32"),
    )
    return Model.model_construct(stages=[stage], checks=[], random_weights=True)
