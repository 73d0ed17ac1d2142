"""The chain of hashes: every file and record of a run with what it was made from, as a table and drawn."""

import matplotlib
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import FancyBboxPatch

from helpers import charts, formats
from helpers.elements import Figure, Table
from helpers.records import Accuracy, Data, Model, Sweep

WIDE, HIGH = 0.8, 0.56  # of a box, on a grid of 1


def links(data: Data, model: Model, accuracy: Accuracy, sweep: Sweep) -> Table:
    """Return the chain of hashes: from images and checkpoint to the results, each link with what it was made from."""
    rows = [["images", data.source, None, _short(data.source_sha256)]]
    rows += [["manifest", data.manifest, "images, labels", _short(data.manifest_sha256)]]
    rows += [["tensors", data.tensors, "manifest, preprocess", _short(data.tensors_sha256)]]
    made_from = None
    for stage in model.stages:
        rows.append([f"model: {stage.name}", stage.file, made_from, _short(stage.sha256)])
        made_from = made_from if stage.format in ("om", "openvino") else f"model: {stage.name}"  # these are made from the ONNX file
    if model.recording:
        rows.append(["recorded results", model.recording, f"{made_from}, tensors", _short(model.recording_sha256)])
    rows += [
        [
            record.file_name(),
            record.STEP,
            " + ".join(f"{name} {_short(used)}" for name, used in record.inputs.items()),
            _short(record.fingerprint),
        ]
        for record in (data, model, accuracy, sweep)
    ]
    return Table(["link", "what", "made from", "sha256 (first 12)"], rows)


def drawn(data: Data, model: Model, accuracy: Accuracy, sweep: Sweep) -> Figure:
    """Return the chain as a picture: images above, the model below, what was measured with both at the right."""
    images = [("images", data.source_sha256), ("manifest", data.manifest_sha256), ("tensors", data.tensors_sha256)]
    lanes = [images, _models(model)]
    results = [("accuracy.json", accuracy.fingerprint), ("sweep.json", sweep.fingerprint)]
    last = max(map(len, lanes))
    with matplotlib.rc_context(charts.RC):
        canvas = Canvas(figsize=(7.5, 2.3), layout="constrained")
        axes = canvas.subplots()
        for height, lane in zip((1, 0), lanes, strict=True):
            for place, (name, sha256) in enumerate(lane, last - len(lane)):
                _box(axes, place, height, name, sha256)
                _arrow(axes, (place + WIDE / 2, height), (place + 1 - WIDE / 2, height))
            _arrow(axes, (last - 1 + WIDE / 2, height), (last - WIDE / 2, 1 - height))
        for target, (name, sha256) in enumerate(results):
            _box(axes, last, 1 - target, name, sha256)
        axes.set_xlim(-WIDE / 2 - 0.05, last + WIDE / 2 + 0.05)
        axes.set_ylim(-HIGH, 1 + HIGH)
        axes.axis("off")
        svg = charts.svg(canvas)
    said = "; ".join(", then ".join(f"{name} {_short(sha256) or 'not hashed'}" for name, sha256 in lane) for lane in lanes)
    alt = f"Chain of hashes. {said}. Both lead to {' and to '.join(f'{name} {_short(sha256)}' for name, sha256 in results)}."
    return Figure(svg, alt, "What each figure was made from, with the first 12 digits of its sha256; the table has every link.")


def _models(model: Model) -> list[tuple[str, str | None]]:
    """Return the model's files in the order in which they were made; the several made from the ONNX file are one."""
    plain = [(stage.name, stage.sha256) for stage in model.stages if stage.format not in ("om", "openvino")]
    made = [(stage.name, stage.sha256) for stage in model.stages if stage.format in ("om", "openvino")]
    if len(made) > 1:
        made = [(formats.counted(len(made), "device model"), None)]
    recorded = [("recorded results", model.recording_sha256)] if model.recording else []
    return plain + made + recorded


def _box(axes, x: float, y: float, name: str, sha256: str | None) -> None:
    corner = (x - WIDE / 2, y - HIGH / 2)
    axes.add_patch(FancyBboxPatch(corner, WIDE, HIGH, boxstyle="round,pad=0,rounding_size=0.06", facecolor="#f5f7f9", edgecolor="#5b6470"))
    axes.text(x, y + 0.1, name, ha="center", va="center", fontsize=9)
    axes.text(x, y - 0.13, _short(sha256) or "", ha="center", va="center", fontsize=7.5, family="monospace", color="#5b6470")


def _arrow(axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#5b6470", "linewidth": 1, "shrinkA": 0, "shrinkB": 0})


def _short(sha256: str | None) -> str | None:
    return sha256[:12] if sha256 else None
