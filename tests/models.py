"""Small ONNX classifiers and real images for the tests: scikit-learn's digits and a linear model of them."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

PREPROCESS = {"resize_short": 8, "crop": 8, "interpolation": "bilinear", "mean": [0.0, 0.0, 0.0], "std": [255.0, 255.0, 255.0]}


def write_digits(folder: Path, count: int = 200) -> tuple[Path, Path]:
    """Write the last `count` digits as PNG with their labels; return (images, label file)."""
    images, labels = load_digits(return_X_y=True)
    target = folder / "digits"
    target.mkdir(parents=True)
    lines = []
    for index in range(len(labels) - count, len(labels)):
        name = f"digit_{index:04d}.png"
        Image.fromarray((images[index].reshape(8, 8) * 15.9).astype(np.uint8)).save(target / name)
        lines.append(f"{name} {labels[index]}\n")
    (folder / "labels.txt").write_text("".join(lines))
    return target, folder / "labels.txt"


def linear_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return weights [192, 10] and bias [10] of a softmax regression on all but the last 200 digits, as three grey channels."""
    images, labels = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=300).fit(images[:-200] * 15.9 / 255, labels[:-200])
    return np.tile(model.coef_.T / 3, (3, 1)).astype(np.float32), model.intercept_.astype(np.float32)


def write_onnx(path: Path, batch: int | str = "n", output: str = "logits", broken_at: int | None = None, baked: int | None = None) -> Path:
    """Write the linear model with the names `pixels` and `scores`.

    `broken_at`: at that batch size it answers each image with its neighbour's scores. `baked`: the batch size is a constant
    in a Reshape, as careless exporters leave it.
    """
    weights, bias = linear_digits()
    constants = {"weights": weights, "bias": bias, "flat": np.array([baked or -1, 192]), "zero": np.array(0), "one": np.array(1)}
    constants["broken_at"] = np.array(broken_at or 0)
    nodes = [
        helper.make_node("Reshape", ["pixels", "flat"], ["rows"]),
        helper.make_node("Gemm", ["rows", "weights", "bias"], ["logits"]),
        helper.make_node("Shape", ["logits"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["count"]),
        helper.make_node("Equal", ["count", "broken_at"], ["is_broken"]),
        helper.make_node("Cast", ["is_broken"], ["shift"], to=TensorProto.INT64),
        helper.make_node("Range", ["zero", "count", "one"], ["places"]),
        helper.make_node("Add", ["places", "shift"], ["shifted"]),
        helper.make_node("Mod", ["shifted", "count"], ["order"]),
        helper.make_node("Gather", ["logits", "order"], ["ordered"], axis=0),
        helper.make_node("Softmax" if output == "probabilities" else "Identity", ["ordered"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
