"""One sweep at a time on a host: whoever measures holds a lock on a file, which ends with its process however it dies."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from helpers import formats
from helpers.errors import UserError

NAME = "inference_report_sweep.lock"
VARIABLE = "INFERENCE_REPORT_LOCK"  # names another file: containers of one host have a folder for temporary files each
LONGEST_NAME = 200  # bytes that are read of who holds it, since any user may write there


class HostLock:
    """This host's lock, taken by one sweep alone or shared by the devices of one that are measured at once; `who` signs it.

    UserError when its file can't be opened.
    """

    def __init__(self, who: str):
        self._signature = f"{who}, process {os.getpid()}"
        self._file = _open(path())

    def take(self, shared: bool = False) -> str:
        """Take it without waiting; return who holds it instead, empty when it is ours."""
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return formats.visible(os.pread(self._file, LONGEST_NAME, 0).decode(errors="replace")) or "another process"
        self._sign()
        return ""

    def wait(self) -> None:
        """Take it alone as soon as all others have let go; an interrupt ends the waiting."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._sign()

    def release(self) -> None:
        """Let go of it."""
        os.close(self._file)

    def _sign(self) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, self._signature.encode(errors="replace"), 0)


@contextlib.contextmanager
def alone(who: str) -> Iterator[None]:
    """Hold this host's lock while the block runs; while another has it, say so in one sentence and wait."""
    lock = HostLock(who)
    try:
        if holder := lock.take():
            print(f"Waiting for {holder}, which is measuring on this host: two sweeps side by side would measure each other.", flush=True)
            lock.wait()
        yield
    finally:
        lock.release()


def path() -> Path:
    """Return the file that all users of this host lock."""
    return Path(os.environ.get(VARIABLE) or Path(tempfile.gettempdir(), NAME))


def _open(file: Path) -> int:
    try:
        try:
            return os.open(file, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:  # only then O_CREAT: Linux refuses it for another user's file in /tmp (fs.protected_regular)
            opened = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CREAT, 0o666)
            os.fchmod(opened, 0o666)  # whatever the umask: other users measure here too
            return opened
    except OSError as error:
        raise UserError(f"can't open {file} ({error.strerror}): remove it, or name another file in the variable {VARIABLE}.") from error
