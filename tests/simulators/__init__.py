"""Strict simulators of atc, npu-smi, ais_bench, aclruntime and onnxruntime-cann, found through PATH and PYTHONPATH alone.

Environment switches, all optional:
ASCEND_SIM_ERA    generation of the inference tools: V4 (default), V3, V2, V1b, V1
ASCEND_SIM_CHIP   the chip that the runtime sits on, such as 310P3; by default the one npu-smi shows
ASCEND_SIM_SMI    the machine: 310p (default), 310p_old, duo, 310b, 910b, dual_die, a3
ASCEND_SIM_ATC    wording of atc's errors: old (default, with brackets) or new
ASCEND_SIM_SCALE  factor on every stated time, default 1
ASCEND_SIM_CANN   ok: the provider of onnxruntime-cann works; otherwise it falls back to the CPU
ASCEND_SIM_FAULT  comma separated: atc-fail, atc-no-file, atc-fail-rc0, atc-hang, atc-host-suffix, device-busy, load-fail,
                  run-fail:N, run-hang:N (the N-th execute of a process), garbage, output-size-zero, smi-fail
"""

import os
import shlex
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SITE = HERE / "site"  # aclruntime and ais_bench
CANN = HERE / "cann"  # onnxruntime-cann: put it first on PYTHONPATH where it is wanted

# what the real atc imports into the first python3 on PATH, and the newest numpy it can bear
_TBE_MODULES = (
    "attr",
    "decorator",
    "sympy",
    "cffi",
    "yaml",
    "pathlib2",
    "psutil",
    "google",
    "google/protobuf",
    "scipy",
    "requests",
    "absl",
)


def install(folder: Path) -> dict[str, str]:
    """Write the executables to folder/bin and a CANN home to folder/cann; return the environment variables to set."""
    python, executables, home = shlex.quote(sys.executable), folder / "bin", folder / "cann"
    tbe = _write_tbe(folder / "tbe")
    scripts = {
        "atc": f'exec {python} {shlex.quote(str(HERE / "atc.py"))} "$@"',
        "npu-smi": f'exec {python} {shlex.quote(str(HERE / "npu_smi.py"))} "$@"',
        "ais_bench": f'export PYTHONPATH={shlex.quote(str(SITE))}"${{PYTHONPATH:+:$PYTHONPATH}}"\nexec {python} -m ais_bench "$@"',
        "python3": (
            f'if [ "$1" = -c ]; then export PYTHONPATH={shlex.quote(str(tbe))}"${{PYTHONPATH:+:$PYTHONPATH}}"; fi\nexec {python} "$@"'
        ),
    }
    executables.mkdir(parents=True, exist_ok=True)
    for name, script in scripts.items():
        (executables / name).write_text(f"#!/bin/sh\n{script}\n")
        (executables / name).chmod(0o755)
    for machine in ("x86_64", "aarch64"):
        facts = home / f"{machine}-linux" / "ascend_toolkit_install.info"
        facts.parent.mkdir(parents=True, exist_ok=True)
        facts.write_text(f"package_name=Ascend-cann-toolkit\nversion=5.1.RC2+simulated\narch={machine}\nos=linux\n")
    (home / "opp").mkdir(exist_ok=True)
    return {
        "PATH": os.pathsep.join([str(executables), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SITE), os.environ.get("PYTHONPATH")])),
        "ASCEND_HOME_PATH": str(home),
        "ASCEND_TOOLKIT_HOME": str(home),
        "ASCEND_OPP_PATH": str(home / "opp"),
        "ASCEND_AICPU_PATH": str(home),
    }


def _write_tbe(folder: Path) -> Path:
    for name in ("numpy", *_TBE_MODULES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text('__version__ = "1.26.4"\n' if name == "numpy" else "")
    return folder
