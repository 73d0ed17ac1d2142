"""What a result was made on: machine, system, packages, commit. Neither user nor host names are in it."""

import functools
import importlib.metadata
import json
import platform
import subprocess

import joblib
import psutil

from helpers import ROOT

SOURCES = ("helpers", "notebooks", "params", "demo", "requirements.lock", "pyproject.toml")  # what a result depends on


def cores() -> int:
    """Return how many cores this process may use, a container's quota included."""
    return joblib.cpu_count()


@functools.cache
def machine() -> dict[str, str | int]:
    """Return the facts that decide speed: processor, cores, memory, system."""
    processor = _lscpu()
    flags = set(processor.get("Flags", "").split())
    return {
        "cpu": processor.get("Model name", platform.processor() or "unknown"),
        "vector_instructions": " ".join(sorted(flags & {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd"})),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def gpus() -> list[tuple[str, str]]:
    """Return the name and the driver's version of each NVIDIA GPU, none where the driver does not answer."""
    listed = _run("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader") or ""
    return [(name, driver) for name, _, driver in (line.rpartition(", ") for line in listed.splitlines())]


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the version of each package; `absent` where it is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def commit() -> tuple[str | None, bool | None]:
    """Return the commit that the code comes from and whether code or parameters differ from it; None outside a git clone."""
    git = ("git", "-C", str(ROOT))
    head = _run(*git, "rev-parse", "HEAD")
    return (head, bool(_run(*git, "status", "--porcelain", "--", *SOURCES))) if head else (None, None)


def _lscpu() -> dict[str, str]:
    try:
        listed = json.loads(_run("lscpu", "--json") or "{}")
    except ValueError:
        return {}
    facts, rows = {}, list(listed.get("lscpu", []))
    while rows:  # newer versions nest the rows
        row = rows.pop()
        facts[row["field"].rstrip(":")] = row.get("data") or ""
        rows += row.get("children", [])
    return facts


def _run(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
