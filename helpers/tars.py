"""Tars whose headers may be damaged or made to mislead: read to their real end, and what of them is no plain file."""

import tarfile
from collections.abc import Iterator


class Header(tarfile.TarInfo):
    """A header of which a broken one is an error anywhere: by itself, tarfile takes it for the end, as if nothing were missing."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> tarfile.TarInfo:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"its list of files ends with {error}") from error


def members(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of a tar that was opened with `Header`, none of them kept."""
    at = -1
    for member in iter(opened.next, None):
        if opened.offset <= at:  # a negative size, by which tarfile would go round for ever
            raise tarfile.ReadError("a file of negative size")
        at = opened.offset
        opened.members = []  # it would keep all of them
        yield member


def odd(member: tarfile.TarInfo) -> str:
    """Return why a tar's entry is not read, empty for a plain file."""
    if member.issym() or member.islnk():
        return "a link"
    return "" if member.isreg() and not member.issparse() else "no plain file"
