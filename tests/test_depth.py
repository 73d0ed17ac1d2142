"""Where two stages part: the arithmetic on literal values, and the demo with one weight broken."""

import io
import math
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from helpers import ROOT, archives, classifier, depth, export, files, layers, quantise
from helpers.depth import Layer
from helpers.errors import ParameterError, UserError
from helpers.graph import Value
from helpers.layers import Probe
from helpers.params import Onnx, Target
from tests.models import write_onnx

DEMO = {"model": "demo/conformer_fmnist.py", "checkpoint": "demo/conformer_fmnist.pth"}
ONE = Target(threads=1)
GRAPH = {
    "a": Value("Conv", "stem", ()),
    "b": Value("Relu", "act", ("a",)),
    "c": Value("Gemm", "head", ("b",)),
    "d": Value("Add", "sum", ("a", "c")),
}


def probe(*images, precision="fp32", remarks=()):
    """A stage that gives these values for one image after another."""

    def run(given):
        yield from ({name: np.float32(array) for name, array in told.items()} for told in images)

    return Probe(f"a<b {precision}", run, GRAPH, precision, remarks)


def compared(wanted, got):
    """The layers of two stages, each given by its values for one image."""
    return depth.compare(probe(wanted), probe(got), np.zeros((1, 1)))


def test_cosine_and_relative_error_are_over_all_images():
    """3-4-5: the difference is (0, 4) then (3, 0), of (3, 0) then (0, 4); norms 5 and 5, products 9 + 0 over 5 times sqrt(25 + 25)."""
    [layer] = depth.compare(probe({"a": [3, 0]}, {"a": [0, 4]}), probe({"a": [3, 4]}, {"a": [3, 4]}), np.zeros((2, 1)))
    assert (layer.name, layer.module, layer.operator) == ("a", "stem", "Conv")
    assert layer.relative_error == pytest.approx(1.0)
    assert layer.cosine == pytest.approx((9 + 16) / (5 * math.sqrt(50)))


def test_layers_come_in_the_order_of_the_graph_and_only_where_both_give_the_same_shape():
    found = compared({"d": [1, 1], "b": [1, 1], "a": [1, 1], "c": [1, 1]}, {"a": [1, 1], "d": [1, 1], "c": [[1, 1]], "x": [1, 1]})
    assert [layer.name for layer in found] == ["a", "d"]


def test_what_a_layer_adds_is_what_it_differs_by_more_than_its_inputs():
    found = compared({"a": [10], "c": [10], "d": [10]}, {"a": [11], "c": [13], "d": [12]})
    assert [round(layer.relative_error, 6) for layer in found] == [0.1, 0.3, 0.2]
    assert [round(layer.added, 6) for layer in found] == [0.1, 0.2, -0.1]
    assert [layer.values for layer in found] == [("a",), ("b", "c"), ("d",)]


@pytest.mark.parametrize(
    ("wanted", "got", "cosine", "error"),
    [
        ([1, 2], [1, math.nan], 0, math.inf),
        ([1, math.nan], [1, math.nan], 0, math.inf),
        ([1, 2], [1, math.inf], 0, math.inf),
        ([1, -math.inf], [1, -math.inf], 1, 0),
        ([0, 0], [0, 0], 1, 0),
        ([0, 0], [1, 0], 0, math.inf),
        ([3, 4], [0, 0], 0, 1),
    ],
    ids=["NaN", "NaN in both", "infinite", "a mask", "zeros in both", "zeros in the reference", "zeros in the candidate"],
)
def test_no_comparison_ends_in_nan(wanted, got, cosine, error):
    [layer] = compared({"a": wanted}, {"a": got})
    assert (layer.cosine, layer.relative_error) == (cosine, error)
    assert (depth.parting([layer], exact=True) is None) == (error == 0)
    assert (depth.parting([layer], exact=False) is None) == (error == 0)
    assert "nan" not in depth.shown([layer], probe(), probe())._repr_html_()


def layer(name, cosine, error, added=0.0):
    return Layer(f"/{name}/Conv_output_0", name, "Conv", cosine, error, added)


def test_the_first_layer_beyond_tolerance_is_named_with_what_is_before_it():
    found = [layer("stem", 1.0, 3e-7), layer("layer1.0.conv2", 0.12, 0.991), layer("head", 0.5, 0.9)]
    assert depth.parting(found, exact=True) is found[1]
    assert depth.in_words(found, exact=True) == (
        "They part first at layer1.0.conv2 (Conv): cosine 0.12, relative error 0.99; everything before it agrees to 3e-07."
    )
    assert depth.in_words(found[1:], exact=False) == (
        "They part first at layer1.0.conv2 (Conv): cosine 0.12, relative error 0.99; it is the first that was compared."
    )


