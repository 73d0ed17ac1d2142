"""Images that are ready, and what is to be said of them."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers import dataset, files, formats, parts
from helpers.dataset import Manifest
from helpers.elements import Gallery, Group, Sentence, Table
from helpers.records import Rejected, Remark, Seen, Throughput, UnitDone
from helpers.store import Progress

MANIFEST = "manifest.csv"
SHOWN = 20  # images listed by name in the notebook; the record has all


@dataclass(frozen=True)
class Filled:
    """A finished store, what is to be said of its images, and of the workers that prepared them, if there were any."""

    path: Path
    progress: Progress
    units: list[UnitDone] = field(default_factory=list)
    worker_remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Prepared:
    """Images that are ready: which, those left out, what is to be known of them, how fast it went, and where they are."""

    folder: Path
    filled: Filled
    images: int
    sampled: bool  # the store has some of the images only, and so have rejects, remarks and duplicates
    stored: Manifest  # the rows of the store
    rejected: list[Rejected]
    remarks: list[Remark]
    duplicates: list[list[str]]  # names of images with the same bytes
    decoder: str
    seen: list[Seen]
    throughput: Throughput

    def in_words(self) -> Group:
        """Return what was made, and the images that were left out or need a word."""
        size = parts.open_pixels(self.filled.path).nbytes / 1e6
        rate = f"prepared at {self.throughput.images_per_second:,.0f} images per second, {size:,.1f} MB; decoded and resized {self.decoder}"
        count = len(self.stored.names)
        later = (
            f"; 3_accuracy prepares all {self.images:,} while it evaluates them, and says what is odd of the others" if self.sampled else ""
        )
        twice = sum(len(names) - 1 for names in self.duplicates)
        first = " and ".join(self.duplicates[0][:2]) if twice else ""
        return Group(
            [
                Sentence(f"{formats.counted(count, 'image')} {rate}{later}."),
                Sentence(f"{formats.counted(twice, 'image')} the same, byte by byte, as another: {first} first.", "warning")
                if twice
                else None,
                *(Sentence(remark, "warning") for remark in self.filled.worker_remarks),
                listed("left out", [[entry.name, entry.reason] for entry in self.rejected]),
                listed("to be known", [[entry.name, entry.text] for entry in self.remarks]),
            ]
        )

    def gallery(self, class_names: list[str], count: int = 10) -> Gallery:
        """Return the first image of each of the first classes as the model sees it."""
        labels = self.stored.labels
        chosen = np.sort(np.unique(labels, return_index=True)[1])[:count]
        if len(chosen) < count:  # few classes, or none
            chosen = np.union1d(chosen, np.arange(min(count, len(labels))))[:count]
        texts = [caption(self.stored.names[index], int(labels[index]), class_names) for index in chosen]
        return Gallery(parts.open_pixels(self.filled.path)[chosen], texts, "Resized and cropped; not yet normalised.")

    def body(self) -> dict:
        """Return what data.json says of the prepared images."""
        return {
            "images": self.images,
            "streamed": self.sampled,
            "manifest": f"artefacts/{MANIFEST}",
            "manifest_sha256": files.sha256(self.folder / MANIFEST),
            "tensors": f"artefacts/{self.filled.path.name}",
            "tensors_sha256": files.sha256(self.filled.path),
            "rejected": self.rejected,
            "remarks": self.remarks,
            "duplicates": self.duplicates,
            "decoder": self.decoder,
            "seen": self.seen,
            "throughput": self.throughput,
            "units": self.filled.units,
            "worker_remarks": self.filled.worker_remarks,
        }


def caption(name: str, label: int, class_names: list[str]) -> str:
    """Return what stands under an image: label and name of its class; its own name where it has no label."""
    if label == dataset.NO_LABEL:
        return name
    return f"{label} {class_names[label]}" if class_names else f"class {label}"


def listed(title: str, rows: list[list[str]]) -> Table | None:
    """Return the first images of a list with their reasons, None for an empty one."""
    more = f"{len(rows) - SHOWN} more are in data.json." if len(rows) > SHOWN else ""
    return Table([title, "reason"], rows[:SHOWN], more) if rows else None
