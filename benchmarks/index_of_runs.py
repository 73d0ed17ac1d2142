"""How long the index of 500 runs takes to build, and how large its pages are.

The peer is the least that must be done, in the same run: reading the same 2,500 records as plain JSON. Sides take turns, and the
middle of the repeats is taken. The runs are the committed sample with other names, dates, models, devices and figures, in 20
folders; every 25th is broken. Writes results/index_of_runs_<cores>cores.json.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import outcome

from helpers import ROOT, formats, index, records

RUNS, FOLDERS, REPEATS = 500, 20, 7
MODELS = ("conformer_fmnist", "conformer-base-p16", "resnet50_8xb32_in1k", "vit-base-p16", "mobilenet_v3_large")
DEVICES = ("AMD EPYC (2 cores)", "Intel Xeon Platinum 8480C (16 cores)", "Ascend 310P3", "NVIDIA H100 80GB HBM3")


def main() -> None:
    """Write 500 runs into a folder, build their index in turns with the peer, and print seconds, the ratio and bytes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="keep the runs and their index here, to look at them")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        reports = folder or Path(temporary)
        write_runs(reports)
        times = [(_seconds(lambda: index.write_index(reports)), _seconds(lambda: _read(reports))) for _ in range(REPEATS)]
        pages = {path.name: path.stat().st_size for path in sorted(reports.glob("index*.html"))}
    build, read = (statistics.median(side) for side in zip(*times, strict=True))
    total = sum(pages.values())
    print(f"{RUNS} runs: {build:.2f} s, {build / read:.1f} times reading their records as JSON; {len(pages)} pages, {formats.size(total)}")
    found = {"runs": RUNS, "build_seconds": build, "json_seconds": read, "ratio": build / read, "page_bytes": pages, "total_bytes": total}
    outcome.write("index_of_runs", found, ("pydantic", "jinja2"))


def write_runs(reports: Path) -> None:
    """Write the records and an empty report of 500 runs, the same every time."""
    chance = random.Random(0)
    sample = {kind: (ROOT / "reports" / "sample" / kind.file_name()).read_text(encoding="utf-8") for kind in records.KINDS}
    for number in range(RUNS):
        folder = reports / f"job_{number % FOLDERS:02d}" / f"run_{number:03d}" if number % FOLDERS else reports / f"run_{number:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        written = {kind: json.loads(text) for kind, text in sample.items()}
        _vary(written, number, chance)
        for kind in records.KINDS[: 3 if number % 25 == 24 else None]:
            (folder / kind.file_name()).write_text(json.dumps(written[kind], indent=1), encoding="utf-8")
        (folder / "report.html").touch()


def _vary(written: dict[type[records.Record], dict], number: int, chance: random.Random) -> None:
    created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=7 * number)
    written[records.Report] |= {"created_utc": created.isoformat(), "verdict": chance.choice(["PASS", "PASS", "FAIL", "INCONCLUSIVE"])}
    written[records.Model]["name"] = MODELS[number % len(MODELS)]
    written[records.Accuracy]["results"][0]["top1_pct"] = chance.uniform(70, 92)
    sweep, factor = written[records.Sweep], chance.uniform(0.9, 1.1)
    sweep["geomean_ratio"] *= factor
    sweep["series"][0]["device"] = DEVICES[number // len(MODELS) % len(DEVICES)]
    for row in sweep["series"][0]["rows"]:
        measured = row["regions"][sweep["region"]]
        measured["images_per_second"] *= factor
        measured["interval_fps"] = [end * factor for end in measured["interval_fps"] or []] or None


def _read(reports: Path) -> None:
    for path in reports.rglob("*.json"):
        json.loads(path.read_bytes())


def _seconds(action) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
