import io
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from helpers import fast_pixels, preprocess
from helpers.preprocess import Preprocess
from tests.conftest import png

pytest.importorskip("numba")
pytest.importorskip("simplejpeg")

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
IMAGENET = Preprocess(resize_short=256, crop=224, interpolation="bicubic", **PLAIN)
LIMIT = Image.MAX_IMAGE_PIXELS


@pytest.fixture(autouse=True)
def room_for_noise(monkeypatch):
    """Let Pillow write small progressive JPEGs of noise, for which its buffer is too short."""
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 1 << 23)


def picture(random, height, width):
    """Noise, a gradient, or something smooth; uint8 [height, width, 3]."""
    noise = random.integers(0, 256, (height, width, 3))
    slope = np.add.outer(np.linspace(0, 255, height), np.linspace(0, 255, width))[..., None] * random.uniform(0.2, 1, 3)
    coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    return (noise, slope % 256, 0.9 * np.asarray(coarse) + 0.1 * noise)[random.integers(3)].astype(np.uint8)


def jpeg(pixels, mode="RGB", **options):
    encoded = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(encoded, "JPEG", **options)
    return encoded.getvalue()


def random_jpeg(random):
    sizes = np.exp(random.uniform(np.log(20), np.log(1200), 2)).astype(int)  # one in four is taller than twice its width
    options = dict(quality=int(random.integers(60, 96)), subsampling=int(random.integers(3)), progressive=random.random() < 0.25)
    return jpeg(picture(random, *sizes), "L" if random.random() < 0.1 else "RGB", **options)


def differing(encoded, how):
    """Return how many values differ from Pillow's."""
    fast = fast_pixels.to_pixels(encoded, how, LIMIT)
    assert (fast.shape, fast.dtype) == ((how.crop, how.crop, 3), np.uint8)
    return np.count_nonzero(fast != preprocess.to_pixels(preprocess.decode(encoded), how))


@pytest.mark.parametrize("seed", range(6))
def test_no_value_differs_from_pillows_on_random_images(seed):
    random = np.random.default_rng(seed)
    assert [differing(random_jpeg(random), IMAGENET) for _ in range(60)] == [0] * 60


@pytest.mark.parametrize(
    ("short", "crop", "interpolation", "keep_aspect"),
    [
        (256, 224, "bilinear", True),
        (32, 32, "bilinear", True),
        (439, 384, "bicubic", True),
        (97, 96, "bicubic", False),
        (9, 1, "bicubic", True),
    ],
)
def test_no_value_differs_with_other_sizes_and_filters(short, crop, interpolation, keep_aspect):
    how = Preprocess(resize_short=short, crop=crop, interpolation=interpolation, keep_aspect=keep_aspect, **PLAIN)
    random = np.random.default_rng(short)
    assert [differing(random_jpeg(random), how) for _ in range(15)] == [0] * 15


@pytest.mark.parametrize("size", [(256, 256), (256, 400), (700, 256), (1, 1), (2, 300), (1200, 20), (20, 1200), (3000, 40)])
def test_no_value_differs_at_the_edges_of_geometry(size):
    assert differing(jpeg(picture(np.random.default_rng(0), *size)), IMAGENET) == 0


def test_the_exif_orientation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert differing(jpeg(picture(np.random.default_rng(0), 300, 400), exif=exif), IMAGENET) == 0


def test_threads_do_not_disturb_one_another():
    random = np.random.default_rng(0)
    encoded = [random_jpeg(random) for _ in range(16)]
    alone = [fast_pixels.to_pixels(one, IMAGENET, LIMIT) for one in encoded]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: fast_pixels.to_pixels(one, IMAGENET, LIMIT), encoded * 4))
    np.testing.assert_array_equal(together, alone * 4)


NOISE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


@pytest.mark.parametrize(
    ("encoded", "change"),
    [
        (b"", {}),
        (b"\xff\xd8\xff", {}),
        (b"not an image", {}),
        (png(NOISE), {}),
        (png(NOISE[..., 0].astype(np.uint16)), {}),
        (jpeg(NOISE, "CMYK"), {}),
        (jpeg(NOISE, keep_rgb=True), {}),
        (jpeg(NOISE)[:-2000], {}),
        (jpeg(NOISE)[:-2], {}),
        (jpeg(NOISE), {"interpolation": "lanczos"}),
        (jpeg(NOISE), {"interpolation": "nearest"}),
        (jpeg(NOISE), {"resizer": "cv2"}),
    ],
    ids=["empty", "magic-only", "text", "png", "16-bit", "cmyk", "rgb", "truncated", "no-end", "lanczos", "nearest", "cv2"],
)
def test_what_it_is_not_for_is_left_to_pillow(encoded, change):
    assert fast_pixels.to_pixels(encoded, IMAGENET.model_copy(update=change), LIMIT) is None


def test_the_limit_of_pixels_is_kept_before_decoding():
    assert fast_pixels.to_pixels(jpeg(NOISE), IMAGENET, 90 * 120 - 1) is None
    assert fast_pixels.to_pixels(jpeg(NOISE), IMAGENET, 90 * 120) is not None


def test_it_agrees_with_pillow_here():
    assert fast_pixels.agrees(IMAGENET)
    assert not fast_pixels.agrees(IMAGENET.model_copy(update={"resizer": "cv2"}))


def test_a_wrong_coefficient_is_noticed(monkeypatch):
    right = fast_pixels.coefficients

    def wrong(*geometry):
        first, starts, weights = right(*geometry)
        weights = weights.copy()
        weights[100, 2] += 1 << 14  # 1/256
        return first, starts, weights

    monkeypatch.setattr(fast_pixels, "coefficients", wrong)
    assert not fast_pixels.agrees.__wrapped__(IMAGENET)


@pytest.mark.parametrize("package", ["numba", "simplejpeg"])
def test_without_its_packages_it_does_not_apply(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    fast_pixels.compiled.cache_clear()
    assert fast_pixels.to_pixels(jpeg(NOISE), IMAGENET, LIMIT) is None
    assert not fast_pixels.agrees.__wrapped__(IMAGENET)


def test_no_place_for_the_compiled_code_is_no_error():
    nowhere = eval("lambda x: x + 1")  # numba finds no file of it to keep its cache beside
    assert fast_pixels.compiled(nowhere)(1) == 2
