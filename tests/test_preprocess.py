import io

import numpy as np
import pytest
from PIL import Image

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
        path = tmp_path / "x.JPEG"
        path.write_bytes(jpeg(*size))
        theirs = run({"img_prefix": None, "img_info": {"filename": str(path)}})["img"].numpy()
        ours = preprocess.to_tensor(preprocess.to_pixels(preprocess.decode(path.read_bytes()), how)[None], how)[0]
        assert np.abs(ours - theirs).max() <= 5e-7


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
        (png(RANDOM.integers(0, 256, (99, 99, 3), np.uint8))[:5000], "truncated"),
    ],
    ids=["empty", "text", "truncated", "16-bit", "cut-png"],
)
def test_an_image_that_can_not_be_used_has_a_reason(encoded, reason):
    with pytest.raises(ValueError, match=reason):
        preprocess.decode(encoded)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_more_pixels_than_pillows_limit_are_a_reason(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(ValueError, match="more than Pillow's limit"):
        preprocess.decode(png(np.zeros((8, 8, 3), np.uint8)))


def test_exif_orientation_is_ignored_as_in_the_reference():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert preprocess.decode(jpeg(30, 50, exif=exif)).size == (50, 30)


def test_the_demo_config_ships_with_the_repository():
    assert (ROOT / "demo" / "conformer_fmnist.py").is_file()
    assert preprocess_of("demo/conformer_fmnist.py").crop == 32
