"""An mmcls config and a checkpoint -> a PyTorch module in eval mode that returns probabilities."""

import importlib.machinery
import importlib.util
import logging
import pickle
import sys
import types
import warnings

from helpers import params
from helpers.errors import UserError


def read_config(name: str):
    """Return the mmcv Config; a file that is not an mmcls classifier's is a UserError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mmcv 1.x announces 2.0 at every import
        from mmcv import Config

    path = params.model_files(name)[0]
    try:
        config = Config.fromfile(str(path))
        config.model.head.num_classes, config.data.test.pipeline  # noqa: B018 - what every reader below relies on
    except Exception as error:  # a config is Python: anything can be raised by it
        raise UserError(f"{path.name} is not the config of an mmcls classifier: {error}.") from error
    return config


def class_names(config) -> list[str]:
    """Return the names of the classes, from the config itself or from its mmcls dataset type; empty when unknown."""
    if config.get("class_names"):
        return list(config.class_names)
    _import_mmcls()
    from mmcls.datasets import DATASETS

    dataset = DATASETS.get(config.data.test.type)
    return list(getattr(dataset, "CLASSES", None) or [])


def load(name: str, checkpoint: str):
    """Return the module: float32 [N, 3, H, W] -> probabilities float32 [N, classes], in eval mode on the CPU.

    `checkpoint` is a file, or `random:<seed>` for weights that serve for throughput only.
    """
    import torch

    _import_mmcls()
    from mmcls.models import build_classifier

    config = read_config(name)
    if checkpoint.startswith("random:"):
        torch.manual_seed(int(checkpoint.removeprefix("random:")))
    model = build_classifier(config.model)
    if not checkpoint.startswith("random:"):
        _load_weights(model, checkpoint)

    class Probabilities(torch.nn.Module):
        """What is exported: the classifier with its head's softmax (Conformer: of the sum of both heads)."""

        def __init__(self):
            super().__init__()
            self.classifier = model

        def forward(self, input):
            return self.classifier.simple_test(input, None, softmax=True, post_process=False)

    return Probabilities().eval()  # the wrapper too: the exporter restores its mode on the way out


def _load_weights(model, checkpoint: str) -> None:
    """Copy a checkpoint's weights into the model; every tensor must find its place."""
    import torch

    path = params.existing("checkpoint", checkpoint)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path.name} holds more than tensors and is not loaded, since that would run its code: if you trust it, "
            f"save torch.load(...)['state_dict'] to a new file and use that."
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise UserError(f"{path.name} is truncated or not a PyTorch checkpoint: fetch it again and compare its sha256.") from error
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    if not weights or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise UserError(f"{path.name} has no state_dict of tensors: give a checkpoint saved by mmcls.")
    weights = {key.removeprefix("module."): value for key, value in weights.items()}
    own = model.state_dict()
    optional = {key for key in own if key.endswith("num_batches_tracked")}
    wrong = [key for key in sorted(set(own) - optional | set(weights)) if getattr(weights.get(key), "shape", 0) != getattr(own.get(key), "shape", 1)]
    if wrong:
        raise UserError(
            f"{path.name} is of another architecture: {len(wrong)} of {len(own)} tensors are missing, unknown or of "
            f"another shape (first: {wrong[0]}); give the config it was trained with as model."
        )
    model.load_state_dict(weights, strict=False)


def _import_mmcls() -> None:
    """Import mmcls, with a stand-in for torchvision where there is none that works.

    mmcv 1.x imports torchvision at top level for torchvision:// addresses only; a wheel that does not fit the installed
    torch raises RuntimeError.
    """
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError, OSError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        stand_in = types.ModuleType("torchvision")
        stand_in.__version__ = "0.0.0"
        stand_in.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
        sys.modules["torchvision"] = stand_in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mmcls.models  # noqa: F401
    logging.getLogger("mmcv").setLevel(logging.WARNING)
