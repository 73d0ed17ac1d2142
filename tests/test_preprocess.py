import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from helpers import ROOT, model_config, params, preprocess
from helpers.errors import UserError
from helpers.preprocess import Preprocess
from tests.conftest import png

IMAGENET = Preprocess(resize_short=256, crop=224, interpolation="bicubic", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
RANDOM = np.random.default_rng(0)


def jpeg(height, width, mode="RGB", **options):
    shape = (height, width) if mode == "L" else (height, width, 4 if mode == "CMYK" else 3)
    noise = Image.fromarray(RANDOM.integers(0, 256, shape, np.uint8), mode).resize((width, height))
    encoded = io.BytesIO()
    noise.save(encoded, "JPEG", quality=90, **options)
    return encoded.getvalue()


def rgb16_png():
    """A PNG of 16 bits a channel, which Pillow reads as RGB without a word."""
    encoded = cv2.imencode(".png", np.full((8, 8, 3), 30000, np.uint16))[1]
    return encoded.tobytes()


def guide(encoded):
    """The reference guide's arithmetic written plainly: short side 256 bicubic, centre 224, /255, -mean, /std, CHW."""
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    width, height = image.size
    size = (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
    image = image.resize(size, Image.BICUBIC)
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    values = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / np.float32(255)
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return ((values - mean) / std).transpose(2, 0, 1)


@pytest.mark.parametrize("size", [(375, 500), (500, 375), (256, 256), (257, 300), (97, 1301), (900, 333)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_imagenet_preparation_is_the_reference_guides(size, mode):
    encoded = jpeg(*size, mode)
    pixels = preprocess.to_pixels(preprocess.decode(encoded), IMAGENET)
    tensor = preprocess.to_tensor(pixels[None], IMAGENET)[0]
    assert tensor.dtype == np.float32
    assert np.abs(tensor - guide(encoded)).max() <= 5e-7


@pytest.mark.parametrize("name", ["conformer-base-p16_8xb128_in1k", "resnet18_8xb32_in1k", "vit-base-p16_ft-64xb64_in1k-384", "demo"])
def test_preparation_read_from_a_config_is_what_mmcls_does(name, tmp_path):
    model = "demo/conformer_fmnist.py" if name == "demo" else name
    config = model_config.read(model)
    how = preprocess_of(model)
    model_config.import_mmcls()
    from mmcls.datasets.pipelines import Compose

    run = Compose(config.data.test.pipeline)
    for size in [(375, 500), (500, 333)]:
        for encoded in (jpeg(*size), jpeg(*size, "L"), palette_png(*size), alpha_png(*size)):
            assert np.abs(prepared(encoded, how) - by_mmcls(run, tmp_path, encoded)).max() <= 5e-7


def prepared(encoded, how):
    return preprocess.to_tensor(preprocess.to_pixels(preprocess.decode(encoded), how)[None], how)[0]


def by_mmcls(run, folder, encoded):
    path = folder / "x.JPEG"
    path.write_bytes(encoded)
    return run({"img_prefix": None, "img_info": {"filename": str(path)}})["img"].numpy()


def palette_png(height, width):
    return png_of(Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), np.uint8)).quantize(200))


def alpha_png(height, width):
    return png(RANDOM.integers(0, 256, (height, width, 4), np.uint8))


def png_of(image):
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return encoded.getvalue()


@pytest.fixture(scope="module")
def mmcls_pipeline():
    model_config.import_mmcls()
    from mmcls.datasets.pipelines import Compose

    return Compose(model_config.read("conformer-base-p16_8xb128_in1k").data.test.pipeline)


def test_mmcls_turns_an_image_as_exif_says_and_we_do_not_which_is_told(mmcls_pipeline, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = jpeg(300, 400, exif=exif)
    theirs = by_mmcls(mmcls_pipeline, tmp_path, encoded)
    turned = png_of(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
    assert np.abs(prepared(encoded, IMAGENET) - theirs).max() > 1
    assert np.abs(prepared(turned, IMAGENET) - theirs).max() <= 5e-7
    assert preprocess.remark("x.JPEG", encoded).startswith("EXIF orientation 6 ignored")


def test_mmcls_converts_cmyk_otherwise_by_one_which_is_told(mmcls_pipeline, tmp_path):
    encoded = jpeg(300, 400, "CMYK")
    one = 1 / min(IMAGENET.std)
    assert (
        0 < np.abs(prepared(encoded, IMAGENET) - by_mmcls(mmcls_pipeline, tmp_path, encoded)).max() <= 3.01 * one
    )  # the resize overshoots
    assert preprocess.remark("x.JPEG", encoded) == "CMYK: OpenCV, and with it mmcls, converts it to values that differ by 1"


@pytest.mark.parametrize(
    ("name", "encoded", "said"),
    [
        ("x.JPEG", jpeg(9, 9), ""),
        ("x.png", png(np.zeros((9, 9, 3), np.uint8)), ""),
        ("x.JPG", png(np.zeros((9, 9, 3), np.uint8)), "PNG, whatever its name says: read as what it is"),
        ("x.png", jpeg(9, 9), "JPEG, whatever its name says: read as what it is"),
        ("x.tif", png(np.zeros((9, 9, 3), np.uint8)), ""),
    ],
)
def test_a_remark_says_what_must_be_known_of_an_image(name, encoded, said):
    assert preprocess.remark(name, encoded) == said


def preprocess_of(model):
    return model_config.preparation(params.PrepareData(model=model))[0]


def test_the_config_of_conformer_base_gives_the_guides_preparation():
    assert preprocess_of("conformer-base-p16_8xb128_in1k") == IMAGENET


def test_a_difference_from_the_models_own_config_is_told():
    given = {**IMAGENET.model_dump(), "crop": 192, "resize_short": 256}
    settings = params.check(params.PrepareData, model="conformer-base-p16_8xb128_in1k", preprocess=given)
    assert model_config.preparation(settings)[2] == {"crop": "224"}


def test_a_pipeline_that_is_more_than_resize_crop_normalise_is_refused():
    with pytest.raises(UserError, match="describe the preparation with the parameter preprocess"):
        model_config.from_pipeline([{"type": "Pad"}, {"type": "Normalize", "mean": [0, 0, 0], "std": [1, 1, 1]}])


def test_channel_order_layout_and_dtype_are_what_they_say():
    pixels = RANDOM.integers(0, 256, (2, 8, 8, 3), np.uint8)
    plain = {"resize_short": 8, "crop": 8, "interpolation": "bilinear", "mean": (1.0, 2.0, 3.0), "std": (2.0, 4.0, 8.0)}
    rgb = preprocess.to_tensor(pixels, Preprocess(**plain))
    np.testing.assert_allclose(rgb[:, 2], (pixels[..., 2].astype(float) - 3) / 8, rtol=1e-5, atol=1e-6)
    bgr = preprocess.to_tensor(pixels, Preprocess(**plain, channel_order="BGR", layout="NHWC"))
    np.testing.assert_array_equal(bgr[..., 0], rgb[:, 2])
    raw = preprocess.to_tensor(pixels, Preprocess(**plain, dtype="uint8", layout="NHWC"))
    np.testing.assert_array_equal(raw, pixels)


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "empty file"),
        (b"not an image", "cannot identify image file"),
        (jpeg(200, 200)[:5000], "truncated"),
        (png(np.zeros((8, 8), np.uint16)), "only 8-bit images"),
        (rgb16_png(), "only 8-bit images"),
        (jpeg(10, 20_000), "20000 x 10 pixels: resized"),
        (png(RANDOM.integers(0, 256, (99, 99, 3), np.uint8))[:5000], "truncated"),
    ],
    ids=["empty", "text", "truncated", "16-bit", "16-bit colour", "bomb of a resize", "cut-png"],
)
def test_an_image_that_can_not_be_used_has_a_reason(encoded, reason):
    with pytest.raises(ValueError, match=reason):
        preprocess.to_pixels(preprocess.decode(encoded), IMAGENET)


def test_more_pixels_than_allowed_are_a_reason():
    with pytest.raises(ValueError, match="8 x 9 pixels: more than max_pixels"):
        preprocess.decode(png(np.zeros((9, 8, 3), np.uint8)), max_pixels=71)
    assert preprocess.decode(png(np.zeros((9, 8, 3), np.uint8)), max_pixels=72).size == (8, 9)


def test_exif_orientation_is_ignored_as_in_the_reference():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert preprocess.decode(jpeg(30, 50, exif=exif)).size == (50, 30)


def test_the_demo_config_ships_with_the_repository():
    assert (ROOT / "demo" / "conformer_fmnist.py").is_file()
    assert preprocess_of("demo/conformer_fmnist.py").crop == 32
