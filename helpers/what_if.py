"""What if the images were prepared otherwise? How far the tensors, and top-1, depend on each step of the preparation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from helpers import accuracy, archives, backends, dataset, files, formats, paired, preprocess, scores
from helpers.backends import Backend
from helpers.dataset import Manifest
from helpers.elements import Gallery, Group, Sentence, Table
from helpers.errors import UserError
from helpers.prepared import caption
from helpers.preprocess import Preprocess
from helpers.records import Comparison, Data, Model, Result
from helpers.steps import Step
from helpers.tensors import Tensors
from helpers.variants import AS_IS, AS_IS_WORDS, Variant, variants

Pixels = Mapping[str, np.ndarray]
FILE = "what_if.npz"
MOST_BYTES = 64_000_000  # of pixels, all variants together
FEWEST, SHARE = 50, 4  # images evaluated at least; beyond them, all variants together cost a quarter of the accuracy


@dataclass(frozen=True)
class WhatIf:
    """Images prepared in several ways: key of a variant -> uint8 [M, crop, crop, 3], in the order of `images`; no key: none were made."""

    folder: Path
    how: Preprocess
    images: Manifest
    pixels: Pixels

    def in_words(self, class_names: list[str]) -> Group | Sentence:
        """Return how far the variants are from the preparation, and an image under each; a sentence where none were made."""
        if not self.pixels:
            return Sentence("No images were prepared otherwise: other_ways is 0.")
        return Group([self.table(), self.gallery(class_names)])

    def table(self) -> Table:
        """Return how far the tensors of each variant are from those as prepared; dashes where no image could be read."""
        rows = [[variant.words, *self._differences(variant)] for variant in variants(self.how)[1:]]
        headers = ["what if", "values that differ, %", "mean difference", "largest difference"]
        images = formats.counted(len(self.images.names), "image")
        return Table(headers, rows, f"{images}, against their tensors as prepared; differences are absolute, of the values that go in")

    def gallery(self, class_names: list[str]) -> Gallery:
        """Return the first image under each variant that has pixels of its own, with its class."""
        shown = [variant for variant in variants(self.how) if variant.decode and self.images.names]
        pictures = np.array([self.pixels[variant.key][0] for variant in shown], np.uint8)
        texts = [f"{variant.words}, {caption(self.images.names[0], int(self.images.labels[0]), class_names)}" for variant in shown]
        return Gallery(pictures, texts, "The same image prepared otherwise; not yet normalised.")

    def body(self) -> dict[str, str | None]:
        """Return what data.json says of them."""
        if not self.pixels:
            return {"what_if": None, "what_if_sha256": None}
        return {"what_if": f"artefacts/{FILE}", "what_if_sha256": files.sha256(self.folder / FILE)}

    def _differences(self, variant: Variant) -> list[str | None]:
        """Return share of values that differ in percent, mean and largest absolute difference, as text."""
        if not self.images.names:
            return [None] * 3
        each = []
        for mine, theirs in zip(self.pixels[variant.stored], self.pixels[AS_IS], strict=True):  # one by one: float32 takes much room
            tensors = preprocess.to_tensor(mine[None], variant.how), preprocess.to_tensor(theirs[None], self.how)
            difference = np.abs(np.subtract(*tensors, dtype=np.float32))  # bytes would wrap around
            each.append((100 * (difference > 0).mean(), difference.mean(), difference.max()))
        share, mean, most = zip(*each, strict=True)
        return [f"{value:.3g}" for value in (np.mean(share), np.mean(mean), max(most))]


@dataclass(frozen=True)
class Tried:
    """Top-1 of every variant against the preparation as it is: key of a variant -> comparison; none where none was evaluated."""

    comparisons: Mapping[str, Comparison]
    element: Group | Sentence

    def _repr_html_(self) -> str:
        return self.element._repr_html_()


def prepare(source: Path, manifest: Manifest, how: Preprocess, folder: Path, count: int) -> WhatIf:
    """Prepare up to `count` images, spread evenly over the manifest, in every way that needs other pixels, and keep them in the folder.

    There are no more than fit into 64 MB. An image that can't be read is left out: the preparation itself reports it. Of 0 images
    nothing is made.
    """
    if not count:
        (folder / FILE).unlink(missing_ok=True)
        return WhatIf(folder, how, Manifest([], np.empty(0, np.int32)), {})
    made = [variant for variant in variants(how) if variant.decode]
    chosen = _spread(len(manifest.names), min(count, max(1, MOST_BYTES // (len(made) * how.crop**2 * 3))))
    labels = {manifest.names[place]: manifest.labels[place] for place in chosen}
    names, pixels = [], {variant.key: np.empty((len(chosen), how.crop, how.crop, 3), np.uint8) for variant in made}
    for name, read in tqdm(archives.read_images(source, list(labels)), total=len(labels), desc="what if", unit="image"):
        try:
            encoded = read()
            for variant in made:
                pixels[variant.key][len(names)] = preprocess.to_pixels(variant.decode(encoded), variant.how)
        except (ValueError, *archives.GONE_WRONG):
            continue
        names.append(name)
    pixels = {key: rows[: len(names)] for key, rows in pixels.items()}
    with files.whole(folder / FILE) as temporary:
        np.savez(temporary, names=np.array(names, str), **pixels)
    return WhatIf(folder, how, Manifest(names, np.array([labels[name] for name in names], np.int32)), pixels)


def evaluate(step: Step, data: Data, model: Model, candidate: Result) -> Tried:
    """Return top-1 of the candidate for each variant on the same images, and which of them tell; a sentence where there is none.

    The answers to the images as prepared are those that the accuracy has kept.
    """
    if not candidate.evaluated:
        return _not_evaluated(candidate.reason)
    if not data.what_if:
        return _not_evaluated("1_prepare_data made none (other_ways: 0)")
    kept = step.folder / data.what_if
    if not kept.is_file() or files.sha256(kept) != data.what_if_sha256:
        return _not_evaluated("the images prepared otherwise are not here, 1_prepare_data makes them")
    answers = _answers(step.folder, data, candidate)
    try:
        loaded = backends.load(step.folder, model, step.settings)
    except UserError as error:
        if step.settings.workers.engine == "serial":
            raise
        return _not_evaluated(f"workers evaluated the images, and this host can't load the model ({str(error).rstrip('.')})")
    with loaded as backend, np.load(kept, allow_pickle=False) as pixels:
        if backend.recorded:
            return _not_evaluated("the recorded answers are to the images as prepared")
        there = [(place, answers[name]) for place, name in enumerate(pixels["names"].tolist()) if name in answers]
        if not there:
            return _not_evaluated("none of the images prepared otherwise is in this run")
        how = backend.expects(data.preprocess)
        ways = variants(how)[1:]
        chosen = _spread(len(there), max(FEWEST, len(answers) // (SHARE * len(ways))))
        right = _right(backend, ways, pixels, dict(there[index] for index in chosen), step.settings.batch_size)
        fewer = f" (of {len(there):,}, to save time)" if len(chosen) < len(there) else ""
        remark = "; it normalises by itself, so that no other mean and std can be tried" if how.dtype == "uint8" else ""
        return _compared(right, ways, f"{fewer}, {backend.identity}{remark}")


@dataclass(frozen=True)
class _Ways:
    """The same images under one variant after another, so that a single evaluation covers all."""

    ways: list[Tensors]

    def __len__(self) -> int:
        return sum(map(len, self.ways))

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (places int32 [B], tensor [B, ...]) in order; a batch goes on from one variant to the next."""
        each = len(self.ways[0])
        for first in range(0, len(self), size):
            places = np.arange(first, min(first + size, len(self)), dtype=np.int32)
            yield places, np.concatenate([self.ways[place // each][[place % each]] for place in places])


def _not_evaluated(reason: str) -> Tried:
    return Tried({}, Sentence(f"What another preparation does to top-1 was not evaluated: {reason}."))


def _spread(total: int, count: int) -> np.ndarray:
    """Return up to `count` places spread evenly over `total`, int [M]."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int)


def _answers(folder: Path, data: Data, candidate: Result) -> dict[str, tuple[int, int]]:
    """Return name of each image that the accuracy covers -> its label and the class that was answered."""
    names = dataset.load(folder / data.manifest).names
    kept = scores.load(folder / candidate.scores_file)
    columns = names.take(kept.image), kept.label.tolist(), kept.answer.tolist()
    return {name: (label, answer) for name, label, answer in zip(*columns, strict=True)}


def _right(
    backend: Backend, ways: list[Variant], pixels: Pixels, chosen: dict[int, tuple[int, int]], batch_size: int
) -> dict[str, np.ndarray]:
    """Return key of each variant -> bool [M]: is the answer right; `chosen`: place among the pixels -> label and answer as prepared."""
    labels, answers = np.array(list(chosen.values()), np.int32).T
    stored = {key: pixels[key][list(chosen)] for key in {variant.stored for variant in ways}}
    tensors = _Ways([Tensors(stored[way.stored], way.how) for way in ways])
    right = accuracy.evaluate(backend, tensors, np.tile(labels, len(ways)), batch_size).right.reshape(len(ways), -1)
    return {AS_IS: answers == labels, **dict(zip((way.key for way in ways), right, strict=True))}


def _compared(right: dict[str, np.ndarray], ways: list[Variant], caption: str) -> Tried:
    """Return the comparisons, the sentence and the table that `_right` amounts to."""
    images = formats.counted(len(right[AS_IS]), "image")
    found = {way.key: paired.compare(AS_IS_WORDS, way.words, right[AS_IS], right[way.key]) for way in ways}
    top1 = {words: f"{100 * right[key].mean():.1f}" for key, words in [(AS_IS, AS_IS_WORDS), *((way.key, way.words) for way in ways)]}
    rows = [[AS_IS_WORDS, top1[AS_IS_WORDS], None, None], *([one.b, top1[one.b], one.only_a, one.only_b] for one in found.values())]
    headers = ["what if", "top-1, %", "right only as prepared", "right only so"]
    said = Sentence(_in_words(list(found.values()), top1, images))
    return Tried(found, Group([said, Table(headers, rows, f"{images}{caption}")]))


def _in_words(found: list[Comparison], top1: dict[str, str], images: str) -> str:
    """Return which variant is worst, which are better, and which these images can't tell from the preparation as it is."""
    worse, better = ([one for one in found if one.verdict == verdict] for verdict in ("WORSE", "BETTER"))
    untold = [one.b for one in found if one not in worse + better]
    said = []
    if worse:
        worst = max(worse, key=lambda one: one.only_a - one.only_b)
        said.append(f"Worst is '{worst.b}': top-1 {top1[worst.b]} % instead of {top1[AS_IS_WORDS]} %.")
    if better:
        said.append(f"Better than as prepared: {'; '.join(one.b for one in better)}.")
    if untold:
        said.append(f"Top-1 on {images} can't tell these from the preparation as it is: {'; '.join(untold)}.")
    return " ".join(said)
