"""Did two runs see the same pixels? Fingerprints of the first images of a run, and the first step at which two runs differ."""

import hashlib
from collections.abc import Sequence

import numpy as np

from helpers import formats, preprocess
from helpers.dataset import Manifest
from helpers.preprocess import Preprocess
from helpers.records import Data, Seen, readable

COUNT = 64  # images: another decoder, resize or normalisation shows in the first ones
NORMALISATION = ("mean", "std", "channel_order", "layout", "dtype")  # the other keys decide the pixels
Pair = tuple[Seen, Seen]


def of(names: Sequence[str], digests: Sequence[str], pixels: np.ndarray, how: Preprocess) -> list[Seen]:
    """Return the fingerprints of the first 64 images: their names, sha256 of their encoded bytes, pixels uint8 [N, crop, crop, 3]."""
    rows = np.array(pixels[:COUNT])
    return [
        Seen(name=name, file=digest, pixels=_sha256(row), tensor=_sha256(tensor))
        for name, digest, row, tensor in zip(names[:COUNT], digests[:COUNT], rows, preprocess.to_tensor(rows, how), strict=True)
    ]


def differs(a: Data, b: Data, listed: tuple[Manifest, Manifest] | None = None) -> str:
    """Return the first step at which a (here) and b (there) differ, as a phrase; empty when they saw the same pixels.

    In order: which images, their encoded bytes, decoding with resize and crop, normalisation. `listed` are the manifests of both, where
    they are at hand: then the first image that only one has is named.
    """
    if a.manifest_sha256 != b.manifest_sha256:
        return _images(a, b, listed)
    if not (a.seen and b.seen):
        return "they can't be shown to have seen the same pixels: an older 1_prepare_data left no fingerprints of the images"
    theirs = {seen.name: seen for seen in b.seen}
    pairs = [(seen, theirs[seen.name]) for seen in a.seen if seen.name in theirs]
    if not pairs:
        return "they can't be shown to have seen the same pixels: no image has a fingerprint in both"
    return _encoded(pairs) or _pixels(a, b, pairs) or _tensors(a, b, pairs)


def _sha256(array: np.ndarray) -> str:
    """Return the hash of an array's type, shape and values."""
    return hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode() + array.tobytes()).hexdigest()


def _images(a: Data, b: Data, listed: tuple[Manifest, Manifest] | None) -> str:
    """Return how two manifests differ: in their images, the order of these or their labels."""
    counts = f"{formats.counted(a.images, 'image')} here and {b.images:,} there"
    if not listed:
        return f"their images or labels differ, {counts}"
    here, there = listed
    if here.names == there.names:
        differ = np.flatnonzero(here.labels != there.labels)
        first = differ[0]
        labels = f"{here.labels[first]} here, {there.labels[first]} there"
        return f"the labels of {len(differ):,} of {formats.counted(a.images, 'image')}, first {readable(here.names[first])}: {labels}"
    for mine, other, where in ((here, there, "here"), (there, here, "there")):
        known = set(other.names)
        if only := next((name for name in mine.names if name not in known), None):
            return f"{counts}, {readable(only)} only {where}"
    return f"their images are the same in another order, {counts}"


def _encoded(pairs: list[Pair]) -> str:
    """Return which image is another file under the same name, empty when none is known to be."""
    changed = [mine.name for mine, theirs in pairs if None not in (mine.file, theirs.file) and mine.file != theirs.file]
    return f"{changed[0]} is another file under the same name ({len(changed)} of {len(pairs)} looked at)" if changed else ""


def _pixels(a: Data, b: Data, pairs: list[Pair]) -> str:
    """Return what makes the pixels differ; parameters that differ count even where the images looked at came out alike."""
    keys = [key for key in Preprocess.model_fields if key not in NORMALISATION]
    other_code = any(mine.pixels != theirs.pixels for mine, theirs in pairs)
    return _parameters(a, b, keys) or (f"decoded or resized by other code (decoder {a.decoder} / {b.decoder})" if other_code else "")


def _tensors(a: Data, b: Data, pairs: list[Pair]) -> str:
    """Return what makes the tensors of the same pixels differ."""
    other_code = any(mine.tensor != theirs.tensor for mine, theirs in pairs)
    return _parameters(a, b, NORMALISATION) or ("normalised by other code, with the same parameters" if other_code else "")


def _parameters(a: Data, b: Data, keys: Sequence[str]) -> str:
    """Return the parameters that differ, with both values."""
    both = [(key, getattr(a.preprocess, key), getattr(b.preprocess, key)) for key in keys]
    return ", ".join(f"{key} is {_text(mine)} here and {_text(theirs)} there" for key, mine, theirs in both if mine != theirs)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
