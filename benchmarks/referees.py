"""Do two independent referees see what this harness sees? MLPerf LoadGen on the same loaded session, OpenVINO's benchmark_app beside it.

Each figure is the ratio theirs / ours of runs that took turns, with its 95 % interval over the pairs: PASS when the interval is
within the limits, FAIL when it is outside, else INCONCLUSIVE. LoadGen drives the very session that we measure; benchmark_app is a
process of its own with the same ONNX file, hints, threads and real images. Writes results/referees_<cores>cores.json and exits with
1 when one fails.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import openvino
from outcome import write

from helpers import ROOT, backends, params, records, referee, steps
from helpers.bench import Bench
from helpers.params import Target
from helpers.records import Interval
from helpers.tensors import Tensors

RUNS = {"demo": 8, "conformer_base_cpu": 4}  # params/<run>.yaml, and the batch size of LoadGen's Offline
IN_FLIGHT = {"demo": 8, "conformer_base_cpu": 1}  # that of benchmark_app's throughput, whose runs must hold many calls: they end in flight
SECONDS = {"demo": 1, "conformer_base_cpu": 3}  # of each run of each side
IN_FLIGHT_SECONDS = {"demo": 2, "conformer_base_cpu": 10}
LOADGEN_PAIRS, APP_PAIRS = 10, 6
LOADGEN_LIMIT_PCT, APP_LIMIT_PCT = 2.0, 3.0
APP = Path(sys.executable).parent / "benchmark_app"
TYPES = {"fp32": "f32", "bf16": "bf16"}  # our name of a precision -> benchmark_app's
INPUTS = 16  # batches of real images that benchmark_app rotates through


def main() -> int:
    """Measure both models and print every ratio with its interval."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for run in RUNS:
            made = Path(folder) / run
            for step in ("1", "2"):
                command = [sys.executable, "-m", "helpers.run", f"params/{run}.yaml", "-p", "run", str(made), "--only", step]
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            found += [*loadgen(run, made), *benchmark_app(run, made)]
    result = {"agreement": found, "pairs": {"loadgen": LOADGEN_PAIRS, "benchmark_app": APP_PAIRS}, "seconds": SECONDS}
    write("referees", result, ("mlcommons-loadgen", "openvino", "onnxruntime", "numpy"))
    return 1 if any(one["verdict"] == "FAIL" for one in found) else 0


def loadgen(run: str, folder: Path) -> list[dict]:
    """Return how LoadGen and this harness agree on ONNX Runtime, one call at a time and all samples at once."""
    threads = params.read(ROOT / "params" / f"{run}.yaml", {}).threads
    bench, found = load(folder, Target(backend="onnxruntime", threads=threads)), []
    for scenario, batch in (("SingleStream", 1), ("Offline", RUNS[run])):
        heard = referee.compare(bench, scenario, batch, SECONDS[run], LOADGEN_PAIRS)
        what = f"{run}, LoadGen {scenario}, batch {batch}"
        found.append(said(what, LOADGEN_LIMIT_PCT, heard.images_per_second, heard.ours, (heard.disagreement_pct, heard.interval_pct)))
    return found


def benchmark_app(run: str, folder: Path) -> list[dict]:
    """Return how benchmark_app and this harness agree on OpenVINO, in each precision, for latency and for throughput."""
    found = []
    capable = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for precision in [one for one in TYPES if one == "fp32" or one.upper() in capable]:
        for hint, batch, seconds in (("latency", 1, SECONDS[run]), ("throughput", IN_FLIGHT[run], IN_FLIGHT_SECONDS[run])):
            options = {"PERFORMANCE_HINT": hint.upper()}
            bench = load(folder, Target(backend="openvino", precision=precision, provider_options=options))
            pairs = against_app(bench, folder, hint, batch, seconds)
            theirs, ours = np.exp(np.log(pairs).mean(axis=0)).tolist()
            what = f"{run}, benchmark_app {precision}, {hint}, batch {batch}"
            found.append(said(what, APP_LIMIT_PCT, theirs, ours, referee.agreement(pairs)))
            bench.backend.close()
    return found


def against_app(bench: Bench, folder: Path, hint: str, batch: int, seconds: int) -> list[tuple[float, float]]:
    """Return pairs of images per second, benchmark_app's first."""
    ready = bench.begin(batch, referee.WARM_UP_SECONDS, 0.5)
    wanted = round(ready.calls_per_block * seconds / bench.block(ready.calls_per_block).seconds)
    calls = max(wanted, bench.backend.requests)
    with tempfile.TemporaryDirectory() as work:
        command = [*app_command(bench, folder, Path(work), hint, batch), "-t", str(seconds)]
        return referee.take_turns(lambda: app_rate(command), lambda: batch * calls / bench.block(calls).seconds, APP_PAIRS)


def app_command(bench: Bench, folder: Path, work: Path, hint: str, batch: int) -> list[str | Path]:
    """Return the command that measures what the bench has loaded, on its images, which are written into `work`."""
    (work / "inputs").mkdir()
    for number in range(min(INPUTS, len(bench.images) // batch)):
        np.save(work / "inputs" / f"{number}.npy", bench.images[number * batch : (number + 1) * batch])
    (work / "config.json").write_text(json.dumps({"CPU": {"INFERENCE_NUM_THREADS": bench.backend.threads}}))  # -nthreads forbids -hint
    model = folder / steps.load(records.Model, folder).stage("onnx").file
    shape = ",".join(map(str, [batch, *bench.images.shape[1:]]))
    command = [APP, "-m", model, "-d", "CPU", "-hint", hint, "-infer_precision", TYPES[bench.backend.precision]]
    command += ["-load_config", work / "config.json", "-i", work / "inputs", "-layout", "[NCHW]"]
    command += ["-data_shape", f"[{shape}]"]  # the batch axis stays dynamic, as it is in our session
    command += ["-ip", "f32"]  # left out, what looks like an image becomes u8 with a conversion in front
    return command + (["-api", "sync", "-nireq", "1"] if hint == "latency" else ["-api", "async"])


def app_rate(command: list[str | Path]) -> float:
    """Run benchmark_app and return its frames per second."""
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.search(r"Throughput:\s+([\d.]+) FPS", printed)[1])


def load(folder: Path, target: Target) -> Bench:
    """Return a bench with the run's model loaded on a target."""
    data, model = (steps.load(kind, folder) for kind in (records.Data, records.Model))
    return Bench(backends.load(folder, model, target), Tensors.of(folder, data))


def said(what: str, limit_pct: float, theirs: float, ours: float, agreement: tuple[float, Interval]) -> dict:
    """Print one ratio with its interval and return it with what it was made of."""
    ratio, low, high = (1 + pct / 100 for pct in (agreement[0], *agreement[1]))
    least, most = 1 - limit_pct / 100, 1 + limit_pct / 100
    verdict = "PASS" if least <= low and high <= most else "FAIL" if high < least or low > most else "INCONCLUSIVE"
    print(
        f"{what:60} {theirs:8.1f} / {ours:8.1f} = {ratio:.3f} ({low:.3f} to {high:.3f}), {least:.2f} to {most:.2f}: {verdict}", flush=True
    )
    limits = [least, most]
    return {"what": what, "theirs": theirs, "ours": ours, "ratio": ratio, "interval": [low, high], "limits": limits, "verdict": verdict}


if __name__ == "__main__":
    sys.exit(main())
