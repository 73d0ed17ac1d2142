import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.utils.flop_counter import FlopCounterMode

from helpers import ROOT, classifier, export, operations
from helpers.params import Onnx


def test_the_count_is_that_of_pytorch(tmp_path):
    module = classifier.load(str(ROOT / "demo/conformer_fmnist.py"), str(ROOT / "demo/conformer_fmnist.pth"))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(torch.rand(1, 3, 32, 32))
    export.to_onnx(module, tmp_path / "model.onnx", (3, 32, 32), Onnx())
    assert operations.multiply_adds(tmp_path / "model.onnx") == counter.get_total_flops() // 2


def saved(tmp_path, nodes, given, made, *weights):
    """Save a graph from `input` to `probs` with weights of ones, (name, shape) each."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("input", given), ("probs", made))]
    ones = [numpy_helper.from_array(torch.ones(*shape).numpy(), name) for name, shape in weights]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], ones)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.mark.parametrize(("group", "count"), [(1, 4 * 30 * 30 * 3 * 3 * 8), (4, 4 * 30 * 30 * 3 * 3 * 2)])
def test_a_convolution_by_hand(tmp_path, group, count):
    node = helper.make_node("Conv", ["input", "weight"], ["probs"], group=group)
    path = saved(tmp_path, [node], ["batch", 8, 32, 32], ["batch", 4, 30, 30], ("weight", (4, 8 // group, 3, 3)))
    assert operations.multiply_adds(path) == count


def test_a_product_with_a_transposed_side_by_hand(tmp_path):
    nodes = [helper.make_node("Flatten", ["input"], ["rows"]), helper.make_node("Gemm", ["rows", "weight"], ["probs"], transB=1)]
    assert operations.multiply_adds(saved(tmp_path, nodes, ["batch", 3, 2, 2], ["batch", 5], ("weight", (5, 12)))) == 60


def test_where_a_shape_is_not_known_there_is_no_count(tmp_path):
    node = helper.make_node("Conv", ["input", "weight"], ["probs"])
    assert (
        operations.multiply_adds(saved(tmp_path, [node], ["batch", 8, "h", "w"], ["batch", 4, "h", "w"], ("weight", (4, 8, 3, 3)))) is None
    )


def test_a_network_without_products_has_no_count(tmp_path):
    node = helper.make_node("Relu", ["input"], ["probs"])
    assert operations.multiply_adds(saved(tmp_path, [node], ["batch", 3, 2, 2], ["batch", 3, 2, 2])) is None
