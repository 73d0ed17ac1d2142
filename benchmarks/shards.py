"""What sharing an evaluation out by Ray costs: of the devices' time, for each unit, and with many workers at once.

- Two workers against a two-process burner in the same run: two plain processes, without Ray, that each evaluate one half of the same
  images by the same code. Sides take turns; the ratio is of images per second of both together, with its 95 % interval over the pairs.
  By units of the default's 256 images, of which the demo's small model makes a twentieth of a second, and of 1,024, as long as a larger
  model's would be or longer: there at least 0.9.
- What a unit costs the process that hands them out: units of one image that a null device answers at once, beside a bare call of a Ray
  actor in the same run. Its own CPU time is what bounds the units that it can hand out in a second, on however many devices.
- 64 workers whose null device sleeps for a known time, against the ideal, which is as many rounds of that time as 64 workers need. By units
  of 1 s, whose 64 processes want as much of this machine's cores as there is, and of 4 s: there at least 95 %.

Writes results/shards_<cores>cores.json and exits with 1 when a criterion is missed.
"""

import math
import multiprocessing
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
from outcome import write

from helpers import ROOT, backends, cluster, dataset, evaluation, params, records, referee, shards, steps
from helpers.evaluator import Evaluator, Loaded
from helpers.params import Target
from helpers.records import UnitDone
from helpers.tensors import Tensors

PAIRS, LEAST_SHARE = 8, 0.9
BATCH_SIZE, UNIT_IMAGES = 64, (256, 1024)
BARE_CALLS = 2000
MANY, ROUNDS, LEAST_EFFICIENCY = 64, 6, 0.95
SLEEP_SECONDS = (1.0, 4.0)


class Null(Evaluator):
    """A worker of the null device, which is asked although it computes nothing."""

    def load(self) -> Loaded:
        loaded = super().load()
        return Loaded(**{**vars(loaded), "reason": None, "probe": self.probe()})


def main() -> int:
    """Measure all three, print what came out, and return 1 when a criterion is missed."""
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary) / "run"
        for number in ("1", "2"):
            command = [sys.executable, "-m", "helpers.run", "params/demo.yaml", "-p", "run", str(run), "--only", number]
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        two, one, many = [two_workers(run, images) for images in UNIT_IMAGES], unit(run), many_workers(run)
    met = two[-1]["ratio"] >= LEAST_SHARE and many[-1]["efficiency"] >= LEAST_EFFICIENCY
    found = {"two_workers": two, "least_share": LEAST_SHARE, "unit": one, "many_workers": many, "least_efficiency": LEAST_EFFICIENCY}
    write("shards", {**found, "met": met}, ("ray", "onnxruntime", "numpy"))
    return 0 if met else 1


def two_workers(run: Path, unit_images: int) -> dict:
    """Return images per second of two workers over those of two processes without Ray."""
    step = step_of(run, count=2, unit_images=unit_images)
    with cluster.joined(step.settings.workers):
        evaluate(step)  # files are in memory from here on, for both sides
        pairs = referee.take_turns(lambda: rate(evaluate(step)), lambda: burner(run), PAIRS)
    percent, interval = referee.agreement(pairs)
    ratio, low, high = (1 + value / 100 for value in (percent, *interval))
    print(f"two workers, units of {unit_images}: {ratio:.3f} ({low:.3f} to {high:.3f}) of two processes without Ray")
    shown = [{"workers_fps": theirs, "burner_fps": ours} for theirs, ours in pairs]
    return {"ratio": ratio, "interval": [low, high], "unit_images": unit_images, "pairs": shown}


def burner(run: Path) -> float:
    """Return images per second of two processes that each evaluate one half, from when both are ready until both are done."""
    context = multiprocessing.get_context("spawn")
    meet = context.Barrier(3)
    halves = [context.Process(target=burn, args=(run, half, meet)) for half in (0, 1)]
    for process in halves:
        process.start()
    meet.wait()
    started = time.perf_counter()
    meet.wait()
    seconds = time.perf_counter() - started
    for process in halves:
        process.join()
    return step_of(run).inputs[0].images / seconds


def burn(run: Path, half: int, meet: Barrier) -> None:
    """Load the model and evaluate one half of the images between two meetings."""
    data, model = step_of(run).inputs
    middle = data.images // (2 * BATCH_SIZE) * BATCH_SIZE
    first, count = (0, middle) if half == 0 else (middle, data.images - middle)
    labels = dataset.load(run / data.manifest).labels
    with backends.load(run, model, Target(threads=1)) as backend:
        images = Tensors.of(run, data).prepared(backend.expects(data.preprocess)).part(first, count)
        evaluation.evaluate(backend, images.part(0, BATCH_SIZE), labels, BATCH_SIZE)  # the first calls allocate
        meet.wait()
        evaluation.evaluate(backend, images, labels, BATCH_SIZE)
        meet.wait()


