"""The fast path from an encoded JPEG to the uint8 crop, equal to Pillow's in every value.

The same libjpeg decodes, and Pillow's resize is repeated in its own integers, but only where the crop needs it. Where this does not
apply, the answer is None and `preprocess` does the work.
"""

import functools
import io

import numpy as np
from PIL import Image

from helpers import preprocess
from helpers.preprocess import Preprocess

BITS = 32 - 8 - 2  # of a coefficient's fraction in Pillow: a sum of 8-bit values fits into 32 bits, with two to spare
SAMPLES = [  # width, height, mode, JPEG options
    (500, 375, "RGB", {"subsampling": 2}),
    (97, 301, "RGB", {"subsampling": 0}),
    (160, 120, "RGB", {"subsampling": 2, "progressive": True}),
    (120, 90, "L", {}),
]


def to_pixels(encoded: bytes, how: Preprocess, max_pixels: int) -> np.ndarray | None:
    """Return the resized and cropped RGB image, uint8 [crop, crop, 3]; None for whatever Pillow must do, or refuse, itself."""
    if not encoded.startswith(b"\xff\xd8\xff") or how.resizer != "pillow" or how.interpolation not in FILTERS:
        return None
    try:
        import simplejpeg  # with numba absent on device hosts, where images arrive prepared

        height, width, colours, _ = simplejpeg.decode_jpeg_header(encoded)
        if colours not in ("YCbCr", "Gray") or width * height > max_pixels:  # of CMYK, Pillow and libjpeg make different RGB
            return None
        image = simplejpeg.decode_jpeg(encoded, colorspace="RGB", fastdct=False, fastupsample=False)
        return _resized(image, how)
    except (ImportError, ValueError):
        return None


@functools.cache
def agrees(how: Preprocess) -> bool:
    """Return whether `to_pixels` equals Pillow on this machine, with these versions, on a few JPEGs of noise."""
    random = np.random.default_rng(0)
    for width, height, mode, options in SAMPLES:
        encoded = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).convert(mode).save(encoded, "JPEG", **options)
        fast = to_pixels(encoded.getvalue(), how, width * height)
        if fast is None or not np.array_equal(fast, preprocess.to_pixels(preprocess.decode(encoded.getvalue()), how)):
            return False
    return True


def _resized(image: np.ndarray, how: Preprocess) -> np.ndarray:
    """Return the crop of the resized image: horizontally first, as Pillow does, with uint8 between the two."""
    height, width = image.shape[:2]
    (new_width, new_height), left, top = preprocess.geometry(width, height, how)
    columns, x_starts, x_weights = coefficients(width, new_width, left, how.crop, how.interpolation)
    rows, y_starts, y_weights = coefficients(height, new_height, top, how.crop, how.interpolation)
    blended, transposed = compiled(_blended), compiled(_transposed)
    across = blended(transposed(image[rows, columns]), x_starts, x_weights)  # whole columns, so that the inner loop is contiguous
    return blended(transposed(across), y_starts, y_weights)


@functools.lru_cache(maxsize=1024)
def coefficients(size: int, new_size: int, first: int, count: int, interpolation: str) -> tuple[slice, np.ndarray, np.ndarray]:
    """Return what `count` values from `first` on of a resized axis are made of.

    That is the part of the axis that is read, where in it each value's sum begins, intp [count], and the coefficients,
    int32 [count, taps].
    """
    support, curve = FILTERS[interpolation]
    scale = size / new_size
    stretch = max(scale, 1.0)
    reach = support * stretch
    centres = (np.arange(first, first + count) + 0.5) * scale
    starts = np.maximum((centres - reach + 0.5).astype(np.intp), 0)
    stops = np.minimum((centres + reach + 0.5).astype(np.intp), size)
    positions = starts[:, None] + np.arange((stops - starts).max())
    distances = np.abs((positions - centres[:, None] + 0.5) * (1.0 / stretch))
    exact = np.where(positions < stops[:, None], curve(distances), 0.0)
    exact /= np.cumsum(exact, axis=1)[:, -1:]  # one after the other as in C; np.sum adds in another order
    weights = np.trunc(exact * (1 << BITS) + np.copysign(0.5, exact)).astype(np.int32)
    return slice(int(starts[0]), int(stops[-1])), starts - starts[0], weights


def _bilinear(x: np.ndarray) -> np.ndarray:
    return np.where(x < 1, 1.0 - x, 0.0)


def _bicubic(x: np.ndarray) -> np.ndarray:
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


FILTERS = {"bilinear": (1.0, _bilinear), "bicubic": (2.0, _bicubic)}


@functools.cache
def compiled(function):
    """Return the function as machine code that does not hold the GIL, kept on disk where there is a place to write."""
    import numba

    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither __pycache__ nor a cache folder of the user can be written
        return numba.njit(nogil=True)(function)


def _transposed(image):
    """Return [x, y, 3] of an image [y, x, 3]."""
    height, width = image.shape[:2]
    out = np.empty((width, height, 3), np.uint8)
    for x in range(width):
        for y in range(height):
            for channel in range(3):
                out[x, y, channel] = image[y, x, channel]
    return out


def _blended(image, starts, weights):
    """Return [count, x, 3] uint8: each line is the weighted sum of the lines [x, 3] from its start on."""
    lines = image.reshape(len(image), -1)
    out = np.empty((len(starts), lines.shape[1]), np.uint8)
    sums = np.empty(lines.shape[1], np.int32)
    for i in range(len(starts)):
        sums[:] = 1 << (BITS - 1)
        for tap in range(weights.shape[1]):
            weight = weights[i, tap]
            if weight != 0:  # beyond the last line all are 0
                line = lines[starts[i] + tap]
                for j in range(len(sums)):
                    sums[j] += weight * line[j]
        for j in range(len(sums)):
            out[i, j] = min(max(sums[j] >> BITS, 0), 255)
    return out.reshape(len(starts), image.shape[1], 3)
