import re

import numpy as np
import onnx
import onnxruntime
import onnxslim
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from helpers import classifier, export, model_config, params, sources
from helpers.errors import UserError
from helpers.params import Onnx
from tests.models import write_onnx

IMAGE = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)


def probabilities(path, batch):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["probs"], {"input": batch})[0]


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
@pytest.mark.parametrize("simplify", [False, True])
def test_the_demo_exports_with_our_names_and_a_dynamic_batch(tmp_path, exporter, simplify):
    module = classifier.load("demo/conformer_fmnist.py", "demo/conformer_fmnist.pth")
    opset = 17 if exporter == "legacy" else 20
    stage = export.to_onnx(module, tmp_path / "m.onnx", (3, 32, 32), Onnx(exporter=exporter, opset=opset, simplify=simplify))
    assert (stage.input.name, stage.input.shape, stage.output.name, stage.output.shape[1]) == ("input", ["batch", 3, 32, 32], "probs", 10)
    assert stage.opset == opset
    assert not module.training
    assert not any(part.training for part in module.modules())
    batch = np.random.default_rng(1).standard_normal((5, 3, 32, 32), np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(probabilities(tmp_path / "m.onnx", batch), expected, atol=1e-5)


def test_a_simplification_that_changes_a_layer_is_left_out(tmp_path, monkeypatch):
    """As of EfficientNet's padding; here one convolution's weight grows by a hundredth."""

    def slim(model):
        broken = next(node for node in model.graph.node if node.op_type == "Conv")
        weight = next(tensor for tensor in model.graph.initializer if tensor.name == broken.input[1])
        weight.CopyFrom(numpy_helper.from_array(1.01 * numpy_helper.to_array(weight), weight.name))
        return model

    monkeypatch.setattr(onnxslim, "slim", slim)
    module = classifier.load("demo/conformer_fmnist.py", "demo/conformer_fmnist.pth")
    stage = export.to_onnx(module, tmp_path / "m.onnx", (3, 32, 32), Onnx())
    assert re.search(r", without onnxslim, which would change \d+ layers$", stage.command)
    batch = np.random.default_rng(1).standard_normal((5, 3, 32, 32), np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(probabilities(tmp_path / "m.onnx", batch), expected, atol=1e-5)


@pytest.mark.parametrize("output", ["logits", "probabilities"])
@pytest.mark.parametrize("batch", ["n", 1, 4])
@pytest.mark.parametrize("said", ["auto", "as it is"])
def test_a_users_onnx_gets_our_names_dynamic_batch_and_probabilities(tmp_path, output, batch, said):
    source = write_onnx(tmp_path / "theirs.onnx", batch, output)
    theirs, ours, decided = export.adopt(source, tmp_path / "ours.onnx", IMAGE, said if said == "auto" else output)
    assert decided == output
    assert theirs.file == "theirs.onnx"
    assert (theirs.input.name, theirs.output.name, theirs.input.shape[0]) == ("pixels", "scores", batch)
    assert (ours.input.name, ours.input.shape, ours.output.shape) == ("input", ["batch", 3, 8, 8], ["batch", 10])
    given = probabilities(tmp_path / "ours.onnx", np.repeat(IMAGE, 3, axis=0))
    np.testing.assert_allclose(given.sum(axis=1), 1, rtol=1e-5)
    scores = export.original(source)(IMAGE)
    expected = scores if output == "probabilities" else np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(given, np.repeat(expected, 3, axis=0), rtol=1e-5)


def model_of(inputs, outputs, nodes):
    def values(named):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in named]

    return helper.make_model(
        helper.make_graph([helper.make_node(*node) for node in nodes], "g", values(inputs), values(outputs)),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (model_of([("a", [1, 5])], [("b", [1, 5])], [("Relu", ["a"], ["b"])]), "not an image classifier.*a of rank 2"),
        (model_of([("a", [1, 3, 8, 8])], [("b", [1, 3, 8, 8])], [("Relu", ["a"], ["b"])]), r"gives \[1, 3, 8, 8\] for one image"),
        (
            model_of(
                [("a", [1, 3, 8, 8])] * 1, [("b", [1, 3, 8, 8]), ("c", [1, 3, 8, 8])], [("Relu", ["a"], ["b"]), ("Abs", ["a"], ["c"])]
            ),
            "has 2 outputs",
        ),
        (model_of([("a", [1, 3, 9, 9])], [("b", [1, 243])], [("Flatten", ["a"], ["b"])]), "correct the parameter preprocess"),
    ],
    ids=["rank", "segmentation", "outputs", "size"],
)
def test_an_onnx_that_is_no_classifier_is_one_sentence(tmp_path, model, said):
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(UserError, match=f"(?s)^[^\n]*{said}"):
        export.adopt(tmp_path / "x.onnx", tmp_path / "ours.onnx", IMAGE, "auto")
    assert not (tmp_path / "ours.onnx").exists()