def unit(run: Path) -> dict:
    """Return what handing out a unit takes, of the driver's CPU time and of the wall, beside a bare call of an actor."""
    step = step_of(run, batch_size=1, count=2, unit_images=1, device={"call_ms": 0, "image_ms": 0})
    with cluster.joined(step.settings.workers):
        spent, done = time.process_time(), evaluate(step, Null)
        cpu = (time.process_time() - spent) / step.inputs[0].images
        bare = bare_call()
    wall = span(done) / len(done)
    said = f"{1000 * cpu:.2f} ms of the driver's CPU, {1000 * wall:.2f} ms of the wall with 2 workers"
    print(f"a unit: {said}; a bare call {1000 * bare:.2f} ms")
    return {"driver_cpu_ms": 1000 * cpu, "wall_ms": 1000 * wall, "bare_call_ms": 1000 * bare, "ratio": wall / bare, "workers": 2}


def bare_call(calls: int = BARE_CALLS) -> float:
    """Return the seconds of one call of an actor that does nothing, one after the other."""
    import ray  # once it was joined: `cluster` sets what Ray reads when it is imported

    @ray.remote(num_cpus=0)
    class Nothing:
        def act(self) -> None:
            return None

    actor = Nothing.remote()
    ray.get(actor.act.remote())
    started = time.perf_counter()
    for _ in range(calls):
        ray.get(actor.act.remote())
    return (time.perf_counter() - started) / calls


def many_workers(run: Path) -> list[dict]:
    """Return how near 64 workers whose device sleeps for a known time come to the ideal, for each time."""
    import ray

    unit_images = math.ceil(step_of(run).inputs[0].images / (MANY * ROUNDS))
    ray.init("local", num_cpus=MANY, include_dashboard=False, **cluster.SILENT)  # more than there are: sleeping takes none
    try:
        return [slept(run, unit_images, seconds) for seconds in SLEEP_SECONDS]
    finally:
        ray.shutdown()


def slept(run: Path, unit_images: int, sleep_seconds: float) -> dict:
    """Return how near they come with units of one time."""
    device = {"call_ms": 1000 * sleep_seconds, "image_ms": 0}
    done = evaluate(step_of(run, batch_size=unit_images, count=MANY, unit_images=unit_images, device=device), Null)
    ideal, took = math.ceil(len(done) / MANY) * sleep_seconds, span(done)
    print(f"{MANY} workers: {len(done)} units of {sleep_seconds:g} s in {took:.2f} s, ideal {ideal:.2f}: {ideal / took:.3f}")
    return {
        "workers": len({one.place for one in done}),
        "units": len(done),
        "sleep_seconds": sleep_seconds,
        "seconds_of_a_unit": float(np.mean([one.seconds for one in done])),
        "ideal_seconds": ideal,
        "seconds": took,
        "efficiency": ideal / took,
    }


def step_of(run: Path, batch_size: int = BATCH_SIZE, device: dict | None = None, **workers: int) -> steps.Step:
    """Return notebook 3 at work on the run with so many workers; `device`: how long the null device sleeps, instead of ONNX Runtime."""
    settings = params.check(params.Accuracy, run=str(run), batch_size=batch_size, threads=1, workers={"engine": "ray", **workers})
    if device:
        settings = settings.model_copy(update={"backend": "null", "provider_options": device})
    return steps.Step(records.Accuracy, settings)


def evaluate(step: steps.Step, kind: type[Evaluator] = Evaluator) -> list[UnitDone]:
    """Evaluate by workers of a kind and return who did what."""
    shards.Evaluator = kind
    shared = shards.evaluate(step, *step.inputs, "candidate", step.settings)
    done = shared.kept.joined()[1]
    shared.kept.remove()
    return done


def span(done: list[UnitDone]) -> float:
    """Return the seconds from the first unit's begin to the last one's end."""
    starts = [datetime.fromisoformat(one.started_utc).timestamp() for one in done]
    return max(start + one.seconds for start, one in zip(starts, done, strict=True)) - min(starts)


def rate(done: list[UnitDone]) -> float:
    """Return images per second of all workers together."""
    return sum(one.count for one in done) / span(done)


if __name__ == "__main__":
    sys.exit(main())