def test_reduced_precision_has_no_culprit_where_errors_grow_from_layer_to_layer():
    found = [layer("stem", 0.999, 0.03, 0.03), layer("conv", 0.95, 0.3, 0.27), layer("head", 0.93, 0.38, 0.08)]
    assert depth.parting(found, exact=False) is None
    assert depth.in_words(found, exact=False) == (
        "No single layer parts: of 3 compared the least alike is head (Conv), relative error 0.38, cosine 0.9300; "
        "conv (Conv) adds most to the difference, 0.27."
    )
    assert depth.parting(found, exact=True) is found[0]


def probabilities(*values, error=0.7):
    return Layer("probs", "Softmax", "Softmax", 0.75, error, 0.3, values)


def test_an_image_that_is_answered_otherwise_does_not_make_softmax_the_culprit_of_reduced_precision():
    """0.68 for one class and 0.69 for another have a cosine of 0.75 in the demo's int8, with scores that agree."""
    found = [layer("stem", 0.99, 0.1), layer("head", 0.93, 0.4), probabilities("probs")]
    assert depth.in_words(found, exact=False).startswith("No single layer parts: of 3 compared the least alike is Softmax (Softmax)")
    assert "parted" not in depth.shown(found, probe(), probe(precision="int8"))._repr_html_()
    assert depth.parting(found[2:], exact=True)


@pytest.mark.parametrize("last", [probabilities("scores", "probs"), probabilities("probs", error=math.inf)], ids=["alone", "not finite"])
def test_probabilities_whose_scores_were_not_compared_or_that_are_not_finite_part(last):
    assert depth.parting([layer("stem", 0.99, 0.1), last], exact=False) is last


def test_what_agrees_is_said_with_the_largest_difference():
    found = [layer("stem", 1.0, 2e-7), layer("head", 1.0, 8.5e-7)]
    said = "No layer parts by more than 0.001: of 2 compared the least alike is head (Conv), relative error 8.5e-07."
    assert depth.in_words(found, exact=True) == said
    assert depth.in_words([], exact=True) == "No layer could be compared: the two have no value in common."


def test_the_table_has_the_parting_its_neighbours_and_what_adds_most_and_is_escaped():
    found = [layer(f"l{number:03d}", 1.0, 0.0, number / 1e6) for number in range(100)]
    found[50] = layer("<b>", 0.0, 1.0, 1.0)
    html = depth.shown(found, probe(), probe(remarks=("x<y.npy is odd",)))._repr_html_()
    assert "a&lt;b fp32 against a&lt;b fp32: of 100 layers compared" in html
    names = ["l047", "l048", "l049", "&lt;b&gt;", "l051", "l052", "l053", "l096", "l097", "l098", "l099"]
    assert [row.split("</td>")[0].removeprefix("<td>") for row in html.partition("<tbody>")[2].split("<tr>")[1:]] == names
    assert [row.count("parts first") for row in html.split("<tr>")[2:]] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert "x&lt;y.npy is odd." in html
    assert "<table>" not in depth.shown([], probe(), probe())._repr_html_()


@pytest.mark.parametrize(("precision", "parted"), [("fp32", True), ("int8", False), ("unknown", False)])
def test_only_two_stages_in_fp32_are_to_agree_to_rounding(precision, parted):
    html = depth.shown([layer("stem", 0.95, 0.3)], probe(), probe(precision=precision))._repr_html_()
    assert ("They part first at stem" in html) is parted


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the demo as far as stages read it: its folder and its record."""
    folder = tmp_path_factory.mktemp("run")
    module = classifier.load(DEMO["model"], DEMO["checkpoint"])
    return folder, record(export.to_onnx(module, folder / "artefacts" / "m.onnx", (3, 32, 32), Onnx()), **DEMO)


def prepared(count):
    """The first of the demo's images, as its configuration prepares them."""
    source = ROOT / "demo" / "images.tar.gz"
    names = archives.listing(source).names[:count]
    opened = [Image.open(io.BytesIO(read())).convert("RGB") for _, read in archives.read_images(source, names)]
    return (
        ((np.stack([image.resize((32, 32), Image.BILINEAR) for image in opened]).astype(np.float32) - 73) / 90).transpose(0, 3, 1, 2).copy()
    )


@pytest.fixture(scope="module")
def images():
    return prepared(128)


