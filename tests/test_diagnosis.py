"""Broken models must be named for what they are, by one sentence each; the same models unbroken by none."""

import functools
import re
import shutil
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from scipy.special import softmax

from helpers import (
    ROOT,
    accuracy,
    archives,
    convert,
    dataset,
    diagnosis,
    files,
    model_config,
    original,
    params,
    prepare,
    records,
    refused,
    steps,
    what_if,
)
from helpers.backends import openvino
from helpers.elements import Sentence
from helpers.paired import compare
from helpers.preprocess import Preprocess
from helpers.tensors import Tensors
from tests import models

IMAGES = 300
LINEAR = functools.cache(models.linear_digits)  # its training takes seconds
QUICK = {"batch_sizes": [1, 8], "batch_size": 8, "baseline": "none", "threads": 1}


def prepared(folder, **values):
    """Do what notebook 1 does."""
    settings = params.check(params.PrepareData, run=str(folder), **values)
    step = steps.Step(records.Data, settings)
    classes, names = model_config.classes(settings.model)
    source = archives.open_source(settings.images, step.artefacts)
    found = dataset.read(source, settings.labels, classes, names).subset(settings.subset, settings.seed)
    how, how_source, differs = model_config.preparation(settings)
    made = prepare.prepare(step, source, found, how)
    otherwise = what_if.prepare(source, made.stored, how, step.artefacts, settings.other_ways)
    preparation = {"preprocess": how, "preprocess_source": how_source, "preprocess_differs": differs}
    step.save(**dataset.body(settings, source, found, classes), **made.body(), **otherwise.body(), **preparation)
    return folder


def converted(folder, spoil=None, **values):
    """Do what notebook 2 does; `spoil` changes the ONNX model between export and check."""
    step = steps.Step(records.Model, params.check(params.Convert, run=str(folder), **QUICK, **values))
    [data] = step.inputs
    images = Tensors.of(step.folder, data)
    made = convert.convert(step, data, images)
    if spoil:
        path = step.folder / made.stages[-1].file
        model = onnx.load(path)
        spoil(model)
        onnx.save(model, path)
        changed = made.stages[-1].model_copy(update={"sha256": files.sha256(path)})
        made = convert.replace(made, stages=[*made.stages[:-1], changed])
    made = convert.for_device(step, made, data, images)
    return step.save(**made.body(), checks=convert.checks(step, made, data, images))


def examined(folder, **values):
    """Do what notebook 3 does and return its diagnosis."""
    step = steps.Step(records.Accuracy, params.check(params.Accuracy, run=str(folder), batch_size=8, threads=1, **values))
    data, model = step.inputs
    results = accuracy.results(step, data, model)
    tried = what_if.evaluate(step, data, model, results[0])
    return diagnosis.examine(step, data, model, results, tried)


def only(sentences):
    """Return the one sentence that is said."""
    [sentence] = sentences
    return sentence


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("demo") / "run", subset=IMAGES)


@pytest.fixture
def run(demo, tmp_path):
    """A copy of the prepared demo, to be converted."""
    return shutil.copytree(demo, tmp_path / "run")


def zeroed(number):
    """Return what sets the weight to zero that comes so far, of those with more than one axis."""

    def spoil(model):
        weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) > 1 and tensor.data_type == onnx.TensorProto.FLOAT]
        chosen = weights[number]
        chosen.CopyFrom(numpy_helper.from_array(np.zeros(tuple(chosen.dims), np.float32), chosen.name))

    return spoil


def shifted(model):
    """Give each class the place after its own."""
    classes = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    output = model.graph.output[0].name
    last = next(node for node in model.graph.node if output in node.output)
    last.output[:] = ["unshifted"]
    model.graph.initializer.append(numpy_helper.from_array(np.roll(np.arange(classes), 1), "class_order"))
    model.graph.node.append(helper.make_node("Gather", ["unshifted", "class_order"], [output], axis=1))


