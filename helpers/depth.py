"""Parity at depth: two stages of a model run on the same images layer by layer, and the first layer where they part."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx.compose

from helpers import backends, classifier, export, graph, layers, params, quantise, sources, torch_layers
from helpers.elements import Group, Sentence, Table
from helpers.errors import UserError
from helpers.layers import Probe
from helpers.params import Target
from helpers.records import Model

TOLERANCE = 1e-3  # relative error, fp32 against fp32: two runtimes differ by 9e-7 in the worst layer of the demo, by 2e-6 of Conformer-base
COSINE_MIN = 0.8  # of reduced precision: of the demo's layers the worst has 0.93 in int8 and 0.9999 in bf16, one without its weight about 0
AROUND, LARGEST = 3, 5  # rows of the table: so many on either side of the parting, so many that add most
GIVING = ("torch", "onnxruntime", "openvino")


@dataclass(frozen=True)
class Layer:
    """How far two stages agree on one value, over all images."""

    name: str  # of the ONNX value
    module: str  # dotted, as in PyTorch; the ONNX node's name where none is known
    operator: str
    cosine: float
    relative_error: float  # L2 norm of the difference over that of the reference; infinite where a value is not finite in one alone
    added: float = 0.0  # the relative error less the largest of those that it is computed from
    values: tuple[str, ...] = ()  # the ONNX values computed since the last ones that were compared, itself the last


def compare(reference: Probe, candidate: Probe, images: np.ndarray) -> list[Layer]:
    """Return every value that both give in the same shape, in topological order; `images` [N, ...] are run one at a time."""
    sums: dict[str, np.ndarray] = {}
    for wanted, got in zip(reference.run(images), candidate.run(images), strict=False):
        for name in wanted.keys() & got.keys() & reference.values.keys():
            if wanted[name].shape == got[name].shape:
                sums[name] = sums.get(name, np.zeros(4)) + _products(wanted[name], got[name])
    errors: dict[str, float] = {}  # of a value that was not compared, the largest of those that it is computed from
    since: dict[str, tuple[str, ...]] = {}
    found = []
    for name, value in reference.values.items():
        before = max((errors[source] for source in value.inputs), default=0.0)
        chain = (*dict.fromkeys(step for source in value.inputs for step in since[source]), name)
        errors[name], since[name] = before, chain
        if name in sums:
            cosine, error = _closeness(*sums[name])
            added = error - before if math.isfinite(before) else 0.0
            found.append(Layer(name, value.module, value.operator, cosine, error, added, chain))
            errors[name], since[name] = error, ()
    return found


def parting(found: list[Layer], exact: bool) -> Layer | None:
    """Return the first layer beyond tolerance, None where there is none; all that it is computed from agrees.

    `exact`: fp32 against fp32, by the relative error. Reduced precision differs everywhere and is held to a direction; but not its
    probabilities, where the scores agree: of an image that is answered otherwise they point elsewhere for that.
    """
    last = found[-1] if found else None
    told = last and not exact and last.operator == "Softmax" and len(last.values) == 1 and math.isfinite(last.relative_error)
    return next((layer for layer in (found[:-1] if told else found) if _parts(layer, exact)), None)


def in_words(found: list[Layer], exact: bool) -> str:
    """Return in one sentence where two stages part, or that no layer does and which is the least alike."""
    if not found:
        return "No layer could be compared: the two have no value in common."
    parted = parting(found, exact)
    if parted:
        before = max((layer.relative_error for layer in found[: found.index(parted)]), default=None)
        rest = "it is the first that was compared" if before is None else f"everything before it agrees to {_told(before, 1)}"
        return f"They part first at {_named(parted)}: cosine {parted.cosine:.2f}, relative error {_told(parted.relative_error)}; {rest}."
    worst, most = max(found, key=lambda layer: layer.relative_error), max(found, key=lambda layer: layer.added)
    said = f"of {len(found)} compared the least alike is {_named(worst)}, relative error {_told(worst.relative_error)}"
    if exact:
        return f"No layer parts by more than {TOLERANCE:g}: {said}."
    adds = "it also" if most is worst else _named(most)
    return f"No single layer parts: {said}, cosine {worst.cosine:.4f}; {adds} adds most to the difference, {_told(most.added)}."


def is_exact(reference: Probe, candidate: Probe) -> bool:
    """Return whether both are fp32, so that they are to agree to rounding."""
    return reference.precision == candidate.precision == "fp32"


def shown(found: list[Layer], reference: Probe, candidate: Probe) -> Group:
    """Return the sentence, a table of the layers around the parting and of those that add most, and the probes' remarks."""
    exact = is_exact(reference, candidate)
    parted = parting(found, exact)
    at = found.index(parted) if parted else 0
    chosen = set(range(max(at - AROUND, 0), min(at + AROUND + 1, len(found)))) if parted else set()
    chosen |= set(sorted(range(len(found)), key=lambda place: -found[place].added)[:LARGEST])
    beside = " or are beside the first that parts" if parted else ""
    caption = (
        f"{candidate.name} against {reference.name}: of {len(found)} layers compared, in the order of the model, these add most to the "
        f"difference{beside}. Relative error: size of the difference over that of the reference, over all images; added: what it is more "
        "than in what the layer is computed from"
    )
    rows = [_row(found[place], parted, exact) for place in sorted(chosen)]
    table = Table(["layer", "operator", "cosine", "relative error", "added", "remark"], rows, caption) if rows else None
    remarks = [Sentence(f"{text}.") for probe in (reference, candidate) for text in probe.remarks]
    return Group([Sentence(in_words(found, exact), "warning" if parted else ""), table, *remarks])


