"""The demo's script still makes the demo's files: run on a handful of drawn images in the place of Fashion-MNIST."""

import gzip
import importlib.util
import struct
import sys

import numpy as np
import torch

from helpers import ROOT, classifier, dataset


def write_idx(folder, split, count):
    """Bright left half: class 0, bright right half: class 1."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, count).astype(np.uint8)
    images = random.integers(0, 60, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 14 * label : 14 * label + 14] += 150
    (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(struct.pack(">4i", 2051, count, 28, 28) + images.tobytes()))
    (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(struct.pack(">2i", 2049, count) + labels.tobytes()))


def test_train_writes_a_checkpoint_in_mmcls_form_and_the_images(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("train", ROOT / "demo" / "train.py")
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    monkeypatch.setattr(train, "HERE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", str(tmp_path), "--epochs", "8"])
    write_idx(tmp_path, "train", 256)
    write_idx(tmp_path, "t10k", 500)
    train.main()
    assert capsys.readouterr().out.endswith("% on 500 test images\n")
    content = torch.load(tmp_path / "conformer_fmnist.pth", weights_only=True)
    assert set(content) == {"meta", "state_dict"}
    classifier.load("demo/conformer_fmnist.py", str(tmp_path / "conformer_fmnist.pth"))
    manifest = dataset.read(tmp_path / "images.tar.gz", str(tmp_path / "val_label.txt"), 10, []).manifest
    assert manifest.names[0] == "fashion_mnist_test_00000001.png"
    assert set(manifest.labels) == {0, 1}
