"""The .bin files that ais_bench and msame read, one for each image."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from helpers.errors import UserError


def stems(names: list[str]) -> list[str]:
    """Return a file stem for each image: its name up to the first dot, or image_00000001 and so on by position.

    Numbers are used where newer releases would refuse a character, or two images in different folders have one name.
    """
    own = [name.rpartition("/")[2].partition(".")[0] for name in names]
    if len(set(own)) == len(own) and all(re.fullmatch(r"[A-Za-z0-9_-]+", stem) for stem in own):
        return own
    return [f"image_{number:08d}" for number in range(1, len(names) + 1)]


def write_bin(folder: Path, stems: list[str], batches: Iterable[np.ndarray]) -> None:
    """Write `<stem>.bin` for each image of the batches [B, ...]: its values in C order, no batch axis, the dtype as it is.

    The tools read every .bin and .npy of a folder, so others in it are a UserError; so is a full disk. Newer releases refuse links
    and what others may write: folder 750, files 640.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o750)
        expected = {f"{stem}.bin" for stem in stems}
        others = {name for name in os.listdir(folder) if name.lower().endswith((".bin", ".npy"))} - expected
        if others:
            raise UserError(f"{folder.name} holds {min(others)}, which is not of this run but would be read with it: remove the folder.")
        images = (image for batch in batches for image in batch)
        for stem, image in zip(stems, images, strict=True):
            path = folder / f"{stem}.bin"
            path.unlink(missing_ok=True)  # a link would be written through
            path.write_bytes(image.tobytes())
            path.chmod(0o640)
    except OSError as error:
        raise UserError(f"can't write {folder.name}: {error.strerror}; free space or choose another run folder.") from error