def stages(folder: Path, model: Model, reference: Target | None, candidate: Target) -> tuple[Probe, Probe]:
    """Return the two probes of a run's stages; without a reference it is the original: the PyTorch model, or the user's ONNX file.

    A target that does not give the values of its layers is a UserError that says why.
    """
    if reference:
        return _probe(folder, model, reference), _probe(folder, model, candidate)
    if not model.params["model"].endswith(".onnx"):
        return _probe(folder, model, params.check(Target, backend="torch")), _probe(folder, model, candidate)
    given = onnx.compose.add_prefix(export.read(sources.model_file(model.params["model"])), "own/", rename_nodes=False)
    return layers.of_onnx(given, Target(), "the file as given", model.stage("onnx").precision), _probe(folder, model, candidate)


def weights_of(onnx_path: Path, layer: Layer) -> list[tuple[str, np.ndarray]]:
    """Return the weights that a layer is computed with since the last compared ones, each by its place in PyTorch."""
    return graph.weights(export.read(onnx_path), layer.values or (layer.name,))


def suspicious_weights(onnx_path: Path, layer: Layer, module=None) -> str:
    """Return what is wrong with a layer's weights, such as `its weight has only zeros`, empty where nothing is seen.

    `module`: what `classifier.load` gives, the original. A convolution's weight may be its, times a factor for each output
    channel, since a BatchNorm may be folded into it; its bias is then another and not compared.
    """
    state = module.state_dict() if module else {}
    prefix = graph.wrapper(state)
    originals = {name.removeprefix(prefix): weight.numpy() for name, weight in state.items()}
    convolutions = {name.rpartition(".")[0] for name, weight in originals.items() if weight.ndim > 2}
    for place, made in weights_of(onnx_path, layer):
        owner, _, kind = place.rpartition(".")
        what = f"its {kind}" if owner == layer.module else f"{place}, that it is computed with,"
        original = originals.get(place)
        if not np.isfinite(made).all():
            return f"{what} has values that are not finite"
        if not made.any() and (original.any() if original is not None else kind == "weight" and made.ndim > 1):
            return f"{what} has only zeros"
        comparable = original is not None and not (kind == "bias" and owner in convolutions)
        if comparable and not _same_weight(made, original):
            return f"{what} is not the original's"
    return ""


def _probe(folder: Path, model: Model, target: Target) -> Probe:
    """Return the probe of one of a run's stages."""
    if target.backend not in GIVING:
        raise UserError(f"{target.backend} does not tell what its layers give: compare with {', '.join(GIVING)}, or give its dump as .npy.")
    backends.check(target)
    stage = model.stage("onnx")
    made = export.read(folder / stage.file)
    if target.backend == "onnxruntime":
        own = backends.provider(target) not in ("cpu", "cuda")  # what its options make of fp32 is not looked into
        return layers.of_onnx(made, target, precision="unknown" if own else stage.precision)
    precision = stage.precision if target.precision == "auto" else target.precision
    if target.backend == "torch":
        if target.provider_options or backends.provider(target) != "cpu":
            raise UserError("torch tells what its layers give on the CPU and without provider_options alone: leave them out.")
        return torch_layers.of_torch(classifier.load(model.params["model"], model.params["checkpoint"]), made, precision)
    path = folder / model.stage("openvino").file / quantise.GRAPH if precision == "int8" else folder / stage.file
    return layers.of_openvino(path, graph.values(made), target, precision)


def _products(wanted: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Return the squared norms of the difference and of both, and their product; a difference without end where one is not finite."""
    left, right = wanted.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    alike = (left == right) & np.isinf(left)  # a mask before softmax is -inf in both
    left, right = left[~alike], right[~alike]
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return np.array([np.inf, 0.0, 0.0, 0.0])
    return np.array([np.sum((left - right) ** 2), left @ left, right @ right, left @ right])


def _closeness(difference: float, wanted: float, got: float, product: float) -> tuple[float, float]:
    """Return cosine and relative error of what `_products` gave."""
    if difference == 0:
        return 1.0, 0.0
    cosine = product / math.sqrt(wanted * got) if math.isfinite(difference) and wanted and got else 0.0
    return float(np.clip(cosine, -1, 1)), math.sqrt(difference / wanted) if wanted else math.inf


def _parts(layer: Layer, exact: bool) -> bool:
    return layer.relative_error > TOLERANCE if exact else layer.cosine < COSINE_MIN


def _row(layer: Layer, parted: Layer | None, exact: bool) -> list[object]:
    remark = "parts first" if layer is parted else "parted" if parted and _parts(layer, exact) else None
    return [layer.module, layer.operator, f"{layer.cosine:.4f}", _told(layer.relative_error), _told(layer.added), remark]


def _told(error: float, digits: int = 2) -> str:
    return f"{error:.{digits}g}" if math.isfinite(error) else "infinite"


def _named(layer: Layer) -> str:
    return f"{layer.module} ({layer.operator})"


def _same_weight(made: np.ndarray, original: np.ndarray) -> bool:
    """Return whether a weight is the original's: as it is, transposed, or of a convolution with a factor for each output channel."""
    if original.ndim < 3:
        return any(
            made.shape == one.shape and np.allclose(made, one, TOLERANCE, TOLERANCE * np.abs(one).max()) for one in (original, original.T)
        )
    if made.shape != original.shape:
        return False
    rows, wanted = (array.reshape(len(array), -1).astype(np.float64) for array in (made, original))
    factors = (rows * wanted).sum(axis=1) / np.maximum((wanted**2).sum(axis=1), np.finfo(np.float64).tiny)
    return bool(np.linalg.norm(rows - factors[:, None] * wanted) <= TOLERANCE * np.linalg.norm(rows))
