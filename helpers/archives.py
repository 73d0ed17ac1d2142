"""Where images are read from, in place: a folder, a tar, compressed or not, or a zip. Nothing is ever unpacked."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from helpers import photographs, sources
from helpers.errors import UserError
from helpers.records import Rejected

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".tif", ".tiff")
GONE_WRONG = (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError, NotImplementedError)
MOST_BYTES = 1_000_000_000  # of an encoded image
Read = Callable[[], bytes]


@dataclass(frozen=True)
class Listing:
    """The names of the images there are, in the source's order, and the entries that are no images of its own."""

    names: list[str]
    rejected: list[Rejected]


def open_source(images: str, artefacts: Path) -> Path:
    """Return the folder or archive to read; `photographs:<n>` makes one from packaged photographs first."""
    if images.startswith("photographs:"):
        return photographs.make(artefacts / "photographs", int(images.partition(":")[2]))
    path = sources.existing("images", images)
    try:
        readable = path.is_dir() or zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except GONE_WRONG:
        readable = False
    if not readable:
        raise UserError(f"{images} is neither a folder nor a whole tar or zip archive of images: give one of them.")
    return path


def listing(source: Path) -> Listing:
    """Return what a source holds: a folder's images are sorted, an archive's are in its own order; twice the same name is a UserError."""
    entries = list(_entries(source))
    for name, count in Counter(entry.name for entry in entries).items():
        if count > 1:
            raise UserError(f"{source.name} holds {name} more than once: repack it.")
    rejected = [Rejected(name=entry.name, reason=entry.reason) for entry in entries if entry.reason]
    return Listing([entry.name for entry in entries if not entry.reason], rejected)


def read_images(source: Path, names: list[str]) -> Iterator[tuple[str, Read]]:
    """Yield (name, function that returns the encoded image) for the given names, in their order, which is the source's.

    The functions may be called from any thread, at any time. A compressed tar can be read from its beginning only: there they hold
    the content already. What they raise for an image that can't be read is in `GONE_WRONG`; one of absurd size is a ValueError.
    """
    if source.is_dir():
        yield from ((name, partial(_read_file, source / name)) for name in names)
    elif zipfile.is_zipfile(source):
        yield from _from_zip(source, names)
    elif _is_plain(source):
        yield from _from_tar(source, names)
    else:
        yield from _from_compressed(source, set(names))


@dataclass(frozen=True)
class _Entry:
    name: str
    reason: str = ""  # why it is not read


def _entries(source: Path) -> Iterator[_Entry]:
    """Yield everything that is called like an image."""
    if source.is_dir():
        yield from _of_folder(source)
    else:
        with _sound(source):
            yield from _of_zip(source) if zipfile.is_zipfile(source) else _of_tar(source)


def _of_folder(folder: Path) -> Iterator[_Entry]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    yield from (_Entry(name) for name in sorted(path.relative_to(folder).as_posix() for path in found))


def _of_zip(archive: Path) -> Iterator[_Entry]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if _is_image(member.filename):
                kind = member.external_attr >> 16
                link = "a link" if stat.S_ISLNK(kind) else "encrypted" if member.flag_bits & 1 else ""
                yield _Entry(_plain_name(member.filename), link or _why_not(member.filename))


def _of_tar(archive: Path) -> Iterator[_Entry]:
    with tarfile.open(archive) as opened:
        for member in _members(opened):
            if _is_image(member.name) and not member.isdir():
                other = (
                    "a link" if member.issym() or member.islnk() else "" if member.isreg() and not member.issparse() else "no plain file"
                )
                yield _Entry(_plain_name(member.name), other or _why_not(member.name))


def _members(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in iter(opened.next, None):
        opened.members = []  # it would keep all of them
        yield member


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _plain_name(name: str) -> str:
    return name.removeprefix("./")


def _why_not(name: str) -> str:
    """Return why an archive's entry must not be used by its name, which files may be called after."""
    path = PurePosixPath(name.replace("\\", "/"))
    return "its path leaves the archive" if path.is_absolute() or ".." in path.parts else ""


def _from_zip(archive: Path, names: list[str]) -> Iterator[tuple[str, Read]]:
    with _sound(archive):
        opened = zipfile.ZipFile(archive)  # closed when the last function is gone; it takes turns by itself where two threads read
        members = {_plain_name(member.filename): member for member in opened.infolist()}
        for name in names:
            yield name, partial(_read_member, opened, members[name])


def _from_tar(archive: Path, names: list[str]) -> Iterator[tuple[str, Read]]:
    """Read by position, so that threads need not take turns; opened for each image, since an iterator may end before its last read."""
    wanted = set(names)
    with _sound(archive), tarfile.open(archive, "r:") as opened:
        for member in _members(opened):
            name = _plain_name(member.name)
            if name in wanted:
                yield name, partial(_read_at, archive, member.offset_data, member.size)


def _from_compressed(archive: Path, wanted: set[str]) -> Iterator[tuple[str, Read]]:
    with _sound(archive), tarfile.open(archive) as opened:
        for member in _members(opened):
            if _plain_name(member.name) in wanted:
                content = opened.extractfile(member).read() if member.size <= MOST_BYTES else b""
                yield _plain_name(member.name), partial(_kept, content, member.size)


def _read_file(path: Path) -> bytes:
    return _read_at(path, 0, path.stat().st_size)


def _read_at(path: Path, at: int, size: int) -> bytes:
    _refuse_absurd(size)
    with path.open("rb", buffering=0) as file:
        file.seek(at)
        content = file.read(size)
    if len(content) < size:
        raise EOFError(f"{path.name} ends within it")
    return content


def _read_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    _refuse_absurd(member.file_size)
    return opened.read(member)


def _kept(content: bytes, size: int) -> bytes:
    _refuse_absurd(size)
    return content


def _refuse_absurd(size: int) -> None:
    if size > MOST_BYTES:
        raise ValueError(f"{size / 1e9:.1f} GB: too large for an image")


def _is_plain(archive: Path) -> bool:
    try:
        with tarfile.open(archive, "r:"):
            return True
    except tarfile.TarError:
        return False


@contextmanager
def _sound(archive: Path) -> Iterator[None]:
    """Say what goes wrong while an archive is walked through as a UserError."""
    try:
        yield
    except GONE_WRONG as error:
        raise UserError(f"{archive.name} is damaged ({error}): fetch it again.") from error
