"""Encoded images by their names, any of them without those before it: for workers, which take them unit by unit on hosts of their own."""

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers import archives, environment
from helpers.archives import Read
from helpers.errors import UserError
from helpers.remote import Address, Source

PACKAGES = ("pillow", "simplejpeg", "numba", "numpy", "opencv-python")  # that decide pixels


@dataclass(frozen=True)
class Place:
    """Where every host finds the images, and by what one that would make others of them is told."""

    images: str  # as the parameter has it
    bytes: int  # of an archive, by which another one is told in most cases; 0 of a folder
    packages: dict[str, str]

    @classmethod
    def of(cls, source: Source, images: str, artefacts: Path) -> "Place":
        """Return where the images of a parameter are that were opened on this host."""
        made = isinstance(source, Path) and source.is_relative_to(artefacts)  # photographs, which every host sees where they were made
        return cls(str(source) if made else images, _bytes(source), environment.versions(PACKAGES))


class ByName:
    """The images of a place as this host sees them; UserError where it has others. The list of an archive is read once."""

    def __init__(self, place: Place, artefacts: Path):
        here = environment.versions(PACKAGES)
        if differ := [name for name in PACKAGES if here[name] != place.packages[name]]:
            what = f"{differ[0]} {here[differ[0]]} where the run has {place.packages[differ[0]]}"
            raise UserError(f"{platform.node()} has {what}: install the same packages on all hosts.")
        try:
            self._source = archives.open_source(place.images, artefacts)
        except UserError as error:  # what is said of a parameter: of which host is not
            raise UserError(f"on {platform.node()} {error}") from error
        if _bytes(self._source) != place.bytes:
            raise UserError(f"{platform.node()} has another {place.images}, of another size: give all hosts the same.")
        self._reads = None if self._source.is_dir() else dict(archives.read_images(self._source, archives.listing(self._source).names))

    @property
    def name(self) -> str:
        return self._source.name

    def __call__(self, names: Sequence[str]) -> Iterable[tuple[str, Read]]:
        """Yield (name, function that returns the encoded image) of those that are there.

        A host that does not see one must not take it for one that is broken.
        """
        if self._reads is not None:
            return ((name, self._reads[name]) for name in names if name in self._reads)
        elsewhere = isinstance(self._source, Address)  # which is the same from every host
        return archives.read_images(self._source, [name for name in names if elsewhere or (self._source / name).is_file()])


def _bytes(source: Source) -> int:
    if source.is_dir():
        return 0
    return source.info()["size"] if isinstance(source, Address) else source.stat().st_size
