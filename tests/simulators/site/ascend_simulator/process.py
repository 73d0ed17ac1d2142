"""What one simulated process has opened on the chip so far, and how the binding's C++ talks about it."""

import ctypes
import os
import time

import numpy as np

from . import latency, settings

DEBUG, INFO, WARN, ERROR = 1, 2, 3, 4
_LEVELS = {DEBUG: "DEBUG", INFO: "INFO", WARN: "WARN", ERROR: "ERROR"}
_TEXTS = {
    -1: "ACL: general failure",
    1: "ACL: invalid parameter",
    1004: "Invalid parameter",
    3011: "Infer: find outputsize is zero please check outputsize is set correct",
}
_BUSY, _INVALID_DEVICE = 507033, 107001


class Process:
    """The state of this process; acl is initialised once for all its sessions."""

    log_level = INFO
    initialised = False
    device_count = 0  # known after acl init only
    devices: set[int] = set()  # noqa: RUF012 - there is one process
    copies: dict[str, list[float]] = {"H2D": [], "D2H": []}  # noqa: RUF012
    executes = 0
    models = 0


def write(text: str) -> None:
    """Write to descriptor 1, past whatever sys.stdout is."""
    os.write(1, text.encode())


def say(level: int, text: str) -> None:
    """Print one line of the binding's log."""
    if level >= Process.log_level:
        write(f"[{_LEVELS[level]}] {text}\n")


def failure(code: int) -> RuntimeError:
    """Return the exception for an error code, with its trailing blank."""
    return RuntimeError(f"[{code}][{_TEXTS.get(code, 'Error code unknown')}] ")


def open_device(device: int) -> None:
    """Initialise acl and open the device, each once."""
    if not Process.initialised:
        say(INFO, "acl init success")
        Process.initialised, Process.device_count = True, settings.device_count()
    if device in Process.devices:
        return
    code = _BUSY if settings.fault("device-busy") else 0 if 0 <= device < Process.device_count else _INVALID_DEVICE
    if code:
        write(
            f"EL0003: The argument is invalid.\n\t   Failed to open device,retCode=0x7020014,deviceId={device}."
            f"[FUNC:Init][FILE:device.cc][LINE:211]\n\t   open device {device} failed,runtime result = {code}."
            "[FUNC:ReportCallError][FILE:log_inner.cpp][LINE:162]\n"
        )
        say(ERROR, f"acl open device {device} failed")
        write(f"SetDevice failed.ret={code}\n")
        raise failure(code)
    Process.devices.add(device)
    say(INFO, f"open device {device} success")


def close_devices(wording: str) -> None:
    """Close every device and acl; `wording` is how this generation reports a device."""
    for device in sorted(Process.devices):
        say(INFO, wording.format(device))
    if Process.initialised:
        say(INFO, "end to finalize acl")
    Process.initialised, Process.device_count = False, 0
    Process.devices.clear()


def copy(size: int, direction: str) -> None:
    """Take the time of a copy, H2D or D2H."""
    start, milliseconds = time.perf_counter(), latency.copy_ms(size)
    latency.last_until(start, milliseconds)
    Process.copies[direction].append(float(np.float32(milliseconds)))


def hang(holds_interpreter: bool) -> None:
    """Never return, as a driver call that hangs: no signal gets through to Python, and in most generations no other thread runs."""
    library = ctypes.PyDLL(None) if holds_interpreter else ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(64)  # a zeroed pthread_mutex_t, which its owner cannot lock again
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)