def normalised_again(scale, offset):
    """Return what lets the model do so much to its input before all else."""

    def spoil(model):
        given = model.graph.input[0].name
        for node in model.graph.node:
            node.input[:] = ["normalised" if name == given else name for name in node.input]
        values = {"scale": np.float32(scale), "offset": np.float32(offset)}
        model.graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in values.items())
        model.graph.node.insert(0, helper.make_node("Add", ["scaled", "offset"], ["normalised"]))
        model.graph.node.insert(0, helper.make_node("Mul", [given, "scale"], ["scaled"]))

    return spoil


def test_the_unbroken_demo_is_said_nothing_of(run):
    model = converted(run)
    assert model.refusal() is None
    assert examined(run) == []


@pytest.mark.parametrize(
    ("number", "layer", "what"),
    [
        (0, r"backbone\.conv1 \(Conv; cosine -?0\.\d\d\)", "its weight"),
        (5, r"backbone\.trans_1\.ln1 \(LayerNormalization; cosine -?0\.\d\d\)", "backbone.cls_token, that it is computed with,"),
        (-1, r"head\.conv_cls_head \(Gemm; cosine -?0\.\d\d\)", "its weight"),
    ],
)
def test_a_weight_of_zeros_is_named_with_the_layer_where_the_model_parts(run, number, layer, what):
    assert converted(run, zeroed(number)).refusal()
    said = only(examined(run))
    assert re.fullmatch(rf"The converted model parts from the original first at {layer}: {what} has only zeros; convert again\.", said)


def test_the_config_tells_that_mean_and_std_are_exchanged(tmp_path):
    exchanged = {"resize_short": 32, "crop": 32, "interpolation": "bilinear", "mean": [90.0] * 3, "std": [73.0] * 3}
    run = prepared(tmp_path / "run", subset=IMAGES, preprocess=exchanged)
    converted(run)
    said = only(examined(run))
    assert said.startswith(
        "The images are prepared with mean and std exchanged: the model's own config has mean (73.0, 73.0, 73.0) and std (90.0, 90.0, 90.0)"
    )
    assert re.search(r" \(top-1 on 50 images is [\d.]+ % as the config says, [\d.]+ % as prepared\)", said)
    assert said.endswith(": correct mean and std in the parameter preprocess.")


def test_labels_that_are_shifted_by_one_are_told_by_the_answers(tmp_path):
    lines = (ROOT / "demo" / "val_label.txt").read_text().splitlines()
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{name} {(int(index) + 1) % 10}\n" for name, index in map(str.split, lines)))
    run = prepared(tmp_path / "run", subset=IMAGES, labels=str(labels))
    converted(run)
    said = only(examined(run))
    assert re.fullmatch(
        r"The class order is shifted by one: \d\.\d % of the answers are right as they are, 9\d\.\d % when 1 is added to each "
        r"\(modulo 10\): correct the labels or the model's last layer\.",
        said,
    )


def test_classes_that_are_shifted_after_the_export_are_told_without_labels(run):
    assert converted(run, shifted).refusal()
    assert only(examined(run)) == (
        "The converted model has its class order shifted by one: of 32 images it answers 0 as the original does as it is, 32 when 1 is "
        "subtracted from each (modulo 10), with the same probabilities: correct its last layer and convert again."
    )


@pytest.mark.parametrize(
    ("scale", "offset", "words"),
    [(90 / 73, (73 - 90) / 73, "mean and std exchanged"), (90 / 255, 73 / 255, "only divided by 255: mean 0, std 1")],
)
def test_another_normalisation_inside_the_model_is_told_by_what_the_original_answers_to_it(run, scale, offset, words):
    converted(run, normalised_again(scale, offset))
    said = only(examined(run))
    assert said.startswith(
        f"The converted model prepares its input wrongly: on 32 images it answers as the original does with '{words}' (cosine 1.0000, "
    )


