"""Records demo/ascend_310p_simulated.tar.gz: a kit of the demo model, run by its own script on this project's simulators.

The answers in it are real, the times are the simulators', and it says so; params/conformer_base_310p_replay.yaml reads it.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for the simulators, which are the tests'

from helpers import run  # noqa: E402
from tests import simulators  # noqa: E402

RECORDING = ROOT / "demo" / "ascend_310p_simulated.tar.gz"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        params = ROOT / "params" / "conformer_base_310p_replay.yaml"
        if run.main([str(params), "-p", "run", str(folder / "run"), "--kit", str(folder / "kit")]):
            sys.exit("the kit was not written")
        environment = {**os.environ, **simulators.install(folder / "simulators")}
        subprocess.run(["sh", str(folder / "kit" / "run.sh")], check=True, env=environment)
        _pack(folder / "kit" / "results", hidden=(str(ROOT), name))
    print(f"{RECORDING.relative_to(ROOT)}: {RECORDING.stat().st_size} bytes")


def _pack(results: Path, hidden: tuple[str, ...]) -> None:
    """Write the archive without the paths, the owner and the times of the machine that made it."""
    with tarfile.open(RECORDING, "w:gz") as archive:
        for path in sorted(path for path in results.rglob("*") if path.is_file()):
            content = path.read_bytes()
            for text in hidden:
                content = content.replace(text.encode(), b".")
            entry = tarfile.TarInfo(path.relative_to(results.parent).as_posix())
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    main()
