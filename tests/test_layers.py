"""What each runtime tells of a small model's layers, and what a folder of .npy files does."""

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from helpers import graph, layers
from helpers.errors import UserError
from helpers.params import Target
from tests.models import linear_digits, write_onnx

IMAGES = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
ONE = Target(threads=1)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The linear model of the digits: its file, and the probe of ONNX Runtime."""
    path = write_onnx(tmp_path_factory.mktemp("digits") / "m.onnx", output="probabilities")
    return path, layers.of_onnx(onnx.load(path), ONE)


@pytest.fixture
def dump(digits, tmp_path):
    """A folder with the values of ONNX Runtime; return it and a function that reads it again."""
    _, probe = digits
    told = list(probe.run(IMAGES))
    for name in told[0]:
        np.save(tmp_path / f"{layers.file_stem(name)}.npy", np.concatenate([values[name] for values in told]))
    return tmp_path, lambda folder=tmp_path: layers.of_folder(folder, probe.values, told[0])


def test_onnx_runtime_tells_every_value_of_one_image_after_another(digits):
    weights, bias = linear_digits()
    told = list(digits[1].run(IMAGES))
    assert [list(values) for values in told] == [["scores", "rows", "logits", "ordered"]] * 3
    rows = IMAGES.reshape(3, 1, 192)
    for values, row in zip(told, rows, strict=True):
        np.testing.assert_array_equal(values["rows"], row)
        np.testing.assert_allclose(values["logits"], row @ weights + bias, rtol=1e-4, atol=1e-4)


def test_the_file_itself_is_not_changed(digits):
    model = onnx.load(digits[0])
    layers.of_onnx(model, ONE)
    assert [value.name for value in model.graph.output] == ["scores"]


def test_a_model_of_a_fixed_batch_size_tells_of_one_image(tmp_path):
    path = write_onnx(tmp_path / "m.onnx", batch=4)
    [told] = layers.of_onnx(onnx.load(path), ONE).run(IMAGES[:1])
    np.testing.assert_array_equal(told["rows"], IMAGES[:1].reshape(1, 192))


def test_openvino_tells_the_same_values_under_the_same_names(digits):
    pytest.importorskip("openvino")
    path, probe = digits
    other = layers.of_openvino(path, probe.values, Target(backend="openvino", threads=1), "fp32")
    for expected, told in zip(probe.run(IMAGES), other.run(IMAGES), strict=True):
        assert told.keys() == expected.keys()
        for name in told:
            np.testing.assert_allclose(told[name], expected[name], rtol=1e-4, atol=1e-5)


def test_openvino_is_not_believed_when_its_answer_changes_with_what_it_is_asked_for():
    layers._check_unmoved(np.float32([[0.5, 0.5]]), np.float32([[0.501, 0.499]]), layers.UNMOVED)
    with pytest.raises(UserError, match="OpenVINO answers otherwise .by 0.014. when its layers are asked for: compare by another runtime"):
        layers._check_unmoved(np.float32([[0.5, 0.5]]), np.float32([[0.51, 0.50]]), layers.UNMOVED)


@pytest.mark.parametrize(
    ("operator", "inputs", "left_out"), [("MatMul", ("a", "b"), True), ("MatMul", ("a",), False), ("Add", ("a", "b"), False)]
)
def test_products_of_two_values_are_not_asked_of_int8(operator, inputs, left_out):
    assert layers._of_attention(graph.Value(operator, "attn", inputs)) is left_out


@pytest.mark.parametrize(
    ("name", "stem"),
    [("/backbone/conv1/Conv_output_0", "backbone_conv1_Conv_output_0"), ("own/x.y-Z:0", "own_x.y-Z_0"), ("__a", "a"), ("é", "")],
)
def test_a_file_is_called_as_its_value_with_other_characters_replaced(name, stem):
    assert layers.file_stem(name) == stem


def test_a_dump_gives_back_what_was_written(digits, dump):
    probe = dump[1]()
    for expected, told in zip(digits[1].run(IMAGES), probe.run(IMAGES), strict=True):
        assert {name: array.tolist() for name, array in told.items()} == {name: array.tolist() for name, array in expected.items()}
    assert probe.remarks == ()


def test_half_precision_and_axes_of_length_one_are_as_good(dump):
    folder, read = dump
    logits = np.load(folder / "logits.npy")
    np.save(folder / "logits.npy", logits.astype(np.float16).reshape(3, 1, 10, 1))
    assert read().remarks == ()
    assert [told["logits"].shape for told in read().run(IMAGES)] == [(1, 10)] * 3


def test_another_shape_of_as_many_elements_is_compared_in_their_order_and_said(dump):
    folder, read = dump
    np.save(folder / "logits.npy", np.load(folder / "logits.npy").reshape(3, 2, 5))
    assert read().remarks == ("logits.npy has [2, 5] for an image and was compared as [10] in the order of its elements",)


def test_a_dump_of_one_image_may_have_other_axes_first(tmp_path):
    value = np.arange(12.0).reshape(3, 1, 4)
    np.save(tmp_path / "qkv.npy", value)
    probe = layers.of_folder(tmp_path, {"qkv": graph.Value("Transpose", "attn", ())}, {"qkv": value})
    assert [told["qkv"].tolist() for told in probe.run(IMAGES)] == [value.tolist()]


def _pickled(path):
    np.save(path, np.array([{}, None]), allow_pickle=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: np.save(path, np.zeros((3, 16))), r"logits.npy has \[16\] for an image where the model has \[10\]"),
        (_pickled, "logits.npy can't be read .*Python objects in dtype"),
        (lambda path: path.write_bytes(b"<html>404</html>"), "logits.npy can't be read"),
        (lambda path: path.write_bytes(b""), "logits.npy can't be read"),
        (lambda path: np.save(path, np.float32(1)), r"logits.npy holds no numbers \[images, ...\]"),
        (lambda path: np.save(path, np.zeros((0, 10))), "logits.npy holds no numbers"),
        (lambda path: np.save(path, np.array([["a"] * 10] * 3)), "logits.npy holds no numbers"),
    ],
    ids=["size", "pickle", "no array", "empty", "scalar", "no images", "text"],
)
def test_a_file_that_can_not_be_used_is_a_remark_and_the_others_are_compared(dump, spoil, said):
    folder, read = dump
    spoil(folder / "logits.npy")
    [remark] = read().remarks
    assert re.match(said, remark)
    assert all(told.keys() == {"scores", "rows", "ordered"} for told in read().run(IMAGES))


def test_a_file_of_no_value_is_listed(dump):
    folder, read = dump
    np.save(folder / "conv9.npy", np.zeros((3, 4)))
    assert read().remarks == ("conv9.npy is called by no value of the model, or by several",)


def test_only_images_that_are_in_all_files_are_compared(dump):
    folder, read = dump
    np.save(folder / "logits.npy", np.load(folder / "logits.npy")[:2])
    assert read().remarks == ("only the first images, 2, are in all files and compared",)
    assert len(list(read().run(IMAGES))) == 2


def test_values_that_share_a_file_name_are_not_guessed(tmp_path):
    nodes = [
        helper.make_node("Relu", ["input"], ["a/b"]),
        helper.make_node("Relu", ["a/b"], ["a:b"]),
        helper.make_node("Abs", ["a:b"], ["probs"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("input", "probs")]
    values = graph.values(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])))
    for name in ("a_b", "probs"):
        np.save(tmp_path / f"{name}.npy", np.zeros((1, 2)))
    probe = layers.of_folder(tmp_path, values, dict.fromkeys(values, np.zeros((1, 2))))
    assert probe.remarks == ("a_b.npy is called by no value of the model, or by several",)


def test_a_folder_that_is_missing_or_holds_nothing_is_one_sentence(dump, tmp_path):
    with pytest.raises(UserError, match="nowhere is no folder: give the one that holds the layers' values as .npy files"):
        dump[1](tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no .npy file that can be compared \(none at all\)"):
        dump[1](tmp_path / "empty")


def test_a_dump_of_another_model_is_one_sentence(digits, tmp_path):
    np.save(tmp_path / "other.npy", np.zeros((3, 2)))
    with pytest.raises(UserError, match=r"can be compared \(other.npy is called by no value of the model, or by several\)"):
        layers.of_folder(tmp_path, digits[1].values, {})
