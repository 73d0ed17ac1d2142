"""The fastest honest number on this machine: every configuration that we offer, against PyTorch eager and the reference way.

All of them take turns, each in a process of its own, on real images; the ratio to PyTorch eager fp32 is of runs side by side, with
its 95 % interval over the turns. The reference way is the legacy exporter at opset 11 without simplification. Each
configuration's answers are held against PyTorch's, and on the demo its top-1, image by image. Writes
results/backends_<cores>cores.json.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import outcome

from helpers import ROOT, accuracy, backends, dataset, environment, paired, params, parity, records, referee, steps
from helpers.errors import UserError
from helpers.params import Target
from helpers.tensors import Tensors
from helpers.worker import Failed, Worker

RUNS = ("conformer_base_cpu", "demo")
BATCHES = (1, 4, 8)
TURNS, FEWEST = 10, 3
LONGEST_SECONDS = 60.0  # of one batch size; then fewer turns do
EXPORTS = {
    "legacy 11": {"exporter": "legacy", "opset": 11, "simplify": False},
    "legacy 17": {"exporter": "legacy", "opset": 17},
    "dynamo 20": {"exporter": "dynamo", "opset": 20},
}
THROUGHPUT = {"PERFORMANCE_HINT": "THROUGHPUT"}
BF16 = "avx512_bf16" in str(environment.machine()["vector_instructions"])
MARGIN_POINTS = 0.3
LEFT_OUT = {"conformer_base_cpu": ("torch compiled",)}  # takes minutes to compile at each batch size


@dataclass(frozen=True)
class Configuration:
    """One way to run the model: its name, the ONNX file, and the target."""

    name: str
    export: str
    target: Target


def configurations(threads: int) -> list[Configuration]:
    """Return PyTorch eager first, then the reference way, then everything that we offer on a CPU.

    `threads` is what the model's own parameters say; one with several requests in flight has all cores, as has the second eager line.
    """
    made = [
        ("torch eager fp32", "legacy 17", Target(backend="torch")),
        ("reference: legacy 11, onnxruntime", "legacy 11", Target()),
        ("onnxruntime, legacy 17", "legacy 17", Target()),
        ("onnxruntime, dynamo 20", "dynamo 20", Target()),
        ("torch channels_last", "legacy 17", Target(backend="torch", provider_options={"channels_last": True})),
        ("torch compiled", "legacy 17", Target(backend="torch", provider_options={"compile": True})),
        ("torch autocast bf16", "legacy 17", Target(backend="torch", precision="bf16")),
        ("openvino fp32", "dynamo 20", Target(backend="openvino")),
        ("openvino fp32 throughput", "dynamo 20", Target(backend="openvino", provider_options=THROUGHPUT)),
        ("openvino int8", "dynamo 20", Target(backend="openvino", precision="int8")),
        ("openvino int8 throughput", "dynamo 20", Target(backend="openvino", precision="int8", provider_options=THROUGHPUT)),
    ]
    if BF16:
        made += [
            ("openvino bf16", "dynamo 20", Target(backend="openvino", precision="bf16")),
            ("openvino bf16 throughput", "dynamo 20", Target(backend="openvino", precision="bf16", provider_options=THROUGHPUT)),
        ]
    if threads:
        made.insert(1, ("torch eager fp32, all cores", "legacy 17", Target(backend="torch")))
    alone = {name for name, _, target in made if not target.provider_options.get("PERFORMANCE_HINT") and "all cores" not in name}
    own = {"threads": threads}
    return [Configuration(name, export, target.model_copy(update=own if name in alone else {})) for name, export, target in made]


def main() -> None:
    """Measure both models and print the ratios side by side."""
    found, path = {}, None
    with tempfile.TemporaryDirectory() as folder:
        for run in RUNS:
            print(f"\n{run}", flush=True)
            exports = {name: prepare(run, Path(folder) / run / name.replace(" ", "_"), how) for name, how in EXPORTS.items()}
            threads = params.read(ROOT / "params" / f"{run}.yaml", {}).threads
            chosen = [one for one in configurations(threads) if one.name not in LEFT_OUT.get(run, ())]
            answers = compare_answers(chosen, exports)
            rows = measure(chosen, exports)
            found[run] = [describe(one, answers[one.name], rows[one.name]) for one in chosen]
            goals(found[run])
            path = outcome.write("backends", found, ("torch", "onnxruntime", "openvino", "nncf", "onnxscript", "numpy"))
    print(path)


def prepare(run: str, folder: Path, export: dict) -> Path:
    """Run the first two notebooks with one way to export, an int8 model included where it will be used, and return the folder."""
    options = [{"backend": "openvino", "precision": "int8"}] if export["exporter"] == "dynamo" else []
    given = {"run": str(folder), "onnx": export, "options": options, "batch_sizes": [1], "batch_size": 1, "baseline": "none", "threads": 0}
    words = [word for name, value in given.items() for word in ("-p", name, value if isinstance(value, str) else json.dumps(value))]
    started = time.perf_counter()
    for step in ("1", "2"):
        command = [sys.executable, "-m", "helpers.run", f"params/{run}.yaml", *words, "--only", step]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{run}, {export}: {done.stderr}")
    print(f"  {folder.name}: prepared in {time.perf_counter() - started:.0f} s", flush=True)
    return folder


def compare_answers(chosen: list[Configuration], exports: dict[str, Path]) -> dict[str, dict]:
    """Return for each configuration how its answers agree with PyTorch's; with labels and weights, its top-1 on the same images too."""
    found, expected, right = {}, None, None
    for one in chosen:
        folder = exports[one.export]
        data, model = (steps.load(kind, folder) for kind in (records.Data, records.Model))
        tensors, labels = Tensors.of(folder, data), dataset.load(folder / data.manifest).labels
        with backends.load(folder, model, one.target) as backend:
            answers = np.concatenate([backend(tensors[at : at + 4]) for at in range(0, parity.IMAGES, 4)])
            expected = answers if expected is None else expected
            names = {"reference": "PyTorch", "candidate": one.name}
            least = None if backend.precision == "fp32" else parity.COSINE_MIN if model.random_weights else parity.COSINE_LABELLED
            judged = parity.judge(names, parity.IMAGES, expected, [(np.arange(parity.IMAGES), answers)], least)
            found[one.name] = {"agrees": judged.passed, "cosine_min": judged.cosine_min, "max_abs_diff": judged.max_abs_diff}
            if not model.random_weights and data.labels_source:
                own = accuracy.evaluate(backend, tensors, labels, 100).right
                right = own if right is None else right
                compared = paired.compare("PyTorch", one.name, right, own, MARGIN_POINTS)
                found[one.name] |= {
                    "top1_pct": 100 * float(own.mean()),
                    "loss_points": 100 * float(right.mean() - own.mean()),
                    "difference_interval_pct": compared.difference_interval_pct,
                }
        print(f"  {one.name:34} {found[one.name]}", flush=True)
    return found


