"""What a model's own files say of it: its mmcls config, its classes, how its images are prepared."""

import importlib.machinery
import logging
import sys
import types
import warnings

from pydantic import ValidationError

from helpers import export, sources
from helpers.errors import UserError
from helpers.params import PrepareData
from helpers.preprocess import Preprocess


def read(name: str):
    """Return the mmcv Config of a model given by file or by a name that mmcls ships; UserError when it is not a classifier's."""
    path = sources.model_file(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mmcv 1.x announces 2.0 at every import, and renamed configs
            from mmcv import Config

            config = Config.fromfile(str(path))
        config.model.backbone, config.model.head.type, config.data.test.pipeline  # noqa: B018 - what every reader relies on
    except Exception as error:  # a config is Python: anything can be raised by it
        raise UserError(f"{path.name} is not the config of an mmcls classifier ({error}): give one as model.") from error
    if config.model.head.type.startswith(("MultiLabel", "CSRA")):
        raise UserError(f"{path.name} has a multi-label head, whose answers are no probabilities of one class: it can't be judged here.")
    return config


def classes(model: str) -> tuple[int | None, list[str]]:
    """Return the number of classes, None when an ONNX file does not say it, and their names, empty when unknown."""
    if model.endswith(".onnx"):
        outputs = export.read(sources.model_file(model)).graph.output
        dims = outputs[0].type.tensor_type.shape.dim
        return (dims[-1].dim_value or None) if dims else None, []
    config = read(model)
    names = config.get("class_names")
    if not names:
        import_mmcls()
        from mmcls.datasets import DATASETS

        names = getattr(DATASETS.get(config.data.test.type), "CLASSES", None) or []
    count = config.model.head.get("num_classes") or config.model.backbone.get("num_classes")  # VGG has it in the backbone
    return count, list(names) if len(names) == count else []


def preparation(settings: PrepareData) -> tuple[Preprocess, str, dict[str, str]]:
    """Return how a run's images are prepared, where that comes from, and what the model's own config says otherwise."""
    given = settings.preprocess
    if given == "model":
        return from_pipeline(read(settings.model).data.test.pipeline), f"the test pipeline of {settings.model}", {}
    source = "the parameter preprocess"
    if settings.model.endswith(".onnx"):
        return given, source, {}
    pipeline = read(settings.model).data.test.pipeline
    try:
        own = from_pipeline(pipeline)
    except UserError:  # a pipeline that can't be said in these terms is why the parameter was given
        return given, source, {"pipeline": ", ".join(step["type"] for step in pipeline)}
    return given, source, {key: str(value) for key, value in own.model_dump().items() if value != getattr(given, key)}


def from_pipeline(pipeline: list[dict]) -> Preprocess:
    """Return what an mmcls test pipeline does; a pipeline that can't be said in these terms is a UserError."""
    steps = {step["type"]: step for step in pipeline}
    unknown = set(steps) - {"LoadImageFromFile", "Resize", "CenterCrop", "Normalize", "ImageToTensor", "Collect"}
    resize, crop, normalize = steps.get("Resize"), steps.get("CenterCrop", {}), steps.get("Normalize")
    if unknown or not resize or not normalize or crop.get("efficientnet_style") or len(steps) < len(pipeline):
        raise UserError(
            f"the model's test pipeline ({', '.join(step['type'] for step in pipeline)}) is more than resize, "
            "centre crop and normalise: describe the preparation with the parameter preprocess."
        )
    size = resize["size"] if isinstance(resize["size"], (tuple, list)) else (resize["size"], resize["size"])
    keep_aspect = size[1] == -1
    side = crop.get("crop_size", size[0])
    side = side if isinstance(side, (tuple, list)) else (side, side)
    if (not keep_aspect and size[0] != size[1]) or side[0] != side[1] or resize.get("adaptive_side", "short") != "short":
        raise UserError("the model's test pipeline is not square: describe it with the parameter preprocess.")
    order = slice(None) if normalize.get("to_rgb", True) else slice(None, None, -1)  # mmcls lists them as the model sees them
    known = dict(
        resize_short=size[0],
        crop=side[0],
        interpolation=resize.get("interpolation", "bilinear"),
        mean=tuple(map(float, normalize["mean"][order])),
        std=tuple(map(float, normalize["std"][order])),
        channel_order="RGB" if normalize.get("to_rgb", True) else "BGR",
        resizer=resize.get("backend", "cv2"),
        keep_aspect=keep_aspect,
    )
    try:
        return Preprocess(**known)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UserError(f"the model's test pipeline can't be followed ({reason}): describe it with the parameter preprocess.") from None


def import_mmcls() -> None:
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
