"""An ONNX model -> OpenVINO int8, calibrated on the user's own images."""

import logging
import shutil
import time
from pathlib import Path

import numpy as np

from helpers import files
from helpers.errors import UserError
from helpers.records import Stage
from helpers.tensors import Tensors

IMAGES = 128  # evenly over the prepared images; their labels are not used
GRAPH = "model.xml"  # its weights are in model.bin beside it


def to_int8(folder: Path, source: Stage, images: Tensors) -> Stage:
    """Quantise weights and activations of a run's ONNX model after training and return the stage: a folder among the artefacts.

    Ranges are taken from images [1, ...] of the run, by NNCF's recipe for transformers.
    """
    import nncf  # an extra, and takes seconds to import
    import openvino
    import rich
    from openvino.passes import ConstantFolding, Manager

    logging.getLogger("nncf").setLevel(logging.ERROR)
    rich.reconfigure(quiet=True, force_jupyter=False)  # NNCF's progress bars, which a page would keep
    started = time.perf_counter()
    chosen = np.linspace(0, len(images) - 1, min(IMAGES, len(images))).round().astype(int)
    calibration = nncf.Dataset([images[at : at + 1] for at in chosen])
    model = openvino.Core().read_model(folder / source.file)
    folding = Manager()
    folding.register_pass(ConstantFolding())  # unfolded, OpenVINO 2026.4.1 gives a first convolution one bias for all channels
    folding.run_passes(model)
    try:
        quantised = nncf.quantize(model, calibration, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(chosen))
    except Exception as error:  # NNCF's, OpenVINO's and NumPy's own
        raise UserError(f"NNCF can't quantise {Path(source.file).name} ({error}): leave precision int8 out.") from error
    made = folder / f"{source.file.removesuffix('.onnx')}_int8"
    shutil.rmtree(made, ignore_errors=True)
    files.make_folder(made)
    openvino.save_model(quantised, made / GRAPH, compress_to_fp16=False)
    return source.model_copy(
        update={
            "name": "openvino int8",
            "format": "openvino",
            "file": made.relative_to(folder).as_posix(),
            "sha256": files.sha256(made),
            "bytes": sum(file.stat().st_size for file in made.iterdir()),
            "command": f"nncf.quantize, transformer, calibrated on {len(chosen)} images",
            "seconds": round(time.perf_counter() - started, 3),
            "precision": "int8",
        }
    )
