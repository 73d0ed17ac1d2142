"""What PyTorch itself offers on an NVIDIA GPU, on the real Conformer-base: precisions, memory format, compiler, CUDA graphs.

Each configuration takes turns with PyTorch eager fp32 on the same GPU, each in a process of its own, on real photographs with random
weights; the ratio is of runs side by side, with its 95 % interval over the turns. TF32 is off: fp32 is fp32. The share of the peak is
that of the execution alone, without copies. Writes results/gpu_<chip>_<cores>cores.json; without a CUDA device it measures nothing.
"""

import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import outcome
import torch

from helpers import ROOT, backends, environment, parity, records, referee, steps
from helpers.params import Target
from helpers.tensors import Tensors
from helpers.worker import Failed, Worker

RUN = "conformer_base_cpu"
BATCHES = (1, 4, 8, 16, 32, 64, 128, 256)
TURNS = 10
GFLOP_AN_IMAGE = 45.8  # two for each of 22.89 G multiply-adds
MODES = ({}, {"channels_last": True}, {"compile": True}, {"cuda_graphs": True}, {"compile": True, "cuda_graphs": True})
EAGER = Target(backend="torch", provider="cuda", precision="fp32")
# Dense bf16 tensor-core TFLOP/s by NVIDIA's data sheets, half of what they print with sparsity; words of the name that torch gives.
PEAK_TFLOPS = {
    ("H100", "HBM3"): 989.0,
    ("H100", "PCIe"): 756.0,
    ("H200",): 989.0,
    ("A100",): 312.0,
    ("L40S",): 362.0,
    ("L4",): 121.0,
}


def main() -> None:
    """Measure every configuration at every batch size and print the ratios."""
    if not torch.cuda.is_available():
        print("no CUDA device: nothing measured")
        return
    chip = torch.cuda.get_device_name()
    peak = peak_tflops(chip)
    print(f"{chip}, {f'{peak:.0f} TFLOP/s in bf16' if peak else 'peak unknown'}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = prepare(Path(temporary) / "run")
        found = [configuration(folder, target, peak) for target in targets()]
    drivers = sorted({driver for _, driver in environment.gpus()})
    result = {"chip": chip, "drivers": drivers, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    result |= {"peak_bf16_tflops": peak, "gflop_an_image": GFLOP_AN_IMAGE, "turns": TURNS, "configurations": found}
    print(outcome.write(f"gpu_{chip.replace(' ', '_')}", result, ("torch", "numpy", "mmcls")))


def prepare(folder: Path) -> Path:
    """Run the first two notebooks, for the images and the record of the model, and return the run's folder."""
    for step in ("1", "2"):
        given = ("-p", "run", str(folder), "-p", "batch_sizes", "[1]", "-p", "batch_size", "1", "-p", "baseline", "none")
        subprocess.run([sys.executable, "-m", "helpers.run", f"params/{RUN}.yaml", *given, "--only", step], cwd=ROOT, check=True)
    return folder


def targets() -> list[Target]:
    """Return every precision in every mode but eager fp32, which each of them is measured against."""
    made = [
        EAGER.model_copy(update={"precision": p, "provider_options": mode})
        for p, mode in itertools.product(("fp32", "bf16", "fp16"), MODES)
    ]
    return made[1:]


def peak_tflops(chip: str) -> float | None:
    """Return the chip's dense bf16 peak, None where it is not in the table."""
    words = set(chip.replace("-", " ").split())
    return next((peak for known, peak in PEAK_TFLOPS.items() if set(known) <= words), None)


def configuration(folder: Path, target: Target, peak: float | None) -> dict:
    """Return what one configuration did at each batch size, beside eager fp32; a failure ends it, and is said."""
    data, model = (steps.load(kind, folder) for kind in (records.Data, records.Model))
    workers, rows, error = [], {}, None
    try:
        for one in (EAGER, target):
            workers.append(Worker(folder, data, model, [1], one))
        for batch in BATCHES:
            rows[batch] = measure(*workers, batch, peak)
    except Failed as failed:  # out of memory: larger batches would be too
        error = str(failed)
    finally:
        for worker in workers:
            worker.close()
    name = workers[-1].loaded.label if len(workers) == 2 else str(target)
    agreement = agrees(folder, target) if rows else {}
    figures = "  ".join(f"{batch}: {row['images_per_second']:.0f} = {row['ratio']:.2f} x" for batch, row in rows.items())
    print(f"{name:40} {figures}", flush=True)
    return {"name": name, "target": target.model_dump(mode="json"), "batches": rows, "error": error, **agreement}


def measure(eager: Worker, candidate: Worker, batch: int, peak: float | None) -> dict:
    """Return a configuration's figures at one batch size, from calls that took turns with eager fp32's."""
    pair = (eager, candidate)
    ready = [worker.begin(batch, 2.0, 0.2, alone=False) for worker in pair]
    blocks = [[], []]
    for turn in range(TURNS):
        for at in (0, 1) if turn % 2 == 0 else (1, 0):
            blocks[at].append(pair[at].block(ready[at].calls_per_block, lead=True))
    used = [worker.end() for worker in pair]
    images = [batch * one.calls_per_block for one in ready]
    fps = [[count / block.seconds for block in own] for count, own in zip(images, blocks, strict=True)]
    ratio_pct, interval_pct = referee.agreement(list(zip(fps[1], fps[0], strict=True)))
    compute = images[1] * TURNS / sum(part.compute for block in blocks[1] for part in block.parts)
    return {
        "images_per_second": mean(fps[1]),
        "eager_images_per_second": mean(fps[0]),
        "ratio": 1 + ratio_pct / 100,
        "interval": [1 + pct / 100 for pct in interval_pct],
        "compute_images_per_second": compute,
        "share_of_bf16_peak": compute * GFLOP_AN_IMAGE / 1000 / peak if peak else None,
        "peak_device_memory_bytes": used[1].peak_device_memory_bytes,
    }


def mean(figures: list[float]) -> float:
    """Return the geometric mean, as the ratio is one."""
    return float(np.exp(np.log(figures).mean()))


def agrees(folder: Path, target: Target) -> dict:
    """Return how a configuration's answers agree with eager fp32's on the images of the parity check."""
    data, model = (steps.load(kind, folder) for kind in (records.Data, records.Model))
    images = Tensors.of(folder, data)[: parity.IMAGES]
    answers = []
    for one in (EAGER, target):
        with backends.load(folder, model, one) as backend:
            answers.append(backend(images))
    least = None if target.precision == "fp32" else parity.COSINE_MIN
    places = np.arange(parity.IMAGES)
    judged = parity.judge({"reference": "eager fp32", "candidate": "this"}, parity.IMAGES, answers[0], [(places, answers[1])], least)
    return {"agrees": judged.passed, "cosine_min": judged.cosine_min, "max_abs_diff": judged.max_abs_diff}


if __name__ == "__main__":
    main()
