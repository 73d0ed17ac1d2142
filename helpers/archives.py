"""Where images are read from, in place, here or in a store: a folder, a tar, compressed or not, or a zip. Nothing is ever unpacked."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np

from helpers import files, photographs, sources, tars
from helpers.errors import UserError, first_line
from helpers.names import Names
from helpers.records import Rejected
from helpers.remote import Address, Source

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".tif", ".tiff")
GONE_WRONG = (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError, NotImplementedError)
HOSTILE = (*GONE_WRONG, ValueError, OverflowError, RecursionError, MemoryError)  # what headers made for it lead a reader to
MOST_BYTES = 100_000_000  # of an encoded image
Read = Callable[[], bytes]


@dataclass(frozen=True)
class Listing:
    """The names of the images there are, in the source's order, and the entries that are no images of its own."""

    names: Names
    rejected: list[Rejected]


def open_source(images: str, artefacts: Path) -> Source:
    """Return the folder or archive to read; `photographs:<n>` makes one from packaged photographs first."""
    if images.startswith("photographs:"):
        return photographs.make(artefacts / "photographs", int(images.partition(":")[2]))
    path = sources.images(images)
    try:
        kind = _kind(path)
    except HOSTILE:
        kind = None
    if not kind:
        raise UserError(f"{images} is neither a folder nor a whole tar or zip archive of images: give one of them.")
    return path


def listing(source: Source) -> Listing:
    """Return what a source holds: a folder's images are sorted, an archive's are in its own order; twice the same name is a UserError."""
    rejected: dict[int, Rejected] = {}

    def names() -> Iterator[str]:
        for place, entry in enumerate(_entries(source, _kind(source))):
            if entry.reason:
                rejected[place] = Rejected(name=entry.name, reason=entry.reason)
            yield entry.name

    with _sound(source):
        found = Names.of(names())
    if twice := found.repeated():
        raise UserError(f"{source.name} holds {twice} more than once: repack it.")
    return Listing(found.take(np.delete(np.arange(len(found)), list(rejected))), list(rejected.values()))


def read_images(source: Source, names: Sequence[str]) -> Iterator[tuple[str, Read]]:
    """Yield (name, function that returns the encoded image) for the given names, in their order, which is the source's.

    The functions may be called from any thread, at any time. A compressed tar can be read from its beginning only: there they hold
    the content already. What they raise for an image that can't be read is in `GONE_WRONG`; one of absurd size is a ValueError.
    """
    with _sound(source):
        kind = _kind(source)
        if kind == "folder":
            yield from ((name, partial(_read_file, source, name)) for name in names)
        elif kind == "zip":
            yield from _from_zip(source, names)
        elif kind == "tar":
            wanted, there = set(names), _entries(source, kind)
            yield from ((name, partial(_read_at, source, at, size)) for name, odd, at, size in there if name in wanted and not odd)
        else:
            yield from _from_compressed_tar(source, set(names))


def seekable(source: Source) -> bool:
    """Return whether any image can be read without those before it; of a compressed tar it can't."""
    return _kind(source) != "compressed tar"


class _Entry(NamedTuple):
    name: str
    reason: str = ""  # why it is not read
    at: int = 0  # where a plain tar has its content
    size: int = 0


Kind = Literal["folder", "tar", "compressed tar", "zip"]


def _kind(source: Source) -> Kind | None:
    """Return what a source is; tar is asked first, since a zip is known by its end, which may be that of a tar's last file."""
    if source.is_dir():
        return "folder"
    with source.open("rb") as file:
        if tarfile.is_tarfile(file):
            file.seek(0)
            try:
                with tarfile.open(fileobj=file, mode="r:"):
                    return "tar"
            except tarfile.TarError:
                return "compressed tar"
        return "zip" if zipfile.is_zipfile(file) else None


def _entries(source: Source, kind: Kind | None) -> Iterable[_Entry]:
    if kind == "folder":
        return _of_store(source) if isinstance(source, Address) else _of_folder(source)
    if kind == "zip":
        return _of_zip(source)
    return _of_remote_tar(source, source.identity()) if isinstance(source, Address) and kind == "tar" else _of_tar(source)


