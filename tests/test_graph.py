"""The layers that an ONNX file says it has, and what PyTorch calls them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers import graph
from tests.models import write_onnx


def model_of(nodes, weights, opset=17):
    """A model from float `input` [1, 4] to float `probs`; `nodes` are (operator, inputs, outputs, name)."""
    given, answer = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("input", "probs"))
    made = [helper.make_node(operator, inputs, outputs, name) for operator, inputs, outputs, name in nodes]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    given.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, [1, 4]))
    return helper.make_model(helper.make_graph(made, "g", [given], [answer], tensors), opset_imports=[helper.make_opsetid("", opset)])


def linear(name, weight, bias=None, told=None):
    """A Linear as a MatMul and, with a bias, an Add; `told`: what the dynamo exporter writes into its metadata."""
    shapes = {weight: np.ones((4, 4), np.float32)} | ({bias: np.ones(4, np.float32)} if bias else {})
    made = model_of(
        [("MatMul", ["input", weight], ["product" if bias else "probs"], f"{name}MatMul")]
        + ([("Add", [bias, "product"], ["probs"], f"{name}Add")] if bias else []),
        shapes,
    )
    for node in made.graph.node if told else []:
        node.metadata_props.add(key=graph.SCOPES, value=str(told))
    return made


def test_values_are_the_floats_in_order_with_the_nearest_floats_that_they_come_from(tmp_path):
    found = graph.values(onnx.load(write_onnx(tmp_path / "m.onnx")))
    assert {name: (value.operator, value.inputs) for name, value in found.items()} == {
        "rows": ("Reshape", ()),
        "logits": ("Gemm", ("rows",)),
        "ordered": ("Gather", ("logits",)),  # its order is computed from the shape of the logits
        "scores": ("Identity", ("ordered",)),
    }


def test_what_does_not_depend_on_the_image_is_no_layer():
    model = model_of(
        [("Relu", ["weight"], ["constant"], "a"), ("Add", ["input", "constant"], ["probs"], "b")], {"weight": np.float32([1.0])}
    )
    assert list(graph.values(model)) == ["probs"]


@pytest.mark.parametrize(
    ("model", "module"),
    [
        (linear("/backbone/attn/qkv/", "onnx::MatMul_1"), "backbone.attn.qkv"),
        (linear("/backbone/layers/layers.0/layers.0.1/", "onnx::MatMul_1"), "backbone.layers.0.1"),
        (linear("/fc/", "onnx::MatMul_1", "classifier.head.fc.bias"), "head.fc"),
        (linear("node_", "val_1", "classifier.head.fc.bias"), "head.fc"),
        (linear("node_", "own/head.fc.weight"), "head.fc"),
        (linear("node_", "val_1", told=["", "classifier.head", "linear"]), "classifier.head"),
        (linear("model/dense/", "dense_kernel:0"), "model/dense/MatMul"),
        (linear("/", "onnx::MatMul_1"), "MatMul"),
    ],
    ids=["scope", "Sequential", "owner not called", "weights alone", "a user's", "metadata", "of another tool", "of the model itself"],
)
def test_a_layer_is_called_as_the_module_is_in_pytorch(model, module):
    assert list(graph.values(model).values())[-1].module == module


def test_the_metadata_of_our_own_export_is_without_our_wrapper():
    model = linear("node_", "val_1", "classifier.head.fc.bias", ["", "classifier.head.act", "relu"])
    model.graph.node[0].op_type = "Relu"
    del model.graph.node[0].input[1]
    assert [value.module for value in graph.values(model).values()] == ["head.act", "head.fc"]


def test_a_classifier_of_the_users_own_keeps_its_name():
    model = linear("node_", "features.0.weight", "classifier.1.bias")
    assert [value.module for value in graph.values(model).values()] == ["features.0", "classifier.1"]


def test_the_product_of_a_linear_is_called_as_its_bias_where_its_weight_has_lost_its_name():
    model = linear("node_", "val_1", "features.0.bias")
    assert [value.module for value in graph.values(model).values()] == ["features.0", "features.0"]
    assert [place for place, _ in graph.weights(model, ["product", "probs"])] == ["features.0.weight", "features.0.bias"]


def test_a_known_module_is_what_a_scope_is_the_end_of_unless_there_are_two():
    model = linear("/fc/", "onnx::MatMul_1")
    assert graph.values(model, ["head.fc"])["probs"].module == "head.fc"
    assert graph.values(model, ["head.fc", "neck.fc"])["probs"].module == "fc"


def test_weights_have_their_places_in_pytorch_where_their_own_names_are_lost():
    model = linear("/fc/", "onnx::MatMul_1", "onnx::Add_2")
    assert [(place, array.shape) for place, array in graph.weights(model, ["product", "probs"])] == [
        ("fc.weight", (4, 4)),
        ("fc.bias", (4,)),
    ]
    assert [place for place, _ in graph.weights(model, ["probs"])] == ["fc.bias"]
