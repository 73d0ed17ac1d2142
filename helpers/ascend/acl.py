"""The runtime of the device, `aclruntime`, behind one class: no other file imports it.

It was released from 2022 to 2024 under one version number with three interfaces; each difference is met here. It checks an
input's size in bytes and nothing else, so dtype and shape are checked here.
"""

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from helpers.ascend import HANG_LOGS
from helpers.ascend.atc import SET_ENV
from helpers.errors import UserError
from helpers.timing import Times

try:
    import aclruntime
except ImportError as error:  # the wheel is there, the libraries that it loads are not
    raise UserError(f"aclruntime can't be imported ({error}): {SET_ENV} in the shell that starts this.") from error

HINTS = {  # what the vendor's text contains -> what to do
    "acl open device": "another process holds the device, or this user may not open it: see npu-smi info and the group HwHiAiUser",
    "load model from file failed": "the .om is damaged, for another chip, or by a newer CANN than the driver: run 2_convert again here",
    "dymBatch parameter": "the model has no gear for this batch size: run 2_convert with the same batch_sizes",
    "dynamic_batch_size parameter is not specified": "the model has no gears: run 2_convert with the same parameters",
    "dymtype": "the model has gears and was given no batch size: run 2_convert with the same parameters",
    "size is zero": "the model's output has no fixed shape: export it with one",
    "execute model failed": "see npu-smi info for the chip's health and memory, and try a smaller batch size",
}
_libc = ctypes.CDLL(None)


class Prints:
    """What C code prints to descriptor 1 goes to a log file while the block runs, and can be quoted when it failed."""

    def __init__(self, path: Path):
        self._file = path.open("ab", buffering=0)
        self._path, self._start = path, 0

    def __enter__(self) -> "Prints":
        if sys.__stdout__:
            sys.__stdout__.flush()
        _libc.fflush(None)  # what is pending belongs to whoever printed it
        self._start = os.fstat(self._file.fileno()).st_size
        self._stdout = os.dup(1)
        os.dup2(self._file.fileno(), 1)
        return self

    def __exit__(self, *_: object) -> None:
        _libc.fflush(None)
        os.dup2(self._stdout, 1)
        os.close(self._stdout)

    def problems(self) -> str:
        """Return the error and warning lines of the last block in one line."""
        text = self._path.read_bytes()[self._start :].decode(errors="replace")
        return " ".join(line.strip() for line in text.replace("\r", "\n").splitlines() if "[ERROR]" in line or "[WARN]" in line)

    def close(self) -> None:
        """Close the log file."""
        self._file.close()


class Session:
    """An .om on a device: float32 or uint8 batch -> its first output and the times of the call."""

    def __init__(self, om: Path, device_id: int, gear: int | None, log: Path, timeout_seconds: float):
        self._om, self._device = om, device_id
        self._watchdog, self._prints = Watchdog(log.parent, timeout_seconds), Prints(log)
        self._session = None
        try:
            with self._doing(f"load {om.name} on device {device_id}"):
                self._session = aclruntime.InferenceSession(str(om), device_id, aclruntime.session_options())
                if gear:
                    self._session.set_dynamic_batchsize(gear)
                else:
                    self._session.set_staticbatch()
            given, *others = self._session.get_inputs()
            if others:
                raise UserError(f"{om.name} has {1 + len(others)} inputs: a classifier has one; convert the model that 2_convert exported.")
            self._shape = tuple(gear if size == -1 and gear else size for size in given.shape)
            self._dtype = np.dtype(str(given.datatype).rpartition(".")[2])
            self._names = [self._session.get_outputs()[0].name]  # by place: its name is no longer the ONNX file's
        except BaseException:
            self.close()
            raise

    def __call__(self, batch: np.ndarray) -> tuple[np.ndarray, Times]:
        """Return (probabilities float32 [B, classes], times); a batch of another shape or dtype than the model's is a UserError."""
        if batch.shape != self._shape or batch.dtype != self._dtype:
            raise UserError(
                f"{self._om.name} takes {self._dtype} {list(self._shape)} and was given {batch.dtype} {list(batch.shape)}: "
                "run 2_convert with the same parameters."
            )
        with self._doing(f"run {self._om.name}"):
            marks = [time.perf_counter()]
            tensor = aclruntime.Tensor(np.ascontiguousarray(batch))
            tensor.to_device(self._device)
            marks.append(time.perf_counter())
            outputs, compute = self._execute([tensor])
            marks.append(time.perf_counter())
            outputs[0].to_host()
            answers = np.array(outputs[0])
            marks.append(time.perf_counter())
        return answers.astype(np.float32, copy=False), Times(marks[1] - marks[0], compute, marks[3] - marks[2])

    def close(self) -> None:
        """Unload the model; the device is free for the next session."""
        with contextlib.suppress(RuntimeError), self._prints:  # what is already gone needs no freeing
            if hasattr(self._session, "free_resource"):
                self._session.free_resource()
            self._session = None  # earlier releases free in the destructor
        self._prints.close()
        self._watchdog.close()

    def _execute(self, inputs: list) -> tuple[list, float]:
        """Return the outputs on the device and the seconds of the execution."""
        if hasattr(self._session, "run_execute"):  # the releases of early 2022 leave the timing to the caller
            self._session.run_setinputs(inputs)
            started = time.perf_counter()
            self._session.run_execute(1)
            seconds = time.perf_counter() - started
            return self._session.run_getoutputs(self._names), seconds
        self._session.reset_sumaryinfo()  # the list that is read below is copied whole
        outputs = self._session.run(self._names, inputs)
        return outputs, duration_ms(self._session.sumary().exec_time_list[-1]) / 1000

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        """Keep the prints of a block in the log, stop the process when it hangs, and turn its failure into a sentence."""
        try:
            with self._watchdog, self._prints:
                yield
        except (RuntimeError, TypeError) as error:  # TypeError: another release's binding
            said = f"{self._prints.problems()} {str(error).strip()}".strip()
            hint = next((hint for text, hint in HINTS.items() if text in said), "the whole text is in artefacts/ascend.log")
            raise UserError(f"aclruntime could not {what}: {said}; {hint}.") from error


class Watchdog:
    """Ends the process when a block takes too long: a hanging driver call holds the interpreter, so no Python code could.

    The alarm's handler is C code that writes where it hung into the log and then lets the signal end the process.
    """

    def __init__(self, folder: Path, timeout_seconds: float):
        self._timeout = timeout_seconds
        prefix, suffix = HANG_LOGS.split("*")
        self._file = tempfile.NamedTemporaryFile(prefix=prefix, suffix=suffix, dir=folder, delete=False)  # noqa: SIM115 - until close

    def __enter__(self) -> "Watchdog":
        faulthandler.register(signal.SIGALRM, file=self._file, all_threads=False, chain=True)  # another session has its own log
        signal.setitimer(signal.ITIMER_REAL, self._timeout)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.unregister(signal.SIGALRM)

    def close(self) -> None:
        """Remove the log, which is empty unless something hung."""
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)


def duration_ms(entry: float | tuple[float, float]) -> float:
    """Return milliseconds of an entry of `exec_time_list`: a number until 2023, later a pair of start and end."""
    return entry[1] - entry[0] if isinstance(entry, tuple | list) else float(entry)
