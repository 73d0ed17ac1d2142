"""What notebook 2 does: from the model to ONNX and to what the device runs, and the comparison with what it was made from."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import softmax

from helpers import backends, classifier, dataset, export, files, operations, parity, quantise, sources
from helpers.ascend import kit, kit_results, om
from helpers.elements import Sentence
from helpers.errors import UserError
from helpers.params import Convert, Target
from helpers.records import Check, Data, Model, Stage, TensorSpec
from helpers.steps import Step
from helpers.tensors import Tensors

Reference = Callable[[np.ndarray], np.ndarray]  # one image [1, ...] -> probabilities [1, classes]


@dataclass(frozen=True)
class Converted:
    """A conversion before it is judged."""

    name: str
    stages: list[Stage]
    reference_name: str
    reference: Reference
    classes: int
    random_weights: bool
    multiply_adds: int | None = None
    recording: str | None = None
    recording_sha256: str | None = None

    def body(self) -> dict:
        """Return what the record says of it, without the checks."""
        told = ("name", "stages", "classes", "random_weights", "multiply_adds", "recording", "recording_sha256")
        return {key: getattr(self, key) for key in told}


def convert(step: Step, data: Data, images: Tensors) -> Converted:
    """Return the ONNX file of a run's model with its stages; classes that don't fit the labels are a UserError."""
    settings: Convert = step.settings
    if data.params["model"] != settings.model:
        raise UserError(f"the images were prepared for {data.params['model']}: run 1_prepare_data with model {settings.model}.")
    name = sources.model_file(settings.model).stem
    path = step.artefacts / f"{sources.short_name(settings.model)}_dynamicbs.onnx"
    converted = (
        _from_onnx(settings, name, path, images) if settings.model.endswith(".onnx") else _from_mmcls(settings, name, path, data, images)
    )
    highest = int(dataset.load_labels(step.folder / data.manifest).max(initial=0))
    if highest >= converted.classes:
        raise UserError(
            f"the labels go up to class {highest}, but the model has {converted.classes} classes: they are of another data set."
        )
    return replace(converted, multiply_adds=operations.multiply_adds(path))


def for_device(step: Step, converted: Converted, data: Data, images: Tensors) -> Converted:
    """Return the conversion with what is run instead of the ONNX file: offline models by atc, or made elsewhere; an int8 model."""
    settings: Convert = step.settings
    made = []
    if settings.backend == "ascend":
        made = om.make(step.artefacts, converted.stages[-1], settings, data.preprocess)
    elif settings.backend == "replay":
        [results] = Target.files(settings)
        folder = kit_results.unpack(results, step.artefacts)
        kit_results.check_flags(kit_results.identity(folder), kit.flags(settings.atc))
        made = kit_results.models(folder, converted.stages[-1])
        converted = replace(converted, recording=results.name, recording_sha256=files.sha256(results))
    if any(target.precision == "int8" for target in (settings, *settings.options)):
        made = [*made, quantise.to_int8(step.folder, converted.stages[-1], images)]
    return replace(converted, stages=[*converted.stages, *made])


def checks(step: Step, converted: Converted, data: Data, images: Tensors) -> list[Check]:
    """Compare everything that will be measured with the reference, on real images: ONNX Runtime, the target, a live baseline."""
    settings: Convert = step.settings
    draft: Model = step.record(**converted.body(), checks=[])
    plain = {"threads": settings.threads}
    plainly = Target(**plain) if settings.baseline != "onnxruntime" else None
    sizes = parity.batch_sizes([*settings.batch_sizes, settings.batch_size])
    targets = [Target(**plain), Target(**{field: getattr(settings, field) for field in Target.model_fields}), *settings.options]
    if settings.model.endswith(".onnx") and importlib.util.find_spec("openvino"):
        targets.append(Target(backend="openvino", **plain))  # a second opinion: the reference is ONNX Runtime too
    if baseline := settings.live_baseline(settings.threads):
        targets.append(baseline)
    rough = parity.COSINE_LABELLED if data.labels_source and not converted.random_weights else parity.COSINE_MIN
    found: dict[str, list[Check]] = {}
    for target in targets:
        as_it_is = target.precision in ("auto", "fp32") and not target.provider_options and backends.provider(target) == "cpu"
        if target.backend == "null" or (target.backend == "torch" and as_it_is):
            continue  # the one answers nothing, the other is the original
        with backends.load(step.folder, draft, target) as backend:
            if not backend.is_original and backend.identity not in found:
                # where every offline model is compared itself, that the ONNX file takes other batch sizes is enough
                own = parity.batch_sizes([]) if settings.backend == "ascend" and target == plainly else sizes
                made = _compare(converted.reference_name, converted.reference, backend, images, own, rough)
                option = any(target is one for one in settings.options)
                found[backend.identity] = [check.model_copy(update={"option": option}) for check in made]
            if backend.expects(images.how) != images.how:
                found["without AIPP"] = _compare_aipp(step, draft, target, backend, images, sizes, rough)
    return [check for checks in found.values() for check in checks]


def _compare(name: str, reference: Reference, backend: backends.Backend, images: Tensors, sizes: list[int], rough: float) -> list[Check]:
    """Return the checks of one backend against a reference; recorded answers are compared as they are.

    `rough` is the least cosine of reduced precision.
    """
    exact, recorded = backend.precision == "fp32", backend.recorded
    if not recorded:
        taken, least = images.prepared(backend.expects(images.how))[: parity.IMAGES], None if exact else rough
        return parity.compare(name, reference, backend.identity, backend, images[: parity.IMAGES], backend.sizes(sizes), least, taken)
    found = []
    for batch, (known, answers) in sorted(recorded.answers.items()):
        if len(known) >= parity.IMAGES:
            first, some = images[known[: parity.IMAGES]], answers[: parity.IMAGES]
            least = None if exact and not recorded.rounded else rough
            found.append(parity.compare_recorded(name, reference, backend.identity, some, first, batch, least))
    return found


def _compare_aipp(
    step: Step, draft: Model, target: Target, backend: backends.Backend, images: Tensors, sizes: list[int], rough: float
) -> list[Check]:
    """Return the checks of a model that normalises by itself against the same model without that, on the same images."""
    floats = draft.model_copy(update={"stages": [stage for stage in draft.stages if not stage.aipp]})
    with backends.load(step.folder, floats, target) as plain:
        return _compare(plain.identity, plain, backend, images, sizes, rough)


def in_words(model: Model) -> Sentence:
    """Return whether the converted model may be used."""
    if model.refusal():
        return Sentence(f"REFUSED: {model.refusal()}. No later step gives it an accuracy or a speed.", "fail")
    passed = [check for check in model.checks if check.passed]
    exact = [check for check in passed if check.exact]
    rough = sorted({check.candidate for check in passed if not check.exact})
    refused = {check.candidate: check.reason for check in model.checks if not check.passed}
    batches = ", ".join(str(batch) for batch in sorted({check.batch for check in model.checks}))
    simulated = any("(simulated device)" in check.candidate for check in model.checks)
    said = "Simulated device: a simulator gave its answers. " if simulated else ""
    said += f"At batch sizes {batches}, "
    if exact:
        largest = max(check.max_abs_diff for check in exact)
        said += (
            f"fp32 is the same model: log-probabilities differ by {largest:.1e} at most, where two images differ by {exact[0].spread:.2g}. "
        )
    if rough:
        said += f"{', '.join(rough)} points the same way (cosine); only its accuracy can tell whether it is as good. "
    said += "".join(f"Refused, and it alone: {reason}. " for reason in refused.values())
    return Sentence(said.rstrip(), "pass")


def _from_mmcls(settings: Convert, name: str, path: Path, data: Data, images: Tensors) -> Converted:
    import torch  # absent on device hosts, where the model arrives as ONNX

    if data.preprocess.layout != "NCHW" or data.preprocess.dtype != "float32":
        raise UserError("an mmcls model receives float32 NCHW: correct layout and dtype in the parameter preprocess.")
    torch.set_num_threads(backends.thread_count(settings))
    module = classifier.load(settings.model, settings.checkpoint)
    example = images[:1]
    probabilities = _run(module, example)
    random_weights = settings.checkpoint.startswith("random:")
    checkpoint = None if random_weights else sources.existing("checkpoint", settings.checkpoint)
    original = Stage(
        name="pytorch",
        format="pytorch",
        file=settings.checkpoint if random_weights else checkpoint.name,
        sha256=files.sha256(checkpoint) if checkpoint else None,
        bytes=checkpoint.stat().st_size if checkpoint else None,
        command=f"mmcls {name}",
        seconds=0.0,
        input=TensorSpec(name="input", shape=[export.BATCH, *example.shape[1:]], dtype="float32"),
        output=TensorSpec(name="probs", shape=[export.BATCH, probabilities.shape[1]], dtype="float32"),
    )
    exported = export.to_onnx(module, path, example.shape[1:], settings.onnx)
    return Converted(name, [original, exported], "PyTorch", lambda image: _run(module, image), probabilities.shape[1], random_weights)


def _run(module, batch: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return module(torch.from_numpy(batch)).numpy()


def _from_onnx(settings: Convert, name: str, path: Path, images: Tensors) -> Converted:
    source = sources.model_file(settings.model)
    given, ours, output = export.adopt(source, path, images[:1], settings.onnx.output)
    run = export.original(source)

    def reference(image: np.ndarray) -> np.ndarray:
        scores = run(image)
        return softmax(scores, axis=1) if output == "logits" else scores

    return Converted(name, [given, ours], f"{source.name} as given, batch 1", reference, ours.output.shape[1], random_weights=False)