def _of_store(folder: Address) -> Iterator[_Entry]:
    for found in sorted(folder.objects()):
        if _is_image(found.name):
            yield _Entry(found.name, _absurd(found.size or 0) or _leaves(found.name))


def _of_folder(folder: Path) -> Iterator[_Entry]:
    found = sorted(path.relative_to(folder).as_posix() for path in files.walk(folder) if _is_image(path.name))
    yield from (_Entry(name, "" if (folder / name).is_file() else "a link to nothing") for name in found)


def _of_zip(archive: Source) -> Iterator[_Entry]:
    with archive.open("rb") as file, zipfile.ZipFile(file) as opened:
        for member in opened.infolist():
            if _is_image(member.filename):
                odd = "a link" if stat.S_ISLNK(member.external_attr >> 16) else "encrypted" if member.flag_bits & 1 else ""
                yield _Entry(_plain_name(member.filename), odd or _leaves(member.filename))


def _of_tar(archive: Source) -> Iterator[_Entry]:
    with archive.open("rb") as file, tarfile.open(fileobj=file, tarinfo=tars.Header) as opened:
        for member in tars.members(opened):
            if _is_image(member.name) and not member.isdir():
                yield _Entry(_plain_name(member.name), tars.odd(member) or _leaves(member.name), member.offset_data, member.size)


@lru_cache(maxsize=1)
def _of_remote_tar(archive: Address, identity: str) -> list[_Entry]:
    """Return what a plain tar holds, remembered as long as it stays the same: walking through it takes as long as fetching it."""
    return list(_of_tar(archive))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _plain_name(name: str) -> str:
    return name.removeprefix("./")


def _leaves(name: str) -> str:
    """Return that an archive's entry must not be used by its name, which files may be called after, empty when it may."""
    path = PurePosixPath(name.replace("\\", "/"))
    return "its path leaves the archive" if path.is_absolute() or ".." in path.parts else ""


def _from_zip(archive: Source, names: Sequence[str]) -> Iterator[tuple[str, Read]]:
    opened = zipfile.ZipFile(archive.open("rb"))  # closed when the last function is gone; it takes turns by itself where two threads read
    members = {_plain_name(member.filename): member for member in opened.infolist()}
    yield from ((name, partial(_read_member, opened, members[name])) for name in names if name in members)


def _from_compressed_tar(archive: Source, wanted: set[str]) -> Iterator[tuple[str, Read]]:
    with archive.open("rb") as file, tarfile.open(fileobj=file, tarinfo=tars.Header) as opened:
        for member in tars.members(opened):
            name = _plain_name(member.name)
            if name in wanted and not tars.odd(member):
                content = opened.extractfile(member).read() if member.size <= MOST_BYTES else b""
                yield name, partial(_kept, content, member.size)


def _read_file(folder: Source, name: str) -> bytes:
    if isinstance(folder, Address):
        return folder.content(name)
    return _read_at(folder / name, 0, (folder / name).stat().st_size)


def _read_at(source: Source, at: int, size: int) -> bytes:
    """Return part of a file; each call opens it, so that threads need not take turns."""
    _refuse_absurd(size)
    content = source.part(at, size) if isinstance(source, Address) else _part(source, at, size)
    if len(content) < size:
        raise EOFError(f"{source.name} ends within it")
    return content


def _part(path: Path, at: int, size: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        file.seek(at)
        return file.read(size)


def _read_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    _refuse_absurd(member.file_size)
    return opened.read(member)


def _kept(content: bytes, size: int) -> bytes:
    _refuse_absurd(size)
    return content


def _refuse_absurd(size: int) -> None:
    if absurd := _absurd(size):
        raise ValueError(absurd)


def _absurd(size: int) -> str:
    return f"{size / 1e9:.1f} GB: too large for an image" if size > MOST_BYTES else ""


@contextmanager
def _sound(archive: Source) -> Iterator[None]:
    """Say what goes wrong while a source is walked through as a UserError."""
    try:
        yield
    except HOSTILE as error:
        raise UserError(f"{archive.name} is damaged ({first_line(error)}): fetch it again.") from error
