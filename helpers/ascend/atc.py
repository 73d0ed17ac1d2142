"""The vendor's converter: an ONNX file -> an offline model (.om) for one chip, by the command `atc`.

Flags, texts and traps are those of CANN 5.1 to 8.x; success is exit status, text and file together, since each alone has lied.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from helpers import ROOT, files
from helpers.ascend.atc_options import Atc
from helpers.errors import UserError

SUCCESS = "ATC run success"
# a vendor's line with its code, and the indented lines that explain it
CODED = re.compile(r"^\s*\[?(?:E[A-Z]?\d{4,5}\b|ERROR).*(?:\n[ \t]+(?!TraceBack)\S.*)*", re.MULTILINE)
SET_ENV = "source /usr/local/Ascend/ascend-toolkit/set_env.sh (from CANN 8.5 on: /usr/local/Ascend/cann-<version>/set_env.sh)"


def command(onnx: Path, om: Path, shape: tuple[int | str, ...], batches: list[int], flags: list[str]) -> list[str]:
    """Return the command for one static batch size, or with several for one model that has a gear for each.

    `shape` is the input's without the batch axis. The list is run as it is, never by a shell.
    """
    batch = str(batches[0]) if len(batches) == 1 else "-1"
    gears = [] if len(batches) == 1 else [f"--dynamic_batch_size={','.join(map(str, batches))}"]
    given = f"--input_shape=input:{batch},{','.join(map(str, shape))}"
    return ["atc", f"--model={onnx}", "--framework=5", f"--output={om.with_suffix('')}", given, *gears, *flags]


def check_environment(environment: Mapping[str, str]) -> None:
    """Raise UserError when `atc` is not on the PATH that it will be given, or CANN's environment was not set up."""
    found = shutil.which("atc", path=environment.get("PATH", ""))
    if not found or not environment.get("ASCEND_OPP_PATH"):
        missing = "ASCEND_OPP_PATH is not set" if found else "atc is not on PATH"
        raise UserError(f"{missing}: {SET_ENV} in the shell that starts this, or convert elsewhere with --kit.")


def cann_version() -> str:
    """Return the version of the CANN toolkit by its install record; where there is none, the day that its atc was installed."""
    home = Path(os.environ.get("ASCEND_TOOLKIT_HOME") or os.environ.get("ASCEND_HOME_PATH") or os.devnull)
    for record in (*home.glob("*-linux/ascend_toolkit_install.info"), home / "ascend_toolkit_install.info", home / "version.cfg"):
        found = record.is_file() and re.search(r"^\W*version\W*=\W*([\w.+-]+)", record.read_text(errors="replace"), re.M | re.I)
        if found:
            return found[1]
    atc = shutil.which("atc")
    return f"unknown, its atc of {datetime.fromtimestamp(os.stat(atc).st_mtime, UTC):%Y-%m-%d}" if atc else "unknown"


def run(arguments: list[str], om: Path, log: Path, options: Atc) -> float:
    """Run a conversion, keep what it prints in `log`, and return its seconds; any failure is a UserError and leaves no .om.

    While it runs, a line tells how long it has been at it.
    """
    environment = _environment(options.atc_python)
    check_environment(environment)
    _remove(om)
    started = time.monotonic()
    try:
        code = _wait(arguments, om.name, log, options.timeout_minutes * 60, environment)
        text = log.read_text(errors="replace")
        if code or SUCCESS not in text or not om.is_file():
            raise UserError(_failure(code, text, om, environment))
    except BaseException:  # an interrupt too
        _remove(om)
        raise
    return time.monotonic() - started


def _remove(om: Path) -> None:
    for stale in (om, *_for_the_host(om)):
        stale.unlink(missing_ok=True)


def _for_the_host(om: Path) -> list[Path]:
    """Return what atc writes instead of a model when part of it would run on the host."""
    return sorted(om.parent.glob(f"{om.stem}_linux_*.om"))


def _wait(arguments: list[str], name: str, log: Path, limit: float, environment: Mapping[str, str]) -> int:
    """Return the exit status; after `limit` seconds, and on an interrupt, the whole process group is ended."""
    work = log.parent / "atc"  # it drops kernel_meta/ and fusion_result.json wherever it is started
    files.make_folder(work)
    started = time.monotonic()
    with log.open("wb") as printed, tqdm(desc=f"atc {name}", bar_format="{desc}: {elapsed}") as progress:
        process = subprocess.Popen(arguments, stdout=printed, stderr=subprocess.STDOUT, cwd=work, env=environment, start_new_session=True)
        try:
            while process.poll() is None:
                if time.monotonic() - started > limit:
                    raise UserError(f"atc did not finish {name} in {limit / 60:g} minutes: raise atc.timeout_minutes.")
                time.sleep(0.1)
                progress.update()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # it starts compilers of its own
                process.wait()
    return process.returncode


def _environment(atc_python: str) -> dict[str, str]:
    """Return our environment without our own Python: atc imports modules that want numpy < 2 from the python3 it finds."""
    own = Path(sys.prefix) / "bin"
    isolated = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    folders = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if not (isolated and Path(folder) == own)]
    if atc_python:
        first = (ROOT / atc_python).parent
        if not os.access(first / "python3", os.X_OK):
            raise UserError(f"atc.atc_python: {atc_python} has no executable python3 in its folder: give the path of a python3.")
        folders.insert(0, str(first))
    hidden = ("VIRTUAL_ENV", "PYTHONHOME", "CONDA_PREFIX")
    return {**{name: value for name, value in os.environ.items() if name not in hidden}, "PATH": os.pathsep.join(folders)}


def _failure(code: int, text: str, om: Path, environment: Mapping[str, str]) -> str:
    """Return what to tell of a conversion that failed: the vendor's lines with their codes, and what is known to cause them."""
    if code == 0 and SUCCESS in text:
        if beside := _for_the_host(om):
            return f"atc wrote {beside[0].name}: part of the graph stayed dynamic and would run on the host; export it with a fixed shape."
        return f"atc reported success but wrote no {om.name}: see whether the disk is full, and its log beside the artefacts."
    coded = CODED.findall(text)
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "it printed nothing")
    said = " ".join(" ".join(coded or [last]).split())
    by_python = re.search(r"python|import|numpy", text, re.I)
    hint = (by_python and _python_problem(environment)) or "see its log beside the artefacts and the error code in the ATC documentation."
    return f"atc failed on {om.name} (exit status {code}): {said[:600].rstrip('.')}; {hint}"


def _python_problem(environment: Mapping[str, str]) -> str:
    """Return what is wrong with the python3 that atc found, empty when it has what atc needs."""
    found = shutil.which("python3", path=environment["PATH"])
    if not found:
        return "there is no python3 on atc's PATH: give one with numpy < 2 as atc.atc_python."
    probe = "import numpy, attr, decorator, sympy, cffi, yaml, psutil, google.protobuf, scipy, requests, absl; print(numpy.__version__)"
    try:
        done = subprocess.run([found, "-c", probe], env=dict(environment), capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"its {found} does not run ({error}): give another python3 as atc.atc_python."
    version = (done.stdout.split() or [""])[-1]
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it does not start"])[-1]
        return f"its {found} lacks what atc imports ({reason}): install it there or give another python3 as atc.atc_python."
    if not version.startswith(("0.", "1.")):
        return f"its {found} has numpy {version} and atc needs numpy < 2: give another python3 as atc.atc_python."
    return ""