def test_what_no_cause_explains_is_followed_to_its_layer(run):
    converted(run, normalised_again(0.5, 0.3))
    assert re.fullmatch(
        r"The converted model parts from the original first at backbone\.conv1 \(Conv; cosine 0\.\d\d\); convert again\.",
        only(examined(run)),
    )


def test_an_option_that_is_refused_alone_is_named(run, monkeypatch):
    pytest.importorskip("openvino")
    answer = openvino.Backend.__call__
    monkeypatch.setattr(openvino.Backend, "__call__", lambda self, batch: np.roll(answer(self, batch), 2, axis=1))
    options = [params.Target(backend="openvino", threads=1)]
    assert converted(run, options=options).refusal() is None
    assert only(examined(run, options=options)).startswith(
        "openvino fp32 on CPU has its class order shifted by 2: of 32 images it answers 0 "
    )


# a user's ONNX file


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """Return a function that does notebooks 1 and 2 with a linear model of digits: (run folder, record of the model)."""
    images, labels = models.write_digits(tmp_path)
    monkeypatch.setattr(models, "linear_digits", LINEAR)

    def made(model, spoil=None, **preprocess):
        how = {**models.PREPROCESS, **preprocess}
        run = prepared(tmp_path / "run", images=str(images), labels=str(labels), model=str(model), preprocess=how)
        return run, converted(run, spoil, model=str(model))

    return made


def changed(path, change):
    """Change an ONNX file in place and return its path."""
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    return path


def test_an_unbroken_file_of_a_user_is_said_nothing_of(digits, tmp_path):
    run, _ = digits(models.write_onnx(tmp_path / "digits.onnx"))
    assert examined(run) == []


def test_a_file_with_shifted_classes_is_told_by_the_labels(digits, tmp_path):
    run, model = digits(changed(models.write_onnx(tmp_path / "digits.onnx"), shifted))
    assert model.refusal() is None
    assert re.fullmatch(
        r"The class order is shifted by one: .+ % of the answers are right as they are, 9.+ % when 1 is subtracted from each \(modulo 10.+",
        only(examined(run)),
    )


def test_a_file_that_is_given_mean_and_std_exchanged_is_told_by_top1(digits, tmp_path):
    """It takes (pixel - 150) / 50."""
    path = changed(models.write_onnx(tmp_path / "digits.onnx"), normalised_again(50 / 255, 150 / 255))
    run, _ = digits(path, mean=[50.0] * 3, std=[150.0] * 3)
    assert re.fullmatch(
        r"The images seem to be prepared wrongly: with 'mean and std exchanged' top-1 on 50 images is [\d.]+ % instead of [\d.]+ %: "
        r"correct mean and std in the parameter preprocess\.",
        only(examined(run)),
    )


def test_a_file_whose_classes_the_conversion_shifts_is_told_without_labels(digits, tmp_path):
    run, model = digits(models.write_onnx(tmp_path / "digits.onnx"), shifted)
    assert model.refusal()
    assert only(examined(run)).startswith(
        "The converted model has its class order shifted by one: of 32 images it answers 0 as the original"
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"broken_at": 8}, r"\(8\): an image alone differs from the original's log-probabilities by at most .+, a batch by .+; "),
        ({"batch": 1, "baked": 1}, r"\(3, 8\): an image alone differs .+, a batch or it does not run; "),
    ],
    ids=["mixed images", "a fixed batch size"],
)
def test_what_fails_in_batches_alone_is_told(digits, tmp_path, values, said):
    run, _ = digits(models.write_onnx(tmp_path / "digits.onnx", **values))
    assert re.match(rf"The converted model is wrong only at batch sizes above 1 {said}", only(examined(run)))


