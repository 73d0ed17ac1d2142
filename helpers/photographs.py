"""A few real images for throughput, made at run time from the photographs inside scikit-image and scikit-learn."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import files

NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")  # what the wheel carries


def make(folder: Path, count: int, seed: int = 0) -> Path:
    """Write `count` JPEGs of 500 x 375 pixels (random 4:3 crops, some mirrored, quality 97) and return their folder."""
    shutil.rmtree(folder, ignore_errors=True)  # photographs of an earlier run
    files.make_folder(folder)
    originals = _originals()
    random = np.random.default_rng(seed)
    for number in range(1, count + 1):
        image = originals[random.integers(len(originals))]
        width = min(image.width, image.height * 4 // 3) * random.uniform(0.7, 1.0)
        height = width * 3 / 4
        left, top = random.uniform(0, image.width - width), random.uniform(0, image.height - height)
        crop = image.resize((500, 375), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
        if random.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        crop.save(folder / f"photograph_{number:08d}.JPEG", quality=97)
    return folder


def _originals() -> list[Image.Image]:
    import skimage
    import sklearn.datasets

    data = Path(skimage.__file__).parent / "data"
    packaged = [Image.open(data / name).convert("RGB") for name in NAMES]
    return packaged + [Image.fromarray(image) for image in sklearn.datasets.load_sample_images().images]
