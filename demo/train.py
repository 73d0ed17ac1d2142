"""Train the demo checkpoint: an mmcls Conformer on Fashion-MNIST, in minutes on two cores.

    python demo/train.py /usr/share/datasets/fashion-mnist

The folder is that of Debian's package dataset-fashion-mnist (four gzipped IDX files). Writes conformer_fmnist.pth (mmcls
format), images.tar.gz and val_label.txt beside this script; the last line printed is the top-1 on the test images.
"""

import argparse
import gzip
import io
import os
import tarfile
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as in helpers/__init__.py, which comes after PyTorch here

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from helpers import classifier, model_config, preprocess

HERE = Path(__file__).resolve().parent
CONFIG = str(HERE / "conformer_fmnist.py")


def read_split(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 [N, 28, 28] and labels uint8 [N] of `train` or `t10k`."""
    images = np.frombuffer(gzip.decompress((folder / f"{split}-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((folder / f"{split}-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return images.reshape(-1, 28, 28), labels


def write_images(images: np.ndarray, labels: np.ndarray) -> None:
    """Write the test images as PNG in one archive, with no times or owners in it, and the label file beside it."""
    names = [f"fashion_mnist_test_{number:08d}.png" for number in range(1, len(images) + 1)]
    with gzip.GzipFile(HERE / "images.tar.gz", "wb", compresslevel=9, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, image in zip(tqdm(names, desc="PNG", unit="image"), images, strict=True):
            encoded = io.BytesIO()
            Image.fromarray(image).save(encoded, "PNG", optimize=True)
            member = tarfile.TarInfo(name)
            member.size = encoded.tell()
            encoded.seek(0)
            archive.addfile(member, encoded)
    lines = [f"{name} {label}\n" for name, label in zip(names, labels, strict=True)]
    (HERE / "val_label.txt").write_text("".join(lines))


def prepare(images: np.ndarray, how: preprocess.Preprocess) -> torch.Tensor:
    """Return grey images as the model receives them, by the same code that the notebooks use."""
    pixels = np.stack([preprocess.to_pixels(Image.fromarray(image).convert("RGB"), how) for image in images])
    return torch.from_numpy(preprocess.to_tensor(pixels, how))


def top1_pct(model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return top-1 accuracy in percent."""
    model.eval()
    with torch.inference_mode():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in zip(images.split(250), labels.split(250), strict=True))
    return 100 * right / len(labels)


def train(model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int, batch_size: int = 128) -> None:
    """Train in place: AdamW with weight decay on matrices only, one-cycle schedule, horizontal mirror."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}], 2e-3)
    steps = len(images) // batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * steps, pct_start=0.25)
    progress = tqdm(total=epochs * steps, desc="train", unit="batch")
    for _ in range(epochs):
        model.train()
        for chosen in torch.randperm(len(images))[: steps * batch_size].split(batch_size):
            batch = images[chosen]
            mirrored = torch.rand(batch_size) < 0.5
            batch[mirrored] = batch[mirrored].flip(3)
            loss = model.classifier.forward_train(batch.to(memory_format=torch.channels_last), labels[chosen])["loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            progress.update()
            progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    progress.close()


def main() -> None:
    """Make the demo's three files from Fashion-MNIST."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the four .gz files are")
    parser.add_argument("--epochs", type=int, default=12, help="6 give about one point less")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    config = model_config.read(CONFIG)
    how = model_config.from_pipeline(config.data.test.pipeline)
    test_images, test_labels = read_split(options.folder, "t10k")
    write_images(test_images, test_labels)
    train_images, train_labels = read_split(options.folder, "train")

    model = classifier.load(CONFIG, f"random:{options.seed}").to(memory_format=torch.channels_last)
    train(model, prepare(train_images, how), torch.tensor(train_labels).long(), options.epochs)
    weights = {key: value.contiguous() for key, value in model.classifier.state_dict().items()}
    meta = {"CLASSES": config.class_names, "epoch": options.epochs, "seed": options.seed}
    torch.save({"meta": meta, "state_dict": weights}, HERE / "conformer_fmnist.pth")
    accuracy = top1_pct(model, prepare(test_images, how), torch.tensor(test_labels).long())
    print(f"top-1 {accuracy:.2f} % on {len(test_labels)} test images")


if __name__ == "__main__":
    main()