def test_where_the_original_is_not_here_nothing_is_guessed(digits, tmp_path):
    run, model = digits(models.write_onnx(tmp_path / "digits.onnx"), shifted)
    (tmp_path / "digits.onnx").write_bytes(b"another")
    assert original.load(model, np.zeros((1, 3, 8, 8), np.float32), tmp_path) is None
    step = SimpleNamespace(folder=run, settings=params.Accuracy(run=str(run), batch_size=8, threads=1))
    assert refused.examine(step, steps.load(records.Data, run), model) == []


# reduced precision, and answers that were recorded

HOW = Preprocess(resize_short=4, crop=4, interpolation="bilinear", mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 40.0))
PIXELS = Tensors(np.random.default_rng(0).integers(0, 256, (32, 4, 4, 3), np.uint8), HOW)


def asked(batch):
    """Answer as a random linear model of five classes does."""
    weights = np.random.default_rng(1).normal(size=(48, 5))
    return softmax(batch.reshape(len(batch), -1) @ weights / 4, axis=1)


def rough(answers):
    return refused.Refused("fp16", [SimpleNamespace(exact=False)], PIXELS, np.arange(32), answers)


def test_in_reduced_precision_too_another_preparation_is_recognised():
    exchanged = asked(PIXELS.prepared(HOW.model_copy(update={"mean": HOW.std, "std": HOW.mean}))[:])
    noise = np.exp(np.random.default_rng(2).normal(0, 0.01, exchanged.shape))
    said = refused._of_preparation(rough(exchanged * noise), asked(PIXELS[:]), asked)
    assert said.startswith("fp16 prepares its input wrongly: on 32 images it answers as the original does with 'mean and std exchanged'")


def test_another_preparation_that_is_hardly_nearer_is_no_cause(monkeypatch):
    """On grey images red and blue can be exchanged: rounding alone makes one or the other pass."""
    wanted = asked(PIXELS[:])
    agreement = iter([SimpleNamespace(passed=False, cosine_min=0.9899), *[SimpleNamespace(passed=True, cosine_min=0.9901)] * 3])
    monkeypatch.setattr(refused.Refused, "agreement", lambda self, expected: next(agreement))
    assert refused._of_preparation(rough(wanted), wanted, asked) == ""


def test_recorded_answers_are_taken_at_the_batch_size_that_was_refused():
    places, answers = np.arange(100, 140), np.eye(40)
    backend = SimpleNamespace(recorded=SimpleNamespace(answers={4: (places, answers), 8: (places, 2 * answers)}))
    taken = refused._answers(backend, PIXELS, 8)
    np.testing.assert_array_equal(taken[0], places[:32])
    np.testing.assert_array_equal(taken[1], 2 * answers[:32])


# preparation, from what was tried


def tried(right_as_is, right_otherwise, key="channels", words="red and blue exchanged", images=100):
    as_is, otherwise = np.arange(images) < right_as_is, np.arange(images) < right_otherwise
    return {key: compare("as prepared", words, as_is, otherwise)}


def of(differs=None, mean=(9.0,) * 3, std=(7.0,) * 3):
    return SimpleNamespace(preprocess_differs=differs or {}, preprocess=SimpleNamespace(mean=mean, std=std))


def test_a_preparation_that_is_much_better_is_named_with_what_the_config_says():
    assert diagnosis._preparation(of({"channel_order": "BGR", "crop": "24"}), tried(40, 90)) == (
        "The images seem to be prepared wrongly: with 'red and blue exchanged' top-1 on 100 images is 90.0 % instead of 40.0 %: correct "
        "channel_order in the parameter preprocess, of which the model's own config says channel_order BGR."
    )


def test_no_parameter_chooses_another_decoder():
    said = diagnosis._preparation(of(), tried(40, 90, "decoder", "decoded by OpenCV instead of Pillow"))
    assert said.endswith(": prepare the images by the decoder that the model was trained with.")


def test_of_several_better_preparations_the_best_is_named():
    said = diagnosis._preparation(of(), tried(40, 70, "unit", "only divided by 255") | tried(40, 90))
    assert "'red and blue exchanged'" in said