def test_a_file_that_is_no_onnx_is_one_sentence(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"something else")
    with pytest.raises(UserError, match="x.onnx is not a valid ONNX model"):
        export.adopt(tmp_path / "x.onnx", tmp_path / "ours.onnx", IMAGE, "auto")


def test_a_checkpoint_of_another_architecture_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="is of another architecture: .*give the config it was trained with"):
        classifier.load("resnet18_8xb32_in1k", "demo/conformer_fmnist.pth")


def test_a_truncated_checkpoint_is_one_sentence(tmp_path):
    whole = sources.existing("checkpoint", "demo/conformer_fmnist.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut.pth is truncated or not a PyTorch checkpoint"):
        classifier.load("demo/conformer_fmnist.py", str(tmp_path / "cut.pth"))


def test_a_checkpoint_with_code_in_it_is_not_loaded(tmp_path):
    torch.save({"state_dict": {}, "meta": np.random.default_rng}, tmp_path / "pickle.pth")
    with pytest.raises(UserError, match="holds more than tensors and is not loaded"):
        classifier.load("demo/conformer_fmnist.py", str(tmp_path / "pickle.pth"))


@pytest.mark.parametrize("content", [b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1", bytes(500), b"\x80\x02}q\x00X"])
def test_a_file_that_is_no_checkpoint_is_one_sentence(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(UserError, match="x.pth is truncated or not a PyTorch checkpoint: fetch it again"):
        classifier.load("demo/conformer_fmnist.py", str(tmp_path / "x.pth"))


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], {"state_dict": {}}, {"state_dict": [1]}, {"state_dict": {1: torch.zeros(1)}}])
def test_a_checkpoint_without_weights_is_one_sentence(tmp_path, content):
    torch.save(content, tmp_path / "empty.pth")
    with pytest.raises(UserError, match="has no state_dict of tensors"):
        classifier.load("demo/conformer_fmnist.py", str(tmp_path / "empty.pth"))


def test_random_weights_are_the_same_for_the_same_seed():
    first, again, other = (classifier.load("demo/conformer_fmnist.py", f"random:{seed}").state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_every_config_that_mmcls_ships_is_read_or_refused_in_a_sentence():
    shipped = sorted({path.stem for path in sources.model_file("resnet18_8xb32_in1k").parents[1].glob("*/*.py")})
    read, refused = [], {}
    for name in shipped:
        try:
            count, _ = model_config.classes(name)
            model_config.preparation(params.PrepareData(model=name))
            read.append(name)
            assert count >= 2
        except UserError as error:
            refused[name] = str(error)
    assert {"conformer-base-p16_8xb128_in1k", "vgg16_8xb32_in1k", "regnetx-1.6gf_8xb128_in1k"} <= set(read)
    assert len(read) > 200
    known = ("describe", "multi-label head", "is not the config of an mmcls classifier")
    assert all(any(part in said for part in known) for said in refused.values()), refused


def test_a_file_that_is_no_mmcls_config_is_one_sentence(tmp_path):
    (tmp_path / "x.py").write_text("model = 5\n")
    with pytest.raises(UserError, match="x.py is not the config of an mmcls classifier"):
        model_config.read(str(tmp_path / "x.py"))
