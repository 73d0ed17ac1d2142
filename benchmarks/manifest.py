"""What a manifest of ten million images takes: seconds and peak memory to open it, to write it and to draw a subset.

Each is done in a process of its own, whose peak memory is the kernel's count. The peer, in the same run, is what the csv module
makes of the same file: two lists. Names are as ILSVRC's training images have them, in 21,841 folders. Opening must take less than a
minute and less than 2 GB. Writes results/manifest_<cores>cores.json.
"""

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import outcome

from helpers import dataset, formats

IMAGES, FOLDERS, DRAWN = 10_000_000, 21_841, 50_000
MOST_SECONDS, MOST_BYTES = 60, 2_000_000_000


def main() -> None:
    """Write a manifest, open it and draw from it, each in a fresh process, and print seconds and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs=2, metavar=("WHAT", "FILE"), help="do one of these here: " + ", ".join(ACTS))
    only = parser.parse_args().only
    if only:
        print(json.dumps(measured(ACTS[only[0]], Path(only[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.csv"
        found = {name: _in_fresh_process(name, path) for name in ACTS}
        size = path.stat().st_size
    for name, one in found.items():
        print(f"{name:12} {one['seconds']:6.1f} s, {formats.size(one['peak_bytes'])} at its peak")
    opened, peer = found["open"], found["open_by_csv"]
    ratios = {key: peer[key] / opened[key] for key in opened}
    print(f"csv takes {ratios['seconds']:.1f} times as long and {ratios['peak_bytes']:.1f} times the memory to open {formats.size(size)}")
    passed = opened["seconds"] < MOST_SECONDS and opened["peak_bytes"] < MOST_BYTES
    figures = {"images": IMAGES, "file_bytes": size, **found, "csv_over_arrow": ratios, "passed": passed}
    outcome.write("manifest", figures, ("pyarrow", "numpy"))
    sys.exit(not passed)


def write(path: Path) -> Callable[[], Any]:
    """Return what writes a manifest that is in memory."""
    folder = np.sort(np.random.default_rng(0).integers(0, FOLDERS, IMAGES)).astype(np.int32)
    manifest = dataset.Manifest((f"n{place:08d}/n{place:08d}_{number}.JPEG" for number, place in enumerate(folder.tolist())), folder)
    return lambda: manifest.save(path)


def draw(path: Path) -> Callable[[], Any]:
    """Return what draws a subset of a manifest that is in memory."""
    manifest = dataset.load(path)
    return lambda: dataset.subset(manifest, DRAWN, seed=0)


def open_by_csv(path: Path) -> tuple[list[str], list[int]]:
    """Return names and labels as the csv module reads them, row by row."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.reader(file)
        next(rows)
        names, labels = [], []
        for name, label in rows:
            names.append(name)
            labels.append(int(label))
    return names, labels


ACTS = {
    "write": write,
    "open": lambda path: lambda: dataset.load(path),
    "open_labels": lambda path: lambda: dataset.load_labels(path),
    "draw": draw,
    "open_by_csv": lambda path: lambda: open_by_csv(path),
}


def measured(prepare: Callable[[Path], Callable[[], Any]], path: Path) -> dict[str, float]:
    """Return the seconds of what is prepared and the peak memory of this process."""
    act = prepare(path)
    started = time.perf_counter()
    act()
    return {"seconds": time.perf_counter() - started, "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def _in_fresh_process(name: str, path: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, "--only", name, str(path)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
