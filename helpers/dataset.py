"""Images and labels -> a checked manifest: which images there are, in which order, and the class of each."""

import csv
import lzma
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import files, photographs, sources
from helpers.elements import Sentence
from helpers.errors import UserError
from helpers.params import PrepareData

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".tif", ".tiff")
NO_LABEL = -1


@dataclass(frozen=True)
class Manifest:
    """Image names (paths below the root of the source) and class indices int32 [N]; NO_LABEL where there are no labels."""

    names: list[str]
    labels: np.ndarray

    def save(self, path: Path) -> None:
        """Write `name,label` lines."""
        with files.whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "label"])
            writer.writerows(zip(self.names, self.labels.tolist(), strict=True))


def load(path: Path) -> Manifest:
    """Return a manifest that `save` wrote."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    return Manifest([row["name"] for row in rows], np.array([int(row["label"]) for row in rows], np.int32))


def read(source: Path, labels: str, classes: int | None) -> Manifest:
    """Return the manifest of every image, in the order in which the source yields them.

    Labels (a file; empty for none) and images must match one to one; `classes` bounds the labels when it is known.
    """
    names = list_names(source)
    if not names:
        raise UserError(f"{source.name} holds no images ({', '.join(SUFFIXES)}): give a folder or a tar of images.")
    if not labels:
        return Manifest(names, np.full(len(names), NO_LABEL, np.int32))
    known = read_labels(sources.existing("labels", labels), classes)
    keys = _keys(names)
    unlabelled = [key for key in keys if key not in known]
    missing = sorted(set(known) - set(keys))
    if unlabelled or missing:
        parts = [f"{len(unlabelled)} images have no label (first: {unlabelled[0]})"] if unlabelled else []
        parts += [f"{len(missing)} labels have no image (first: {missing[0]})"] if missing else []
        raise UserError(f"{source.name} and {labels} do not match: {' and '.join(parts)}; complete one or shorten the other.")
    return Manifest(names, np.array([known[key] for key in keys], np.int32))


def in_words(manifest: Manifest) -> Sentence:
    """Return how many images there are and how they spread over the classes."""
    counts = np.bincount(manifest.labels[manifest.labels != NO_LABEL])
    counts = counts[counts > 0]
    if not len(counts):
        return Sentence(f"{len(manifest.names)} images without labels: they serve for speed, not for accuracy.", "warning")
    each = f"{counts.min()} each" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()} each"
    return Sentence(f"{len(manifest.names)} images of {len(counts)} classes, {each}; every image has one label and every label one image.")


def body(settings: PrepareData, source: Path, manifest: Manifest, classes: int | None, names: list[str]) -> dict:
    """Return what data.json says of the source."""
    return {
        "source": settings.images if not Path(settings.images).is_absolute() else source.name,
        "source_sha256": files.sha256(source),
        "labels_source": Path(settings.labels).name,
        "classes": classes or int(manifest.labels.max()) + 1,
        "class_names": names,
    }


def read_labels(path: Path, classes: int | None) -> dict[str, int]:
    """Return image name -> class index of a `val_label.txt`: one `name index` a line."""
    labels, wrong = {}, []
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise UserError(f"{path.name} can't be read ({error.strerror}): give a file of lines 'name index'.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        *name, text = line.strip().rsplit(None, 1)
        name = "".join(name)
        if not name or not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
            wrong.append(f"line {number} is not 'name index': {line.strip()[:60]!r}")
        elif name in labels:
            wrong.append(f"line {number} names {name} a second time")
        elif int(text) < 0 or (classes is not None and int(text) >= classes):
            wrong.append(f"line {number}: class {text} is outside 0..{'' if classes is None else classes - 1}")
        else:
            labels[name] = int(text)
    if wrong:
        more = f" and {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
        raise UserError(f"{path.name}, {wrong[0]}{more}: correct the label file.")
    if not labels:
        raise UserError(f"{path.name} holds no labels: it needs one line 'name index' for each image.")
    return labels


def subset(manifest: Manifest, size: int, seed: int) -> Manifest:
    """Return `size` images, drawn with the seed and balanced over the classes, in the order of the manifest; 0 keeps all."""
    if size > len(manifest.names):
        raise UserError(f"subset {size} is more than the {len(manifest.names)} images there are: lower it or set it to 0.")
    if size in (0, len(manifest.names)):
        return manifest
    order = np.random.default_rng(seed).permutation(len(manifest.names))
    drawn, rank = Counter(), np.empty(len(order), np.int64)
    for position in order:  # the n-th image drawn of each class has rank n
        rank[position] = drawn[int(manifest.labels[position])]
        drawn[int(manifest.labels[position])] += 1
    chosen = np.sort(order[np.argsort(rank[order], kind="stable")][:size])
    return Manifest([manifest.names[i] for i in chosen], manifest.labels[chosen])


def open_source(images: str, artefacts: Path) -> Path:
    """Return the folder or archive to read; `photographs:<n>` makes one from packaged photographs first."""
    if images.startswith("photographs:"):
        return photographs.make(artefacts / "photographs", int(images.partition(":")[2]))
    path = sources.existing("images", images)
    try:
        readable = path.is_dir() or tarfile.is_tarfile(path)
    except (EOFError, OSError, zlib.error, lzma.LZMAError):
        readable = False
    if not readable:
        raise UserError(f"{images} is neither a folder nor a whole tar archive of images: give one of them.")
    return path


def list_names(source: Path) -> list[str]:
    """Return the names of the images in a folder (sorted) or archive (its own order)."""
    if source.is_dir():
        found = (path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        return sorted(path.relative_to(source).as_posix() for path in found)
    names = [name for name, _ in _members(source)]  # a compressed archive is read through twice: here and for its pixels
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{source.name} holds {twice[0]} more than once: repack it.")
    return names


def read_images(source: Path, names: list[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield (name, function that returns the encoded image) for the given names, in their order, which is the source's."""
    if source.is_dir():
        for name in names:
            yield name, (source / name).read_bytes
    else:
        wanted = set(names)
        yield from ((name, read) for name, read in _members(source) if name in wanted)


def _members(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield (name, function that returns the content) for each image of an archive, read in place."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and member.name.lower().endswith(SUFFIXES):
                    yield member.name.removeprefix("./"), lambda member=member: tar.extractfile(member).read()
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{archive.name} is damaged ({error}): fetch it again.") from error


def _keys(names: list[str]) -> list[str]:
    """Return the names as a label file has them: without the top folder that all of them share, if there is one."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    top = tops.pop() if len(tops) == 1 else ""
    return [name.removeprefix(f"{top}/") for name in names] if top else names
