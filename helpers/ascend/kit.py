"""The other way to a device: a kit for a machine with nothing but CANN and ais_bench."""

import shlex
import shutil
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from tqdm import tqdm

from helpers import dataset, files, parity
from helpers.ascend import atc, bin_files, om
from helpers.ascend.atc_options import Atc
from helpers.ascend.kit_results import IDENTITY, Identity
from helpers.errors import UserError
from helpers.params import Convert
from helpers.records import Data, Model, Stage
from helpers.tensors import Tensors

TEMPLATES = Path(__file__).parents[1] / "templates" / "kit"
CHUNK = 64  # images held in memory while they are written
OWN = ("run.sh", "README.txt", "val_label.txt", "aipp.cfg", "results.tar.gz", IDENTITY)


def write(kit: Path, run_folder: Path, data: Data, model: Model, settings: Convert, again: str) -> int:
    """Write everything that the other machine needs and return its bytes; a refused model is a UserError.

    ONNX file, one .bin for each image, labels, and a POSIX shell script; modes 640 and no symlinks, as newer ais_bench
    demands. `again` are the words after `python -m helpers.run` that name the run.
    """
    if model.refusal():
        raise UserError(f"no kit was written: the ONNX file is refused, since {model.refusal()}.")
    if data.streamed:
        raise UserError("a kit needs every image prepared, and this run keeps a sample: run it with store: all.")
    check_folder(kit)
    tensors, onnx = Tensors.of(run_folder, data), model.stage("onnx")
    if settings.atc.aipp:
        tensors = tensors.prepared(om.pixels(tensors.how))
    files.make_folder(kit)
    few = min(len(tensors), max(parity.IMAGES, *settings.batch_sizes))  # to compare at every batch size, filling the largest
    _make_room(kit, tensors[:1].nbytes * (len(tensors) + few) + onnx.bytes)
    (kit / IDENTITY).write_text(_identity(data, onnx, settings).model_dump_json(indent=1, by_alias=True) + "\n")  # now it is a kit's folder
    _copy_named(kit, settings.atc, taken=[*OWN, Path(onnx.file).name])
    manifest = dataset.load(run_folder / data.manifest)
    stems = bin_files.stems(manifest.names)
    starts = tqdm(range(0, len(tensors), CHUNK), desc="write .bin", unit="batch")
    bin_files.write_bin(kit / "bin", stems, (tensors[start : start + CHUNK] for start in starts))
    bin_files.write_bin(kit / "check", stems[:few], [tensors[:few]])
    shutil.copyfile(run_folder / onnx.file, kit / Path(onnx.file).name)
    labels = zip(stems, manifest.names, manifest.labels.tolist(), strict=True)
    text = "".join(f"{stem}{Path(name).suffix} {label}\n" for stem, name, label in labels if label != dataset.NO_LABEL)
    (kit / "val_label.txt").write_text(text)
    if settings.atc.aipp:
        (kit / "aipp.cfg").write_text(om.aipp_config(data.preprocess))
    _write_scripts(kit, onnx, model.name, len(tensors), settings, again)  # last: without them it can't be run
    for path in kit.rglob("*"):
        path.chmod(0o750 if path.is_dir() else 0o640)
    return sum(path.stat().st_size for path in kit.rglob("*") if path.is_file())


def _make_room(kit: Path, needed: int) -> None:
    """Remove what another kit left, perhaps for other images; UserError when there is not enough space."""
    for stale in ("run.sh", "bin", "check", "results", "results.tar.gz"):
        path = kit / stale
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    if needed > shutil.disk_usage(kit).free:
        raise UserError(f"{kit} needs {needed / 1e9:.1f} GB, more than is free there: choose another folder or a subset.")


def _copy_named(kit: Path, options: Atc, taken: list[str]) -> None:
    """Copy the files that atc's flags name; two of one name are a UserError."""
    for path in options.files():
        if path.name in taken:
            raise UserError(f"atc names two files called {path.name}, or one that a kit has itself: rename it.")
        taken.append(path.name)
        shutil.copyfile(path, kit / path.name)


def check_folder(kit: Path) -> None:
    """Raise UserError when a kit's folder holds anything but a kit: some of its files would be replaced."""
    if kit.exists() and not (kit / IDENTITY).is_file() and (not kit.is_dir() or any(kit.iterdir())):
        raise UserError(f"{kit} exists and is no kit: name a new or an empty folder.")


def _identity(data: Data, onnx: Stage, settings: Convert) -> Identity:
    return Identity(
        manifest_sha256=data.manifest_sha256,
        tensors_sha256=data.tensors_sha256,
        onnx_sha256=onnx.sha256,
        batch_sizes=sorted({*settings.batch_sizes, settings.batch_size}),
        precision=settings.atc.precision,
        aipp=settings.atc.aipp,
        preprocess=data.preprocess,
        flags=flags(settings.atc),
        files={path.name: files.sha256(path) for path in settings.atc.files()},
    )


def flags(options: Atc) -> list[str]:
    """Return atc's flags with the files that they name as they lie in a kit; the chip is the script's to find."""
    given = options.flags("", Path("aipp.cfg") if options.aipp else None)
    names = {f"={path}": f"={path.name}" for path in options.files()}
    return [next((flag.replace(path, name) for path, name in names.items() if flag.endswith(path)), flag) for flag in given]


def _write_scripts(kit: Path, onnx: Stage, name: str, images: int, settings: Convert, again: str) -> None:
    file, models, runs = Path(onnx.file), [], {}
    for plan in om.plans(Path(), file.name, settings):
        if plan.aipp == settings.atc.aipp:  # the one without AIPP is for comparing where both can run
            arguments = atc.command(Path(file.name), plan.om, tuple(onnx.input.shape[1:]), plan.batches, flags(settings.atc))
            models.append({"name": plan.om.stem, "arguments": shlex.join(arguments[1:])})
            gear = " --dymBatch {}" if len(plan.batches) > 1 else ""
            runs |= {batch: {"batch": batch, "model": plan.om.stem, "gear": gear.format(batch)} for batch in plan.batches}
    values = {
        "name": name.replace("\n", " "),
        "onnx": file.name,
        "images": images,
        "models": models,
        "runs": [runs[batch] for batch in sorted(settings.batch_sizes)],
        "answers": runs[settings.batch_size],
        "checks": [runs[batch] for batch in sorted({*settings.batch_sizes} - {settings.batch_size})],
        "set_env": atc.SET_ENV,
        "batch_sizes": ", ".join(map(str, sorted(settings.batch_sizes))),
        "again": again,
    }
    jinja = Environment(loader=FileSystemLoader(TEMPLATES), keep_trailing_newline=True)
    for script in ("run.sh", "README.txt"):
        (kit / script).write_text(jinja.get_template(f"{script}.j2").render(values))
