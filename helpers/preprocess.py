"""The exact image pipeline: encoded image -> uint8 pixels -> the tensor that the model receives."""

import io
import re
import warnings
from pathlib import PurePath
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

Channels = Annotated[tuple[float, float, float], Field(strict=False)]  # YAML has lists, not tuples
PILLOW_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # max_pixels decides
MAX_PIXELS = Image.MAX_IMAGE_PIXELS  # from here on Pillow warns of a decompression bomb; twice that it refuses
FORMATS = {".jpg": ("JPEG", "MPO"), ".jpeg": ("JPEG", "MPO"), ".png": ("PNG",), ".bmp": ("BMP",), ".webp": ("WEBP",)}
ORIENTATION = 0x0112  # the EXIF tag


class Preprocess(BaseModel):
    """How an image becomes a model's input; sizes in pixels, mean and std in 0..255, always in RGB order."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    resize_short: Annotated[int, Field(gt=0, description="short side after the resize")]
    crop: Annotated[int, Field(gt=0, description="side of the centre crop")]
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"]
    mean: Channels
    std: Channels
    channel_order: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    dtype: Literal["float32", "uint8"] = "float32"  # uint8: mean and std live in the model
    resizer: Literal["pillow", "cv2"] = "pillow"  # they differ: cv2 does not antialias
    keep_aspect: bool = True  # False: stretched to resize_short x resize_short

    @model_validator(mode="after")
    def _crop_fits(self) -> "Preprocess":
        if self.crop > self.resize_short:
            raise ValueError(f"crop {self.crop} is larger than resize_short {self.resize_short}")
        if min(self.std) <= 0:
            raise ValueError("std must be positive in every channel")
        return self


def decode(encoded: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the decoded RGB image, EXIF orientation ignored as in the reference; ValueError says why it can't be used."""
    try:
        image = _open(encoded)
        if image.width * image.height > max_pixels:
            raise ValueError(f"{image.width} x {image.height} pixels: more than max_pixels")
        if image.mode.startswith(("I", "F")) or re.search(r"(?<!BGR);16", str(image.tile)):  # BGR;16 has less than 8
            raise ValueError(f"{image.mode} pixels: only 8-bit images can be converted without clipping")
        return image.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: broken PNG chunks
        raise ValueError("empty file" if not encoded else str(error).split(" <")[0]) from error


def remark(name: str, encoded: bytes) -> str:
    """Return what must be known of how an image was read, empty for most."""
    image, said = _open(encoded), []
    if image.format not in FORMATS.get(PurePath(name).suffix.lower(), (image.format,)):
        said.append(f"{image.format}, whatever its name says: read as what it is")
    if image.mode == "CMYK":
        said.append("CMYK: OpenCV, and with it mmcls, converts it to values that differ by 1")
    turned = _orientation(image)
    if turned != 1:
        said.append(f"EXIF orientation {turned} ignored, as in the reference; OpenCV, and with it mmcls, turns it")
    return "; ".join(said)


def _open(encoded: bytes) -> Image.Image:
    """Return an image of the formats that are meant: Pillow would go so far as to start Ghostscript for others."""
    return Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG", "BMP", "WEBP", "TIFF"))


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # whatever broken EXIF leads Pillow to; the pixels are none the worse
        return 1


def geometry(width: int, height: int, how: Preprocess) -> tuple[tuple[int, int], int, int]:
    """Return ((width, height) after the resize, left, top) of the crop in it, in pixels; ValueError where that is a bomb."""
    target = how.resize_short
    if not how.keep_aspect:
        size = (target, target)
    elif width <= height:
        size = (target, int(target * height / width))
    else:
        size = (int(target * width / height), target)
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels: resized they would be {size[0]} x {size[1]}")
    return size, round((size[0] - how.crop) / 2), round((size[1] - how.crop) / 2)


def to_pixels(image: Image.Image, how: Preprocess) -> np.ndarray:
    """Return the resized and cropped RGB image, uint8 [crop, crop, 3]."""
    size, left, top = geometry(*image.size, how)
    if size == image.size:
        pixels = np.asarray(image)
    elif how.resizer == "pillow":
        pixels = np.asarray(image.resize(size, PILLOW_FILTERS[how.interpolation]))
    else:
        import cv2  # absent on device hosts, where images arrive prepared

        code = {"nearest": 0, "bilinear": 1, "bicubic": 2, "lanczos": 4}[how.interpolation]
        pixels = cv2.resize(np.asarray(image), size, interpolation=code)
    return pixels[top : top + how.crop, left : left + how.crop]


def to_tensor(pixels: np.ndarray, how: Preprocess) -> np.ndarray:
    """Return uint8 pixels [N, H, W, 3] as the batch that the model receives.

    The float32 arithmetic is torchvision's, in its order (/255, -mean, /std), so that values are equal to the reference's.
    """
    if how.channel_order == "BGR":
        pixels = pixels[..., ::-1]
    if how.layout == "NCHW":
        pixels = pixels.transpose(0, 3, 1, 2)
    if how.dtype == "uint8":
        return np.ascontiguousarray(pixels)
    batch = np.ascontiguousarray(pixels, dtype=np.float32)
    order = slice(None) if how.channel_order == "RGB" else slice(None, None, -1)
    shape = (3, 1, 1) if how.layout == "NCHW" else (3,)
    batch /= np.float32(255)
    batch -= (np.array(how.mean[order]) / 255).astype(np.float32).reshape(shape)
    batch /= (np.array(how.std[order]) / 255).astype(np.float32).reshape(shape)
    return batch
