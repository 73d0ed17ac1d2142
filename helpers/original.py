"""What a model was converted from, to be asked again after the conversion."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from helpers import ROOT, classifier, export, files
from helpers.backends import onnxruntime
from helpers.params import Target
from helpers.records import Model

Answer = Callable[[np.ndarray], np.ndarray]  # images [N, ...] -> probabilities [N, classes]


def load(model: Model, image: np.ndarray, temporary: Path) -> Answer | None:
    """Return a function that gives the original's answers, float32 [N, classes], to images that it is given one by one.

    The original is the PyTorch module, or the user's ONNX file. None where it is not here, as on a device's own host, or is another
    file by now. `image` [1, ...] is one of the run; `temporary` is a folder.
    """
    params, given = model.params, model.stages[0]
    file = ROOT / params["checkpoint" if given.format == "pytorch" else "model"]
    here = not given.sha256 or (file.is_file() and files.sha256(file) == given.sha256)
    if not here or (given.format == "pytorch" and not importlib.util.find_spec("mmcls")):
        return None
    one = _of_pytorch(params) if given.format == "pytorch" else _of_onnx(params, file, image, temporary / "original.onnx")
    return lambda images: np.concatenate([one(image[None]) for image in images])


def _of_pytorch(params: dict) -> Answer:
    import torch  # absent on device hosts

    module = classifier.load(params["model"], params["checkpoint"])

    def answer(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(image)).numpy()

    return answer


def _of_onnx(params: dict, file: Path, image: np.ndarray, path: Path) -> Answer:
    export.adopt(file, path, image, params["onnx"]["output"])
    session = onnxruntime.session(path, Target(threads=params["threads"]))
    return lambda image: session.run(None, {"input": image})[0]
