"""One result file: what the model answered to one image, in BIN, NPY or TXT."""

from pathlib import Path

import numpy as np

from helpers.errors import UserError


def probabilities(path: Path, source: str, classes: int) -> np.ndarray:
    """Return the values of a result file, float32 [classes]; UserError where it can't be one."""
    try:
        values = _values(path)
    except (ValueError, EOFError) as error:  # no numbers, or cut off
        raise UserError(f"{source} is damaged ({error}): copy it again.") from error
    if values.size != classes or values.dtype.kind != "f":
        raise UserError(
            f"{source} holds {values.size} values of {values.dtype} where {classes} of float32 were expected: "
            "record with this run's model, or take the file out of the folder."
        )
    if not np.isfinite(values).all():
        raise UserError(f"{source} holds values that are not finite: convert the model with a higher precision and record again.")
    return values.astype(np.float32).reshape(classes)


def _values(path: Path) -> np.ndarray:
    if path.suffix == ".bin":
        return np.frombuffer(path.read_bytes(), "<f4")
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    return np.array(path.read_text().split(), np.float32)
