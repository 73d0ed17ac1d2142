"""What the images look like on which a configuration answers otherwise than the candidate, with both answers and how sure they were."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import dataset, files, formats, pairs, pictures
from helpers.elements import RIGHT, WRONG, Gallery, Group, Sentence, Table
from helpers.labels import NO_LABEL
from helpers.pairs import Pair
from helpers.records import Accuracy, Data, Result
from helpers.steps import Step

FILE, CSV = "flips.npz", "flips.csv"
SHOWN, SHOWN_IN_ALL = 12, 48  # of one configuration, and of all: at 8 kB each, 100 and 400 kB of HTML
SIDE = 96  # pixels of a picture at most
PICTURE_BYTES = 4500  # 6,000 in HTML, and the others for the text
NAME, CLASS = 28, 24  # characters that are shown of an image's or configuration's name, and of a class's


def keep(step: Step, data: Data, results: Sequence[Result]) -> dict[str, str]:
    """Write every two stages' different answers to flips.csv, those that are shown to an artefact; return what accuracy.json says of it.

    Nothing is written, and nothing said, where fewer than two stages have kept scores.
    """
    artefact, listed = step.artefacts / FILE, step.folder / CSV
    for stale in (artefact, listed):
        stale.unlink(missing_ok=True)
    found = list(pairs.found(step.folder, results))
    if not found:
        return {}
    names = dataset.load(step.folder / data.manifest).names
    pairs.write_csv(listed, found, names, data.class_names)
    shown = [pair for pair in found if pair.a is results[0]]
    with files.whole(artefact) as temporary:
        np.savez_compressed(temporary, **_columns(step.folder, data, shown, names))
    return {"flips_file": artefact.relative_to(step.folder).as_posix(), "flips_sha256": files.sha256(artefact)}


def gallery(folder: Path, record: Accuracy) -> Group | Sentence | None:
    """Return for each configuration how its answers differ from the candidate's and the surest of them, from record and artefact alone.

    None where there was nothing to compare; without the artefact a sentence, without its pictures tables.
    """
    if not record.flips_file:
        return None
    path = folder / record.flips_file
    if not path.is_file() or files.sha256(path) != record.flips_sha256:
        return Sentence(f"Images on which configurations differ are not shown: {path.name} is not here as 3_accuracy made it.")
    with np.load(path, allow_pickle=False) as read:
        kept = dict(read)
    elements = []
    for at, (sentence, caption) in enumerate(zip(kept["sentences"].tolist(), kept["captions"].tolist(), strict=True)):
        texts = kept["texts"][kept["pair"] == at].tolist()
        pictured = kept["thumbnails"][kept["thumbnail"][kept["pair"] == at]] if len(kept["thumbnails"]) else None
        elements += [Sentence(sentence), _shown(texts, pictured, caption) if texts else None]
    return Group(elements)


def _shown(texts: list[str], thumbnails: np.ndarray | None, caption: str) -> Gallery | Table:
    """Return pictures with their texts, or a table of the texts where there are no pictures."""
    if thumbnails is None:
        rows = [text.splitlines() for text in texts]
        return Table(["image", "class", "candidate", "the other"], rows, f"{caption} The images are not here any more.")
    return Gallery(thumbnails, texts, caption, PICTURE_BYTES)


def _columns(folder: Path, data: Data, shown: Sequence[Pair], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return what the artefact holds: of each pair its sentence and caption, of each image its pair, text and place among the thumbnails.

    Thumbnails are uint8 [M, side, side, 3], each image once; none where the images are gone.
    """
    most = min(SHOWN, SHOWN_IN_ALL // max(1, len(shown)))
    chosen = [(at, pair, row) for at, pair in enumerate(shown) for row in range(min(most, len(pair.mine)))]
    places = np.array([pair.mine.image[row] for _, pair, row in chosen], np.int32)
    distinct, thumbnail = np.unique(places, return_inverse=True)
    return {
        "sentences": np.array([pair.in_words() for pair in shown], str),
        "captions": np.array([_caption(pair, most) for pair in shown], str),
        "pair": np.array([at for at, _, _ in chosen], np.int32),
        "texts": np.array([_text(pair, row, names, data.class_names) for _, pair, row in chosen], str),
        "thumbnail": thumbnail.astype(np.int32),
        "thumbnails": _thumbnails(pictures.of(folder, data, distinct.tolist())),
    }


def _thumbnails(pixels: np.ndarray | None) -> np.ndarray:
    """Return pictures of at most 96 pixels a side, uint8 [M, side, side, 3]; M is 0 where there are no pixels."""
    if pixels is None or not len(pixels):
        return np.empty((0, 1, 1, 3), np.uint8)
    side = min(SIDE, pixels.shape[1])
    return np.array([np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.LANCZOS)) for one in pixels])


def _caption(pair: Pair, most: int) -> str:
    differ, marks = len(pair.mine), f" {RIGHT} right, {WRONG} wrong." if any(pair.right) else ""
    which = f"The {most} of {differ:,} on which both were surest" if differ > most else "The surest first"
    return f"{which}, by the smaller of the two probabilities.{marks} All are in {CSV}."


def _text(pair: Pair, row: int, names: Sequence[str], class_names: Sequence[str]) -> str:
    """Return the lines under a picture: the image's name, its class, and what each of the two answered with its probability."""
    label, right = int(pair.mine.label[row]), pair.right[row]
    lines = [_end(names[pair.mine.image[row]]), f"true: {_class(label, class_names)}" if label != NO_LABEL else "no label"]
    for side, name, given in zip("ab", pair.names, (pair.mine, pair.theirs), strict=True):
        mark = "" if not right else f"{RIGHT} " if right == side else f"{WRONG} "
        lines.append(f"{mark}{_end(name)}: {_class(int(given.answer[row]), class_names)} {given.probability[row, 0]:.2f}")
    return "\n".join(lines)


def _class(index: int, class_names: Sequence[str]) -> str:
    name = formats.visible(pairs.class_name(index, class_names))
    return f"{index} {name if len(name) <= CLASS else f'{name[: CLASS - 1]}…'}".rstrip()


def _end(name: str) -> str:
    """Return a name, of a long one its end, where the numbers are."""
    shown = formats.visible(name)
    return shown if len(shown) <= NAME else f"…{shown[1 - NAME :]}"
