"""How long the demo takes, notebook by notebook, and how much of it is our machinery rather than the notebooks' work.

The peer is the same work in the same run: the seconds that each notebook's own record says it took, from its first line to
its last. What is above that is starting kernels, importing, rendering pages. Writes results/demo_run_<cores>cores.json.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import outcome

from helpers import ROOT, records, steps
from helpers.params import STEPS


def main() -> None:
    """Run the demo once from nothing and print seconds and shares."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "helpers.run", "params/demo.yaml", "-p", "run", f"{folder}/run"]
        started = time.perf_counter()
        printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        total = time.perf_counter() - started
        walls = {name: float(seconds) for name, seconds in re.findall(r"^(\d_\w+) +([\d.]+) s$", printed, re.MULTILINE)}
        own = {kind.STEP: steps.load(kind, Path(folder) / "run").seconds for kind in records.KINDS}
    for name in STEPS:
        print(f"{name:16} {walls[name]:6.1f} s, of which its own work {own[name]:5.1f} s")
    share = 1 - sum(own.values()) / total
    print(f"{'all':16} {total:6.1f} s; kernels, imports and pages are {100 * share:.0f} % of it")
    result = {"total_seconds": total, "wall_seconds": walls, "own_seconds": own, "overhead_share": share}
    outcome.write("demo_run", result, ("torch", "onnxruntime", "papermill"))


if __name__ == "__main__":
    main()
