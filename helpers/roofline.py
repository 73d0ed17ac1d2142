"""How near to the device's peak the network runs: its multiply-adds a second against those of one large matrix product."""

import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from helpers import backends, export, formats
from helpers.elements import Group, Sentence, Table
from helpers.params import Target
from helpers.records import Model, Peak, Sweep

SIDE = 1024  # of the matrices: 12 MB in all, large enough that starting the call costs nothing
SECONDS = 0.4
NEAR, FAR = 60, 25  # percent of the peak


def measured(folder: Path, target: Target) -> Peak | None:
    """Return what a product of two matrices reaches in the target's own runtime, precision and threads; None where it runs elsewhere.

    The best of the calls within 0.4 s counts: a peak is what can be reached.
    """
    if target.backend not in ("onnxruntime", "openvino") or backends.provider(target) != "cpu" or target.precision == "int8":
        return None
    path = folder / "matrix_product.onnx"
    onnx.save(_product(), path)
    model = Model.model_construct(stages=[export.describe(path, "onnx", "", 0.0, file=path.name)])
    try:
        with backends.load(folder, model, target) as backend:
            rows, calls, until = np.ones((SIDE, SIDE, 1, 1), np.float32), [], time.perf_counter() + SECONDS
            while time.perf_counter() < until or len(calls) < 2:
                started = time.perf_counter()
                backend(rows)
                calls.append(time.perf_counter() - started)
    finally:
        path.unlink()
    return Peak(multiply_adds_per_second=SIDE**3 / min(calls), of=f"{backend.label}, {formats.counted(backend.threads, 'thread')}")


def in_words(model: Model, sweep: Sweep) -> Group | None:
    """Return what the candidate computes a second and which share of the peak that is; None where either is not known."""
    rows = [row for row in sweep.one("candidate").rows if sweep.region in row.regions]
    if not (model.multiply_adds and sweep.peak and rows):
        return None
    peak = sweep.peak.multiply_adds_per_second
    rates = {row.batch: row.regions[sweep.region].images_per_second * model.multiply_adds for row in rows}
    batch = max(rates, key=rates.get)
    share = 100 * rates[batch] / peak
    meaning = (
        "what is left to gain lies in a lower precision or a faster device"
        if share >= NEAR
        else "most of the time goes to other things than large products: small layers, memory traffic, starting operations"
        if share < FAR
        else "layers of its sizes do not reach a large product's speed"
    )
    said = (
        f"One image takes {_giga(model.multiply_adds)} multiply-adds. At batch size {batch} that is {_giga(rates[batch])} a second, "
        f"{share:.0f} % of the {_giga(peak)} that one large matrix product reaches here ({sweep.peak.of}): {meaning}."
    )
    cells = [[batch, _giga(rate), f"{100 * rate / peak:.0f} %"] for batch, rate in rates.items()]
    caption = "Multiply-adds of convolutions and matrix products, a second, and their share of that peak"
    return Group([Sentence(said), Table(["batch", "multiply-adds a second", "of the peak"], cells, caption)])


def _giga(number: float) -> str:
    """Return a large number with three digits: 4.51 million, 23.3 G."""
    return f"{number / 1e9:.3g} G" if number >= 1e8 else f"{number / 1e6:.3g} M"


def _product() -> onnx.ModelProto:
    """Return a network that is one matrix product: [N, 1024, 1, 1] -> [N, 1024]."""
    weight = numpy_helper.from_array(np.ones((SIDE, SIDE), np.float32), "weight")
    nodes = [helper.make_node("Flatten", ["input"], ["rows"]), helper.make_node("MatMul", ["rows", "weight"], ["probs"])]
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [export.BATCH, SIDE, 1, 1])
    made = helper.make_tensor_value_info("probs", TensorProto.FLOAT, [export.BATCH, SIDE])
    graph = helper.make_graph(nodes, "matrix product", [given], [made], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
