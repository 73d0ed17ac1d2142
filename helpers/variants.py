"""Ways to prepare images: as a model's configuration says, and others that each change one step."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from helpers import preprocess
from helpers.preprocess import Preprocess

AS_IS, AS_IS_WORDS = "prepared", "as prepared"


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
