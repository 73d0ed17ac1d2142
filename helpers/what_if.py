"""What if the images were prepared otherwise? How far the tensors, and top-1, depend on each step of the preparation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from helpers import accuracy, archives, backends, dataset, files, formats, paired, preprocess
from helpers.backends import Backend
from helpers.elements import Gallery, Group, Sentence, Table
from helpers.preprocess import Preprocess
from helpers.records import Comparison, Data, Model, Result
from helpers.steps import Step
from helpers.tensors import Tensors

Pixels = Mapping[str, np.ndarray]
AS_IS, AS_IS_WORDS = "prepared", "as prepared"
FILE = "what_if.npz"


@dataclass(frozen=True)
class Variant:
    """One way to prepare the images; without a decoder it takes the pixels of the preparation as it is."""

    key: str
    words: str
    how: Preprocess
    decode: Callable[[bytes], Image.Image] | None = None

    @property
    def stored(self) -> str:
        """Return the key that its pixels are stored under."""
        return self.key if self.decode else AS_IS


@dataclass(frozen=True)
class WhatIf:
    """Images prepared in several ways: key of a variant -> uint8 [M, crop, crop, 3], images in the order of their names."""

    folder: Path
    how: Preprocess
    names: list[str]
    pixels: Pixels

    def table(self) -> Table:
        """Return how far the tensors of each variant are from those as prepared; dashes where no image could be read."""
        rows = [[variant.words, *self._differences(variant)] for variant in variants(self.how)[1:]]
        headers = ["what if", "values that differ, %", "mean difference", "largest difference"]
        images = formats.counted(len(self.names), "image")
        return Table(headers, rows, f"{images}, against their tensors as prepared; differences are absolute, of the values that go in")

    def gallery(self) -> Gallery:
        """Return the first image under each variant that has pixels of its own."""
        shown = [variant for variant in variants(self.how) if variant.decode and self.names]
        pictures = np.array([self.pixels[variant.key][0] for variant in shown], np.uint8)
        return Gallery(pictures, [variant.words for variant in shown], "The same image prepared otherwise; not yet normalised.")

    def body(self) -> dict[str, str]:
        """Return what data.json says of them."""
        return {"what_if": f"artefacts/{FILE}", "what_if_sha256": files.sha256(self.folder / FILE)}

    def _differences(self, variant: Variant) -> list[str | None]:
        """Return share of values that differ in percent, mean and largest absolute difference, as text."""
        if not self.names:
            return [None] * 3
        each = []
        for mine, theirs in zip(self.pixels[variant.stored], self.pixels[AS_IS], strict=True):  # one by one: float32 takes much room
            tensors = preprocess.to_tensor(mine[None], variant.how), preprocess.to_tensor(theirs[None], self.how)
            difference = np.abs(np.subtract(*tensors, dtype=np.float32))  # bytes would wrap around
            each.append((100 * (difference > 0).mean(), difference.mean(), difference.max()))
        share, mean, most = zip(*each, strict=True)
        return [f"{value:.3g}" for value in (np.mean(share), np.mean(mean), max(most))]


def variants(how: Preprocess) -> list[Variant]:
    """Return the preparation as it is, then others that each change one step; mean and std stay where they are the model's (uint8)."""

    def but(**changed: object) -> Preprocess:
        return how.model_copy(update=changed)

    pillow = preprocess.decode
    resizer, does = ("cv2", "OpenCV, which does not antialias") if how.resizer == "pillow" else ("pillow", "Pillow, which antialiases")
    filtered = "bilinear" if how.interpolation == "bicubic" else "bicubic"
    short = how.crop if how.crop < how.resize_short else round(how.crop * 256 / 224)
    order = "BGR" if how.channel_order == "RGB" else "RGB"
    made = [
        Variant(AS_IS, AS_IS_WORDS, how, pillow),
        Variant("decoder", "decoded by OpenCV instead of Pillow", how, _by_opencv),
        Variant("resizer", f"resized by {does}", but(resizer=resizer), pillow),
        Variant("interpolation", f"{filtered} instead of {how.interpolation}", but(interpolation=filtered), pillow),
        Variant("crop", f"short side {short} instead of {how.resize_short} before the crop to {how.crop}", but(resize_short=short), pillow),
        # each place keeps its mean and std, whatever colour comes there
        Variant("channels", "red and blue exchanged", but(channel_order=order, mean=how.mean[::-1], std=how.std[::-1])),
    ]
    if how.dtype == "float32":
        made.append(Variant("unit", "only divided by 255: mean 0, std 1", but(mean=(0.0,) * 3, std=(255.0,) * 3)))
    if how.dtype == "float32" and min(how.mean) > 0:
        made.append(Variant("exchanged", "mean and std exchanged", but(mean=how.std, std=how.mean)))
    return made


