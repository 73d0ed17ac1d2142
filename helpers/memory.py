"""The most memory that this process had resident at once over a window."""

from pathlib import Path

PROC = Path("/proc/self")
_reset = False


def reset() -> bool:
    """Begin a window; False where the system can't."""
    global _reset
    try:
        (PROC / "clear_refs").write_text("5")  # proc(5): resets VmHWM to what is resident now
        _reset = True
    except OSError:
        _reset = False
    return _reset


def peak_bytes() -> int | None:
    """Return the peak since the last `reset`, None where that failed: the peak since the process started is another figure."""
    if not _reset:
        return None
    lines = (PROC / "status").read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
