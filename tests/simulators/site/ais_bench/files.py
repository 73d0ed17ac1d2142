"""Which files make up which batch, and the files that are written."""

import itertools
import os
import re
from pathlib import Path

import numpy as np

from ais_bench import paths

PURE, PADDING = "pure_infer_data", "padding_infer_fake_file"


def info_line(text: str) -> None:
    """Print one line of the tool's log."""
    print(f"[INFO] {text}", flush=True)


def stop(text: str) -> RuntimeError:
    """Print an error and return the bare exception that the tool raises with it."""
    print(f"[ERROR] {text}", flush=True)
    return RuntimeError()


def _natural(path: str) -> list:
    return [int(part) if part.isdigit() else part.lower() for part in re.split("([0-9]+)", path)]


def listed(folder: str, era: str) -> list[str]:
    """Return the files of a folder in the order of this generation."""
    files = sorted(str(Path(folder) / name) for name in os.listdir(folder) if name.endswith((".npy", ".NPY", ".bin", ".BIN")))
    if not files:
        raise stop(f"{folder} of input args not find valid file,valid file format:[*.npy *.NPY *.bin *.BIN]")
    return files if era == "V1" else sorted(files, key=_natural)


def input_files(value: str, inputs: int, era: str) -> list[list[str]]:
    """Return the files of each model input."""
    entries = value.split(",")
    if os.path.isfile(entries[0]):
        each = len(entries) // inputs
        files = [entries[start : start + each] for start in range(0, len(entries), each)]
    elif os.path.isdir(entries[0]) and len(entries) == inputs:
        files = [listed(folder, era) for folder in entries]
    else:
        raise stop(f"Invalid args. {entries[0]}  of --input is invalid")
    if len(files) != inputs:
        raise stop(f"fileslist:{len(files)} intensor:{inputs} not match")
    if era == "V4":
        for path in itertools.chain(*files):
            paths.input_file(path)
    return files


def content(path: str) -> np.ndarray:
    """Return a file as an array."""
    return np.load(path) if path.lower().endswith(".npy") else np.fromfile(path, np.int8)


def batches(files: list[list[str]], tensor_bytes: int, era: str) -> list[list[list[str]]]:
    """Return the files of each run and input: the first generation drops what does not fill a batch, later ones pad it."""
    size = content(files[0][0]).nbytes
    if size == 0 or tensor_bytes % size:
        raise stop(f"arg0 tensorsize: {tensor_bytes} filesize: {size} not match")
    per_batch, count = tensor_bytes // size, len(files[0])
    runs = count // per_batch if era in ("V1", "V1b") else -(-count // per_batch)
    info_line(f"get filesperbatch files0 size:{size} tensor0size:{tensor_bytes} filesperbatch:{per_batch} runcount:{runs}")
    if runs == 0:
        raise stop("create_infileslist_from_fileslist return infileslist size: 0")
    split = [[part[run * per_batch : (run + 1) * per_batch] for part in files] for run in range(runs)]
    return [[chunk + [PADDING] * (per_batch - len(chunk)) for chunk in run] for run in split]


def array_of(files: list[str], size: int, pure: str) -> np.ndarray:
    """Return the bytes of one input of one run; padding repeats the first file of its batch."""
    if files == [PURE]:
        return np.zeros(size, np.uint8) if pure == "zero" else np.random.default_rng().integers(0, 256, size, np.uint8)
    arrays = [content(files[0] if path == PADDING else path) for path in files]
    joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    if len(arrays) > 1 and joined.nbytes != size:
        raise stop(f"ndata size:{joined.nbytes} not match {size}")
    return joined


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one result by its suffix; TXT holds one row a line, every value as %f with a blank behind it."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".txt":
        form = "%f " if array.dtype.kind == "f" else "%d "
        path.write_text("".join("".join(form % value for value in row) + "\n" for row in array.reshape(-1, array.shape[-1])))
    else:
        array.tofile(path)


def save(outputs: list[np.ndarray], folder: Path, infiles: list[list[str]], run: int, args, era: str, info: dict) -> None:
    """Split each output among the files of its batch and write them; padding is not written."""
    per_batch, axis = len(infiles[0]), getattr(args, "output_batchsize_axis", 0)
    for index, output in enumerate(outputs):
        if per_batch > 1 and output.shape[axis] % per_batch:
            raise stop(
                f"save out files error array shape:{output.shape} filesinfo:{infiles} "
                f"files_count_perbatch:{per_batch} ndata.shape{axis}:{output.shape[axis]}"
            )
        for place, part in enumerate(np.array_split(output, per_batch, axis)):
            sources, sample = [part_of[place] for part_of in infiles], run * per_batch + place
            if sources[0] == PADDING:
                continue
            stem = os.path.basename(sources[0]).split(".")[0]
            names = {"V1": f"sample_id_{sample}_output_{index}", "V1b": f"input{sample}_output_{index}"}
            target = folder / f"{names.get(era, f'{stem}_{index}')}.{args.outfmt.lower()}"
            entry = info.setdefault(str(sample), {"infiles": sources, "outfiles": []})
            entry["outfiles"].append(str(target))
            write_array(target, part)
