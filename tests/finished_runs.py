"""Runs as five notebooks leave them, records and pages alone, for tests of what reads runs."""

from pathlib import Path

from helpers import records
from helpers.records import Accuracy, Data, Measured, Model, Record, Report, Result, Row, Series, Sweep
from tests.test_kit import HOW


def write(folder: Path, created="2026-01-01T00:00:00+00:00", kinds=records.KINDS, **facts) -> Path:
    """Write the records of a run and an empty report, and return its folder; `kinds` are those that it has come to."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in made(folder.name, created, **facts):
        if type(record) in kinds:
            (folder / record.file_name()).write_text(record.model_dump_json(by_alias=True), encoding="utf-8")
    (folder / ("report.html" if Report in kinds else "1_prepare_data.html")).write_text("")
    return folder


def made(
    run, created, model="conformer", name="onnxruntime fp32", device="cpu", fps=None, ratio=1.5, top1=90.0, verdict="PASS", kind="measured"
) -> list[Record]:
    """Return the five records of a run; `fps` is {batch size: images per second}."""

    def head(kind: type[Record]) -> dict:
        inputs = {needed.__name__.lower(): f"of {needed.__name__.lower()}" for needed in kind.INPUTS}
        return {
            "run": run, "step": kind.STEP, "created_utc": created, "git_commit": None, "git_dirty": None, "params": {},
            "fingerprint": f"of {kind.__name__.lower()}", "inputs": inputs, "environment": {}, "seconds": 0.0,
        }  # fmt: skip

    data = Data(
        **head(Data), source="images", source_sha256="0", images=1, classes=2, class_names=[], labels_source="labels",
        manifest="artefacts/manifest.csv", manifest_sha256="0", tensors="artefacts/tensors.npy", tensors_sha256="0",
        preprocess=HOW, preprocess_source="test", preprocess_differs={}, decoder="Pillow", rejected=[], remarks=[], duplicates=[],
        throughput={"images_per_second": 1.0, "seconds": 1.0},
    )  # fmt: skip
    result = Result(
        stage="candidate", backend=name, device=device, precision="fp32", top1_pct=top1, top1_interval_pct=None, top5_pct=None,
        scores_file=None, scores_sha256=None, evaluated=top1 is not None, reason="", seconds=0.0,
    )  # fmt: skip
    rows = [Row(batch=batch, regions={"compute": _measured(value)} if value else {}) for batch, value in (fps or {1: 100.0}).items()]
    line = Series(name=name, role="candidate", kind=kind, backend=name, device=device, precision="fp32", source="this run", rows=rows)
    return [
        data,
        Model(**head(Model), name=model, classes=2, random_weights=False, stages=[], checks=[]),
        Accuracy(**head(Accuracy), images=1, results=[result], reference=None, comparisons=[], verdict="NONE", sentence=""),
        Sweep(
            **head(Sweep), series=[line], region="compute", ratios=[], geomean_ratio=ratio, best_over_best_ratio=None, gate="none",
            verdict=verdict, sentence="",
        ),
        Report(**head(Report), title="t", verdict=verdict, sentence=""),
    ]  # fmt: skip


def _measured(fps: float) -> Measured:
    return Measured(images_per_second=fps, interval_fps=(fps * 0.99, fps * 1.01), latency_ms=None, blocks=30, calls=None)