def record(*stages, **parameters):
    """As much of model.json as is read."""
    return SimpleNamespace(params=parameters, stages=stages, stage=lambda format: next(one for one in stages if one.format == format))


def broken(folder, place, change):
    """Write the run's ONNX file with one weight changed, known by a node and its place among the node's inputs; return its run."""
    model = onnx.load(folder / "artefacts" / "m.onnx")
    name = next(node for node in model.graph.node if node.name == place[0]).input[place[1]]
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)).astype(np.float32), name))
    files.make_folder(folder / "broken" / "artefacts")
    onnx.save(model, folder / "broken" / "artefacts" / "m.onnx")
    return folder / "broken"


def test_the_demo_and_what_was_exported_from_it_part_nowhere(run, images):
    found = depth.compare(*depth.stages(*run, None, ONE), images[:4])
    assert depth.parting(found, exact=True) is None
    assert depth.in_words(found, exact=True).startswith("No layer parts by more than 0.001: of 145 compared the least alike is backbone.")
    assert max(layer.relative_error for layer in found) < 1e-5


CONV, PROJ = "backbone.conv_trans_4.cnn_block.conv2", "backbone.conv_trans_4.trans_block.attn.proj"
ZEROS, THRICE = np.zeros_like, lambda weight: 3 * weight
FLIPPED, SPOILT = lambda weight: weight[:, ::-1], lambda weight: weight * np.nan


@pytest.mark.parametrize(
    ("place", "change", "module", "said"),
    [
        (("/backbone/conv1/Conv", 1), ZEROS, "backbone.conv1", "its weight has only zeros"),
        (("/backbone/conv_trans_4/cnn_block/conv2/Conv", 1), ZEROS, CONV, "its weight has only zeros"),
        (("/backbone/conv_trans_4/cnn_block/conv2/Conv", 1), FLIPPED, CONV, "its weight is not the original's"),
        (
            ("/backbone/conv_trans_3/trans_block/ffn/layers/layers.0/layers.0.0/MatMul", 1),
            ZEROS,
            "backbone.conv_trans_3.trans_block.ffn.layers.0.0",
            "its weight has only zeros",
        ),
        (("/backbone/conv_trans_4/trans_block/attn/proj/MatMul", 1), THRICE, PROJ, "its weight is not the original's"),
        (("/backbone/trans_1/attn/qkv/Add", 0), ZEROS, "backbone.trans_1.attn.qkv", "its bias has only zeros"),
        (("/backbone/trans_norm/LayerNormalization", 1), SPOILT, "backbone.trans_norm", "its weight has values that are not finite"),
        (("/trans_cls_head/Gemm", 1), ZEROS, "head.trans_cls_head", "its weight has only zeros"),
        (("/backbone/Expand", 0), ZEROS, "backbone.trans_1.ln1", "backbone.cls_token, that it is computed with, has only zeros"),
    ],
)
def test_a_broken_weight_is_found_by_the_module_that_has_it(run, images, place, change, module, said):
    folder = broken(run[0], place, change)
    layer = depth.parting(depth.compare(*depth.stages(folder, run[1], None, ONE), images[:2]), exact=True)
    assert layer.module == module
    original = classifier.load(DEMO["model"], DEMO["checkpoint"])
    assert depth.suspicious_weights(folder / "artefacts" / "m.onnx", layer, original) == said
    assert depth.suspicious_weights(run[0] / "artefacts" / "m.onnx", layer, original) == ""


def test_without_the_original_only_zeros_in_a_matrix_and_what_is_not_finite_are_suspicious(run):
    layer = Layer("/backbone/conv1/Conv_output_0", "backbone.conv1", "Conv", 0.0, 1.0)
    said = [
        depth.suspicious_weights(broken(run[0], ("/backbone/conv1/Conv", place), change) / "artefacts" / "m.onnx", layer)
        for place, change in ((1, ZEROS), (1, FLIPPED), (2, ZEROS), (2, SPOILT))
    ]
    assert said == ["its weight has only zeros", "", "", "its bias has values that are not finite"]


def test_the_weights_of_a_layer_are_those_since_the_last_compared_one(run):
    layer = Layer("x", "x", "Add", 0.0, 1.0, values=tuple(f"/backbone/trans_1/attn/qkv/{name}_output_0" for name in ("MatMul", "Add")))
    weights = depth.weights_of(run[0] / "artefacts" / "m.onnx", layer)
    assert [(place, array.shape) for place, array in weights] == [
        ("backbone.trans_1.attn.qkv.weight", (64, 192)),
        ("backbone.trans_1.attn.qkv.bias", (192,)),
    ]


