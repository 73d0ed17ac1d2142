"""A folder or a file in a store that fsspec reaches: what is there, which version of it, and its bytes."""

import errno
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import fsspec

from helpers.errors import UserError, first_line

AHEAD_BYTES = 4_194_304  # an archive is fetched in pieces of this size while it is walked through
CONTENT = ("md5Hash", "md5", "Content-MD5", "crc32c", "ETag", "etag", "checksum", "Digest")  # what stores say of an object's version
TIME = ("mtime", "LastModified", "last_modified", "Last-Modified", "modified", "modify", "modificationTime", "updated", "created")


class Object(NamedTuple):
    """A file in a store: its name below the address, its bytes, and what the store says of its version."""

    name: str
    size: int | None
    version: str


@dataclass(frozen=True)
class Address:
    """A folder or a file in a store. It holds nothing of this process: any other, on any host, sees the same.

    A store that can't be reached, whatever its package raises then, is a UserError.
    """

    text: str

    @property
    def name(self) -> str:
        return self.text.rstrip("/").rpartition("/")[2]

    def is_dir(self) -> bool:
        return self.info()["type"] == "directory"

    def info(self) -> dict[str, Any]:
        """Return what the store says of it now; FileNotFoundError, PermissionError."""
        store, path = self._store
        with self._reached(FileNotFoundError, PermissionError):
            store.invalidate_cache()
            return store.info(path)

    def objects(self) -> Iterator[Object]:
        """Yield the files in a folder and below it, in any order."""
        store, path = self._store
        root, folders = f"{path.rstrip('/')}/", [path]
        with self._reached():
            store.invalidate_cache()
            while folders:
                folder = folders.pop()
                for info in store.ls(folder, detail=True):
                    if info["type"] == "directory" and info["name"].rstrip("/") != folder.rstrip("/"):
                        folders.append(info["name"])
                    elif info["type"] != "directory":
                        yield Object(info["name"].removeprefix(root), info["size"], version(info))

    def identity(self) -> str:
        """Return the sha256 over names, sizes and versions of what is there: its content is not fetched for that.

        The version is the store's checksum or ETag, else the time of the last change, else nothing.
        """
        info = self.info()
        found = sorted(self.objects()) if info["type"] == "directory" else [Object("", info["size"], version(info))]
        whole = hashlib.sha256()
        for entry in found:
            whole.update(f"{entry.name}\0{entry.size}\0{entry.version}\n".encode(errors="surrogateescape"))
        return whole.hexdigest()

    def content(self, name: str) -> bytes:
        """Return the content of a file in this folder; FileNotFoundError, PermissionError."""
        return self._fetched(f"{self._store[1].rstrip('/')}/{name}")

    def part(self, at: int, size: int) -> bytes:
        """Return so many bytes of this file from a place on, fewer where it ends; FileNotFoundError, PermissionError."""
        if size <= 0:  # beyond the end, or nothing
            return b""
        found = self._fetched(self._store[1], start=at, end=at + size)
        if len(found) > size:
            raise UserError(f"{self.text} is not given in parts by its server: fetch it and give its path.")
        return found

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """Return the file to be read from any place; of what is read one after the other, four megabytes are fetched at once."""
        return io.BufferedReader(_Parts(self), AHEAD_BYTES)

    def _fetched(self, path: str, **part: int) -> bytes:
        store, _ = self._store
        with self._reached(FileNotFoundError, PermissionError):
            try:
                return store.cat_file(path, **part)  # by name: stores differ in their order
            except FileNotFoundError as error:  # says the path alone, or what it likes
                raise FileNotFoundError("it is not in the store any more") from error

    @cached_property
    def _store(self) -> tuple[fsspec.AbstractFileSystem, str]:
        with self._reached(ImportError):
            return fsspec.url_to_fs(self.text)

    @contextmanager
    def _reached(self, *kept: type[Exception]) -> Iterator[None]:
        try:
            yield
        except kept:
            raise
        except Exception as error:  # each store's package has errors of its own
            raise UserError(
                f"{self.text} can't be reached ({said(error)}): check the connection and your rights there, then run it again."
            ) from error


Source = Path | Address


class _Parts(io.RawIOBase):
    """A file in a store, of which each read fetches what it asks for."""

    def __init__(self, address: Address):
        self._address, self._at, self._size = address, 0, address.info()["size"]
        if self._size is None:
            raise UserError(f"{address.text} has no size that its server tells: fetch it and give its path.")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        place = (0, self._at, self._size)[whence] + offset
        if place < 0:
            raise OSError(errno.EINVAL, "a place before the beginning")
        self._at = place
        return place

    def readinto(self, buffer: memoryview) -> int:
        found = self._address.part(self._at, min(len(buffer), self._size - self._at))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def said(error: Exception) -> str:
    """Return what an error of a store's package says first, without what may sign a URL in it."""
    return re.sub(r"\?\S+", "?…", first_line(error))


def version(info: dict[str, Any]) -> str:
    """Return what identifies the version of an object of which a store says this; empty where it says nothing."""
    return next((str(info[key]) for key in (*CONTENT, *TIME) if info.get(key)), "")