def prepare(source: Path, manifest: dataset.Manifest, how: Preprocess, folder: Path, count: int = 200) -> WhatIf:
    """Prepare `count` images, spread evenly over the manifest, in every way that needs other pixels, and keep them in the folder.

    An image that can't be read is left out: the preparation itself reports it.
    """
    spread = np.linspace(0, len(manifest.names) - 1, min(count, len(manifest.names)))
    wanted = [manifest.names[place] for place in spread.round().astype(int)]
    made = [variant for variant in variants(how) if variant.decode]
    names, rows = [], []
    for name, read in tqdm(archives.read_images(source, wanted), total=len(wanted), desc="what if", unit="image"):
        try:
            encoded = read()
            rows.append([preprocess.to_pixels(variant.decode(encoded), variant.how) for variant in made])
        except (ValueError, *archives.GONE_WRONG):
            continue
        names.append(name)
    stacked = np.array(rows, np.uint8).reshape(len(rows), len(made), how.crop, how.crop, 3)
    pixels = {variant.key: stacked[:, place] for place, variant in enumerate(made)}
    with files.whole(folder / FILE) as temporary:
        np.savez(temporary, names=np.array(names, str), **pixels)
    return WhatIf(folder, how, names, pixels)


def evaluate(step: Step, data: Data, model: Model, candidate: Result) -> Group | Sentence:
    """Return top-1 of the candidate for each variant on the same images, and which of them tell; a sentence where there is none."""
    if not candidate.evaluated:
        return _not_evaluated(candidate.reason)
    if not data.what_if or _hash(step.folder / data.what_if) != data.what_if_sha256:
        return _not_evaluated("the images prepared otherwise are not here, 1_prepare_data makes them")
    manifest = dataset.load(step.folder / data.manifest)
    labels = dict(zip(manifest.names, manifest.labels.tolist(), strict=True))
    with backends.load(step.folder, model, step.settings) as backend, np.load(step.folder / data.what_if, allow_pickle=False) as pixels:
        if backend.recorded:
            return _not_evaluated("the recorded answers are to the images as prepared")
        how = backend.expects(data.preprocess)
        right = _right(backend, how, pixels, labels, step.settings.batch_size)
        if not right:
            return _not_evaluated("none of the images prepared otherwise is in this run")
        remark = "; it normalises by itself, so that no other mean and std can be tried" if how.dtype == "uint8" else ""
        return _compared(right, f"{backend.identity}{remark}")


def _by_opencv(encoded: bytes) -> Image.Image:
    """Return the image as OpenCV decodes it by default, turned as EXIF says; ValueError when it can't."""
    import cv2  # absent on device hosts, where images arrive prepared

    try:
        decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(str(error)) from error
    if decoded is None:
        raise ValueError("OpenCV can't decode it")
    return Image.fromarray(decoded[..., ::-1])


def _hash(path: Path) -> str | None:
    return files.sha256(path) if path.is_file() else None


def _not_evaluated(reason: str) -> Sentence:
    return Sentence(f"What another preparation does to top-1 was not evaluated: {reason}.")


def _right(backend: Backend, how: Preprocess, pixels: Pixels, labels: dict[str, int], batch_size: int) -> dict[str, np.ndarray]:
    """Return words of each variant -> bool [M]: is the answer right; images without a label are left out, empty when all are."""
    names = pixels["names"].tolist()
    chosen = np.array([name in labels for name in names], bool)
    if not chosen.any():
        return {}
    expected = np.array([labels[name] for name in names if name in labels], np.int32)
    right = {}
    for variant in variants(how):
        _, classes, _ = accuracy.evaluate(backend, Tensors(pixels[variant.stored][chosen], variant.how), batch_size)
        right[variant.words] = classes[:, 0] == expected
    return right


def _compared(right: dict[str, np.ndarray], caption: str) -> Group:
    """Return the sentence and the table that `_right` amounts to."""
    images = formats.counted(len(right[AS_IS_WORDS]), "image")
    top1 = {words: f"{100 * answers.mean():.1f}" for words, answers in right.items()}
    found = [paired.compare(AS_IS_WORDS, words, right[AS_IS_WORDS], answers) for words, answers in right.items() if words != AS_IS_WORDS]
    rows = [[AS_IS_WORDS, top1[AS_IS_WORDS], None, None], *([one.b, top1[one.b], one.only_a, one.only_b] for one in found)]
    headers = ["what if", "top-1, %", "right only as prepared", "right only so"]
    return Group([Sentence(_in_words(found, top1, images)), Table(headers, rows, f"{images}, {caption}")])


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