def measure(chosen: list[Configuration], exports: dict[str, Path]) -> dict[str, dict]:
    """Return what each configuration did at each batch size, with the ratio to the first; one that fails has its error."""
    workers: dict[str, Worker] = {}
    found: dict[str, dict] = {one.name: {} for one in chosen}
    try:
        for one in chosen:
            folder = exports[one.export]
            data, model = (steps.load(kind, folder) for kind in (records.Data, records.Model))
            try:
                workers[one.name] = Worker(folder, data, model, [BATCHES[0]], one.target)
            except (Failed, UserError) as failed:
                found[one.name]["error"] = str(failed)
        for batch in BATCHES:
            for name, row in take_turns(workers, batch).items():
                found[name][batch] = row
            print(f"  batch size {batch} is measured", flush=True)
    finally:
        for worker in workers.values():
            worker.close()
    return found


def take_turns(workers: dict[str, Worker], batch: int) -> dict[str, dict]:
    """Return images per second of each worker at one batch size, from blocks that took turns."""
    calls = {name: worker.begin(batch, 2.0, 0.2, alone=False).calls_per_block for name, worker in workers.items()}
    fps: dict[str, list[float]] = {name: [] for name in workers}
    started = time.perf_counter()
    for turn in range(TURNS):
        if turn >= FEWEST and time.perf_counter() - started > LONGEST_SECONDS:
            break
        for name in list(workers)[:: 1 if turn % 2 == 0 else -1]:
            block = workers[name].block(calls[name], lead=True)
            fps[name].append(batch * calls[name] / block.seconds)
    peaks = {name: worker.end().peak_memory_bytes for name, worker in workers.items()}
    eager = next(iter(fps.values()))
    return {name: row(own, eager, peaks[name]) for name, own in fps.items()}


def row(own: list[float], eager: list[float], peak: int | None) -> dict:
    """Return the figures of one configuration at one batch size."""
    ratio_pct, interval_pct = referee.agreement(list(zip(own, eager, strict=True)))
    return {
        "images_per_second": float(np.exp(np.log(own).mean())),
        "ratio": 1 + ratio_pct / 100,
        "interval": [1 + pct / 100 for pct in interval_pct],
        "turns": len(own),
        "peak_memory_bytes": peak,
    }


def goals(found: list[dict]) -> None:
    """Print the fastest at batch size 1 whose answers agree, with and without int8."""
    agreeing = [one for one in found if one["agrees"] and BATCHES[0] in one["batches"] and one.get("loss_points", 0.0) <= MARGIN_POINTS]
    for said, int8 in (("without int8", False), ("with int8", True)):
        ratios = {one["name"]: one["batches"][BATCHES[0]]["ratio"] for one in agreeing if int8 or one["target"]["precision"] != "int8"}
        best = max(ratios, key=ratios.get)
        print(f"  fastest at batch size {BATCHES[0]} whose answers agree, {said}: {best}, {ratios[best]:.2f} x", flush=True)


def describe(one: Configuration, answers: dict, rows: dict) -> dict:
    """Print one configuration and return what is written of it."""
    figures = "   ".join(f"{row['images_per_second']:8.2f} = {row['ratio']:5.2f} x" for batch, row in rows.items() if batch != "error")
    loss = f", top-1 {answers['top1_pct']:.2f} %, loss {answers['loss_points']:+.2f}" if "top1_pct" in answers else ""
    print(f"  {one.name:34} {figures}   {'agrees' if answers['agrees'] else 'DISAGREES'}{loss}", flush=True)
    return {"name": one.name, "export": one.export, **answers, "batches": rows, "target": one.target.model_dump(mode="json")}


if __name__ == "__main__":
    main()
