"""Files on disk: written whole or not at all, and known by their sha256."""

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from helpers import ROOT
from helpers.errors import UserError
from helpers.remote import Address, Source

BIG_BYTES = 2_000_000_000
UNFINISHED = ".unfinished-"  # then the writing process, in the names of files that are being written
HASH_CACHE = ROOT / "reports" / ".hashes.json"


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends well, and is removed when it does not."""
    make_folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(prefix=f"{UNFINISHED}{os.getpid()}-{path.name}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}; free space or choose another run folder.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}; free space or choose another run folder.") from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that are gone were writing into a folder."""
    for path in folder.glob(f"{UNFINISHED}*"):
        if not _has_writer(path):
            path.unlink(missing_ok=True)


def is_being_written(folder: Path) -> bool:
    """Return whether a process of this machine is writing a file into a folder by `whole`."""
    return any(_has_writer(path) for path in folder.glob(f"{UNFINISHED}*"))


def _has_writer(path: Path) -> bool:
    writer = path.name.removeprefix(UNFINISHED).partition("-")[0]
    return writer.isdecimal() and psutil.pid_exists(int(writer))


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder and below it; links count for nothing and are not followed."""
    if path.is_symlink():
        return 0
    if path.is_dir():
        return sum(map(size_of, path.iterdir()))
    return path.stat().st_size if path.is_file() else 0


def walk(folder: Path) -> Iterator[Path]:
    """Yield everything in a folder that is no folder itself; linked folders are entered too, each real one once."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(root, name) for name in names)


def make_folder(path: Path) -> None:
    """Create a folder and those above it; UserError when that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}; free space or choose another run folder.") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Source) -> str:
    """Return the hash of a file's content, or of a folder's names and contents; of what is in a store, its identity."""
    return sha256_many([path])[path]


def sha256_many(paths: list[Source]) -> dict[Source, str]:
    """Return the hash of each file or folder; hashes are cached by path, size and modification time in nanoseconds."""
    cache = _read_cache()
    known = dict(cache)
    result = {path: _hash(path, cache) for path in paths}
    if cache != known:
        with contextlib.suppress(UserError):  # a cache that can't be kept costs time, nothing else
            write_text(HASH_CACHE, json.dumps(cache))
    return result


def _read_cache() -> dict[str, str]:
    try:
        return json.loads(HASH_CACHE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _hash(path: Source, cache: dict[str, str]) -> str:
    if isinstance(path, Address):
        return path.identity()
    return _folder_hash(path, cache) if path.is_dir() else _file_hash(path, cache)


def _file_hash(path: Path, cache: dict[str, str]) -> str:
    state = path.stat()
    key = f"{path.resolve()}|{state.st_size}|{state.st_mtime_ns}"
    if key not in cache:
        if state.st_size > BIG_BYTES:
            print(f"hashing {path.name}, {state.st_size / 1e9:.1f} GB: once, then it is remembered", file=sys.stderr, flush=True)
        with path.open("rb") as file:
            cache[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return cache[key]


def _folder_hash(folder: Path, cache: dict[str, str]) -> str:
    whole_folder = hashlib.sha256()
    for path in sorted(path for path in walk(folder) if path.is_file()):
        line = f"{path.relative_to(folder)}\0{_file_hash(path, cache)}\n"
        whole_folder.update(line.encode(errors="surrogateescape"))
    return whole_folder.hexdigest()