@pytest.mark.parametrize(("precision", "exact"), [("fp32", True), ("bf16", False)])
def test_openvino_and_onnx_runtime_part_nowhere(run, images, precision, exact):
    openvino = pytest.importorskip("openvino")
    if precision == "bf16" and "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bf16")
    reference, candidate = depth.stages(*run, ONE, Target(backend="openvino", precision=precision, threads=1))
    found = depth.compare(reference, candidate, images[:4])
    assert (len(found), candidate.precision) == (len(reference.values), precision)
    assert depth.parting(found, exact) is None


def test_openvino_in_bf16_tells_its_layers_of_images_between_two_classes(run):
    """Where it can't fuse it rounds, and there that moves the answer by 0.01 to 0.03."""
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bf16")
    images = prepared(300)
    reference, candidate = depth.stages(*run, ONE, Target(backend="openvino", precision="bf16", threads=1))
    best = [np.sort(told["probs"][0])[::-1][:2] for told in reference.run(images)]
    for place in np.argsort([first - second for first, second in best])[:20]:
        assert depth.parting(depth.compare(reference, candidate, images[[place]]), exact=False) is None


def test_a_weight_that_is_broken_in_openvino_alone_is_found(run, images):
    pytest.importorskip("openvino")
    folder = broken(run[0], ("/backbone/conv_trans_4/cnn_block/conv2/Conv", 1), ZEROS)
    reference, _ = depth.stages(*run, ONE, ONE)
    _, candidate = depth.stages(folder, run[1], ONE, Target(backend="openvino", threads=1))
    found = depth.compare(reference, candidate, images[:2])
    assert depth.parting(found, exact=True).module == depth.parting(found, exact=False).module == CONV


def test_ordinary_int8_has_no_culprit(run, images):
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    folder, model = run
    made = quantise.to_int8(folder, model.stages[0], images)
    target = Target(backend="openvino", precision="int8", threads=1)
    found = depth.compare(*depth.stages(folder, record(*model.stages, made, **DEMO), ONE, target), images[:8])
    assert depth.parting(found, exact=False) is None
    assert depth.in_words(found, exact=False).startswith("No single layer parts: ")
    assert 0.1 < max(layer.relative_error for layer in found) < 1


def test_a_dump_of_one_changed_layer_parts_there(run, images, tmp_path):
    reference, _ = depth.stages(*run, ONE, ONE)
    told = list(reference.run(images[:3]))
    for name in told[0]:
        np.save(tmp_path / f"{layers.file_stem(name)}.npy", np.concatenate([values[name] for values in told]).astype(np.float16))
    dump = layers.of_folder(tmp_path, reference.values, told[0])
    same = depth.compare(reference, dump, images[:3])
    assert (len(same) + len(dump.remarks), depth.parting(same, exact=False)) == (len(told[0]), None)
    assert all("attn_Transpose_output_0.npy has [1, 4, " in remark for remark in dump.remarks)  # queries, keys, values before the batch
    path = tmp_path / "backbone_conv_trans_4_trans_block_attn_proj_Add_output_0.npy"
    np.save(path, np.load(path)[::-1].copy() * -1)
    dump = layers.of_folder(tmp_path, reference.values, told[0])
    assert depth.parting(depth.compare(reference, dump, images[:3]), exact=False).module == PROJ


def test_a_users_onnx_is_compared_with_the_file_as_given(tmp_path):
    given = write_onnx(tmp_path / "given.onnx", batch=4)
    digits = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
    stage = export.adopt(given, tmp_path / "artefacts" / "m.onnx", digits[:1], "logits")[1]
    found = depth.compare(*depth.stages(tmp_path, record(stage, model=str(given)), None, ONE), digits)
    assert [layer.name for layer in found] == ["own/rows", "own/logits", "own/ordered", "own/scores"]
    assert depth.parting(found, exact=True) is None


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        ({"backend": "null"}, UserError, "null does not tell what its layers give: compare with torch,"),
        ({"backend": "replay", "provider_options": {"results": "x"}}, UserError, "replay does not tell what its layers give"),
        ({"backend": "torch", "provider_options": {"compile": True}}, UserError, "without provider_options alone: leave them out"),
        ({"backend": "onnxruntime", "provider": "nowhere"}, ParameterError, "provider nowhere is not in the installed onnxruntime"),
    ],
)
def test_a_target_that_does_not_tell_is_one_sentence(run, target, error, said):
    with pytest.raises(error, match=said):
        depth.stages(*run, ONE, Target(**target))
