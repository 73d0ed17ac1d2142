"""A finished run without a notebook: its five records and its scores, written as the steps would write them."""

from pathlib import Path

import numpy as np

from helpers import files, metrics, seen
from helpers.preprocess import Preprocess
from helpers.records import Accuracy, Check, Data, Model, Report, Result, Stage, Sweep, TensorSpec, Throughput
from helpers.scores import Scores
from tests.test_verdict import series

HOW = Preprocess(resize_short=8, crop=8, interpolation="bicubic", mean=(1.5, 0.0, 0.0), std=(1.0, 1.0, 1.0))
LABELS = [0, 1, 0, 1]


def head(kind, name, params=None, inputs=(), **changes):
    known = {"cpu": "a processor", "cores": 2, "numpy": "2.0"} | changes
    return {
        "run": name, "step": kind.STEP, "created_utc": "2026-11-25T10:00:00+00:00", "git_commit": "c" * 40, "git_dirty": False,
        "params": {"run": name, **(params or {})}, "fingerprint": f"{kind.__name__} of {name}", "environment": known, "seconds": 1.0,
        "inputs": {type(record).__name__.lower(): record.fingerprint for record in inputs},
    }  # fmt: skip


def data_of(name, labels, pixels=0, **changes):
    images = [f"{number}.png" for number in range(len(labels))]
    shown = np.full((len(labels), 8, 8, 3), pixels, np.uint8)
    known = {
        "source": "images.tar", "source_sha256": "5", "images": len(labels), "classes": 2, "class_names": ["cat", "dog"],
        "labels_source": "val_label.txt", "manifest": "artefacts/manifest.csv", "manifest_sha256": f"{labels}",
        "tensors": "artefacts/tensors.npy", "tensors_sha256": f"{pixels}", "preprocess": HOW, "preprocess_source": "test",
        "preprocess_differs": {}, "decoder": "Pillow 12", "rejected": [], "remarks": [], "duplicates": [],
        "seen": seen.of(images, images, shown, HOW), "throughput": Throughput(images_per_second=1.0, seconds=1.0),
    }  # fmt: skip
    return Data(**head(Data, name, {"images": "/mnt/somebody's own/images.tar"}), **known | changes)


def model_of(run, data, weights="w" * 64, onnx="o" * 64, refused="", **changes):
    spec = TensorSpec(name="input", shape=["batch", 3, 8, 8], dtype="float32")
    made = {"bytes": 1, "command": "", "seconds": 1.0, "input": spec, "output": spec}
    stages = [
        Stage(name="pytorch", format="pytorch", file="m.pth", sha256=weights, **made),
        Stage(name="onnx", format="onnx", file="artefacts/m.onnx", sha256=onnx, **made),
    ]
    unknown = dict.fromkeys(("max_abs_diff", "cosine_min", "top1_agree_pct", "spread"))
    checks = [Check(reference="r", candidate="c", batch=1, images=16, passed=not refused, reason=refused, **unknown)]
    known = {"name": "m", "classes": 2, "random_weights": False, "stages": stages, "checks": checks}
    return Model(**head(Model, run, {"checkpoint": "/home/somebody/m.pth"}, [data]), **known | changes)


def result_of(folder, labels, answers, keep=True, **changes):
    """The candidate's result; its scores are written where they are kept."""
    path, right = folder / "artefacts" / "scores_candidate.npz", int((np.array(answers) == labels).sum())
    top5 = np.stack([answers, 1 - np.array(answers)], axis=1).astype(np.int32)
    images = np.arange(len(labels), dtype=np.int32)
    if keep:
        Scores(images, np.array(labels, np.int32), top5, np.full(top5.shape, 0.5, np.float32)).save(path)
    kept = {"scores_file": "artefacts/scores_candidate.npz", "scores_sha256": files.sha256(path)} if keep else dict.fromkeys(
        ("scores_file", "scores_sha256")
    )  # fmt: skip
    known = {
        "stage": "candidate", "backend": "b 1.0", "device": "cpu", "precision": "fp32", "top1_pct": 100 * right / len(labels),
        "top1_interval_pct": metrics.interval_pct(right, len(labels)), "top5_pct": None, "evaluated": True, "reason": "", "seconds": 1.0,
        "images": len(labels), **kept,
    }  # fmt: skip
    return Result(**known | changes)


def sweep_of(name, inputs, lines, environment=None, **changes):
    known = {
        "series": lines, "region": "compute", "ratios": [], "geomean_ratio": None, "best_over_best_ratio": None, "gate": "none",
        "verdict": "NONE", "sentence": "Measured.",
    }  # fmt: skip
    return Sweep(**head(Sweep, name, {"profile": "quick"}, inputs, **(environment or {})), **known | changes)


def write(
    folder: Path, answers=(0, 1, 0, 0), labels=LABELS, fps=None, line=None, data=None, model=None, result=None, sweep=None, environment=None
) -> Path:
    """Write a run and return its folder; the mappings replace what its parts would be."""
    name = folder.name
    first = data_of(name, list(labels), **(data or {}))
    second = model_of(name, first, **(model or {}))
    found = result_of(folder, list(labels), list(answers), **(result or {}))
    none = {"reference": None, "comparisons": [], "verdict": "NONE", "sentence": "Evaluated."}
    third = Accuracy(**head(Accuracy, name, {}, [first, second]), images=len(labels), results=[found], **none)
    lines = [series("candidate", fps or {1: 100.0, 8: 300.0}, **(line or {}))]
    fourth = sweep_of(name, [first, second], lines, environment, **(sweep or {}))
    inputs = [first, second, third, fourth]
    last = Report(**head(Report, name, {}, inputs), title="A run", verdict="NONE", sentence="No verdict.")
    for record in (*inputs, last):
        files.write_text(folder / record.file_name(), record.model_dump_json(by_alias=True))
    return folder