@pytest.mark.parametrize(
    "found",
    [{}, tried(90, 40), tried(85, 91), tried(50, 59), dict.fromkeys("abcdefg", tried(2, 8, images=8)["channels"])],
    ids=["nothing tried", "worse", "significant but small", "within five points", "few images"],
)
def test_a_preparation_that_is_not_much_better_for_sure_is_not_named(found):
    assert diagnosis._preparation(of(), found) == ""


def test_mean_and_std_that_are_the_configs_other_way_round_are_told_without_top1():
    said = diagnosis._preparation(of({"mean": "(7.0, 7.0, 7.0)", "std": "(9.0, 9.0, 9.0)"}), {})
    assert said == (
        "The images are prepared with mean and std exchanged: the model's own config has mean (7.0, 7.0, 7.0) and std (9.0, 9.0, 9.0): "
        "correct mean and std in the parameter preprocess."
    )


@pytest.mark.parametrize(
    ("differs", "found"),
    [
        ({"mean": "(7.0, 7.0, 7.0)"}, {}),
        ({"mean": "(7.0, 7.0, 7.0)", "std": "(8.0, 8.0, 8.0)"}, {}),
        ({"mean": "(7.0, 7.0, 7.0)", "std": "(9.0, 9.0, 9.0)"}, tried(90, 40, "exchanged", "mean and std exchanged")),
    ],
    ids=["the mean alone", "other values", "top-1 says that the config is wrong"],
)
def test_other_values_than_the_configs_are_no_mistake_by_themselves(differs, found):
    assert diagnosis._preparation(of(differs), found) == ""


# where stages part


@pytest.fixture
def beside_openvino(run):
    """The demo with an option of reduced precision: its step with the two records."""
    pytest.importorskip("openvino")
    options = [params.Target(backend="openvino", precision="bf16", threads=1)]
    converted(run, options=options)

    def stepped(**values):
        return steps.Step(records.Accuracy, params.check(params.Accuracy, run=str(run), batch_size=8, threads=1, options=options, **values))

    return stepped


def test_two_stages_that_differ_are_followed_through_their_layers(beside_openvino):
    step = beside_openvino()
    accuracy.results(step, *step.inputs)
    compared = compare("candidate", "option_1", np.ones(4, bool), np.zeros(4, bool))
    [said] = diagnosis.partings(step, *step.inputs, [compared]).elements
    first, group = said.elements
    assert re.match(r"Candidate and option 1 answer \d+ images? otherwise; layer by layer on ", first.text)
    assert "backbone." in group._repr_html_()


def test_equivalent_stages_and_those_of_other_runs_are_not_followed(beside_openvino):
    step = beside_openvino()
    equivalent = compare("candidate", "option_1", np.ones(10000, bool), np.ones(10000, bool))
    elsewhere = compare("candidate", "another run", np.ones(4, bool), np.zeros(4, bool))
    assert diagnosis.partings(step, *step.inputs, [equivalent, elsewhere]).elements == []


def test_values_that_were_brought_are_followed_too(beside_openvino, tmp_path):
    brought = tmp_path / "brought"
    brought.mkdir()
    np.save(brought / "probs.npy", np.full((8, 10), 0.1, np.float32))
    step = beside_openvino(compare_with=[str(brought)])
    [said] = diagnosis.partings(step, *step.inputs, []).elements
    assert said.elements[0].text == "brought against ONNX Runtime, layer by layer on the first images."


def test_values_that_can_not_be_compared_are_a_sentence(beside_openvino, tmp_path):
    (tmp_path / "empty").mkdir()
    step = beside_openvino(compare_with=[str(tmp_path / "empty")])
    [said] = diagnosis.partings(step, *step.inputs, []).elements
    assert isinstance(said, Sentence)
    assert "can't be told: " in said.text
