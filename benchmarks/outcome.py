"""What every benchmark writes: its figures and the conditions they were measured under, as results/<name>_<cores>cores.json."""

import json
from pathlib import Path
from typing import Any

from helpers import environment, files

RESULTS = Path(__file__).parent / "results"


def write(name: str, found: dict[str, Any], packages: tuple[str, ...]) -> Path:
    """Write the figures of one benchmark with machine, versions and commit, and return the file."""
    commit, dirty = environment.commit()
    conditions = {**environment.machine(), **environment.versions(packages), "commit": commit, "dirty": dirty}
    path = RESULTS / f"{name}_{environment.cores()}cores.json"
    files.write_text(path, json.dumps({**found, "conditions": conditions}, indent=1, allow_nan=False) + "\n")
    return path
