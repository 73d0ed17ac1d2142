"""The other way to a device: a kit for a machine with nothing but CANN and ais_bench, and what comes back from there."""

import json
import re
import shlex
import shutil
import tarfile
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from tqdm import tqdm

from helpers import ROOT, dataset, files
from helpers.ascend import atc, bin_files, om
from helpers.errors import UserError
from helpers.params import Convert
from helpers.records import Data, Model, Stage, TensorSpec
from helpers.tensors import Tensors

TEMPLATES = Path(__file__).parents[1] / "templates" / "kit"
CHUNK = 64  # images held in memory while they are written


def write(kit: Path, run_folder: Path, data: Data, model: Model, settings: Convert, again: str) -> int:
    """Write everything that the other machine needs and return its bytes; a refused model is a UserError.

    ONNX file, one .bin for each image, labels, and a POSIX shell script; modes 640 and no symlinks, as newer ais_bench
    demands. `again` are the words after `python -m helpers.run` that name the run.
    """
    if model.refusal():
        raise UserError(f"no kit was written: the ONNX file is refused, since {model.refusal()}.")
    if kit.exists() and not (kit / "kit.json").is_file() and (not kit.is_dir() or any(kit.iterdir())):
        raise UserError(f"{kit} exists and is no kit: name a new or an empty folder.")  # some of its files would be replaced
    tensors, onnx = Tensors.of(run_folder, data), model.stage("onnx")
    if settings.atc.aipp:
        tensors = tensors.prepared(om.pixels(tensors.how))
    needed = tensors[:1].nbytes * len(tensors) + onnx.bytes
    files.make_folder(kit)
    if needed > shutil.disk_usage(kit).free:
        raise UserError(f"{kit} needs {needed / 1e9:.1f} GB, more than is free there: choose another folder or a subset.")
    for stale in ("bin", "results", "results.tar.gz"):  # of another kit, perhaps for other images
        path = kit / stale
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    manifest = dataset.load(run_folder / data.manifest)
    stems = bin_files.stems(manifest.names)
    starts = tqdm(range(0, len(tensors), CHUNK), desc="write .bin", unit="batch")
    bin_files.write_bin(kit / "bin", stems, (tensors[start : start + CHUNK] for start in starts))
    shutil.copyfile(run_folder / onnx.file, kit / Path(onnx.file).name)
    labels = zip(stems, manifest.names, manifest.labels.tolist(), strict=True)
    text = "".join(f"{stem}{Path(name).suffix} {label}\n" for stem, name, label in labels if label != dataset.NO_LABEL)
    (kit / "val_label.txt").write_text(text)
    if settings.atc.aipp:
        (kit / "aipp.cfg").write_text(om.aipp_config(data.preprocess))
    if settings.atc.keep_dtype:
        shutil.copyfile(ROOT / settings.atc.keep_dtype, kit / "keep_dtype.cfg")
    (kit / "kit.json").write_text(json.dumps(_identity(data, onnx, settings), indent=1) + "\n")
    _write_scripts(kit, onnx, model.name, len(tensors), settings, again)
    for path in kit.rglob("*"):
        path.chmod(0o750 if path.is_dir() else 0o640)
    return sum(path.stat().st_size for path in kit.rglob("*") if path.is_file())


def opened(results: Path, artefacts: Path) -> Path:
    """Return the folder of recorded results; an archive is unpacked among the artefacts, once."""
    if results.is_dir():
        return results
    target = artefacts / f"recorded_{files.sha256(results)[:12]}"
    if target.is_dir():
        return target
    partial = target.with_name(f".{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with tarfile.open(results) as archive:
            for member in archive:
                path = partial / member.name
                if not path.resolve().is_relative_to(partial.resolve()):
                    raise UserError(f"{results.name} holds {member.name}, which lies outside of it: it is not from a kit.")
                if member.isfile():  # links and devices have no place in results
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(archive.extractfile(member).read())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{results.name} is neither a folder nor a whole .tar.gz of results ({error}): fetch it again.") from error
    partial.rename(target)
    return target


def told(folder: Path) -> dict:
    """Return what kit.json says of recorded results, and `soc`; empty when they were not made by a kit."""
    found = sorted(folder.rglob("kit.json"))
    if not found:
        return {}
    soc = found[0].with_name("soc.txt")
    return {**json.loads(found[0].read_text()), "soc": soc.read_text().strip() if soc.is_file() else None, "folder": found[0].parent}


def check_same(kit: dict, data: Data, onnx: Stage) -> None:
    """Raise UserError when recorded results belong to other images or another model than this run's."""
    for key, own, what in (
        ("manifest_sha256", data.manifest_sha256, "for other images"),
        ("tensors_sha256", data.tensors_sha256, "for images prepared otherwise"),
        ("onnx_sha256", onnx.sha256, "from another ONNX file"),
    ):
        if kit and kit[key] != own:
            raise UserError(f"the recorded results were made {what} than this run's: write the kit anew with these parameters and run it.")


def recorded_models(artefacts: Path, onnx: Stage, settings: Convert) -> list[Stage]:
    """Return the stages of the offline models that a kit made elsewhere; none when the results do not tell of any."""
    kit = told(opened(settings.files()[0], artefacts))
    listed = kit and kit["folder"] / "om.txt"
    if not listed or not listed.is_file():
        return []
    stages = []
    for sha256, size, name in (line.split() for line in listed.read_text().splitlines()):
        batch = re.search(r"_bs(\d+)\.om$", name)
        axis: int | str = int(batch[1]) if batch else "batch"
        shape, dtype = kit["input"]["shape"], kit["input"]["dtype"]
        stages.append(
            Stage(
                name=f"om, batch {batch[1]}" if batch else "om, gears",
                format="om",
                file=name,
                sha256=sha256,
                bytes=int(size),
                command=f"atc, by the kit's run.sh {' '.join(kit['flags'])}".strip(),
                seconds=0.0,
                input=TensorSpec(name="input", shape=[axis, *shape], dtype=dtype),
                output=TensorSpec(name="probs", shape=[axis, onnx.output.shape[1]], dtype="float32"),
                precision=kit["precision"],
                soc=kit["soc"],
                batch=int(batch[1]) if batch else None,
                gears=[] if batch else kit["batch_sizes"],
                aipp=kit["aipp"],
            )
        )
    return stages


def _identity(data: Data, onnx: Stage, settings: Convert) -> dict:
    """Return what ties results to this run: the hashes of images and model, and how the model is converted."""
    side = data.preprocess.crop
    aipp = settings.atc.aipp
    return {
        "manifest_sha256": data.manifest_sha256,
        "tensors_sha256": data.tensors_sha256,
        "onnx_sha256": onnx.sha256,
        "batch_sizes": sorted({*settings.batch_sizes, settings.batch_size}),
        "precision": settings.atc.precision,
        "aipp": aipp,
        "input": {"shape": [side, side, 3] if aipp else onnx.input.shape[1:], "dtype": "uint8" if aipp else onnx.input.dtype},
        "flags": _flags(settings),
    }


def _flags(settings: Convert) -> list[str]:
    """Return atc's flags with the files that they name as they lie in the kit; the chip is the script's to find."""
    options = settings.atc.model_copy(update={"keep_dtype": ""})
    given = options.flags("", Path("aipp.cfg") if options.aipp else None)
    return given + (["--keep_dtype=keep_dtype.cfg"] if settings.atc.keep_dtype else [])


def _write_scripts(kit: Path, onnx: Stage, name: str, images: int, settings: Convert, again: str) -> None:
    planned = [plan for plan in om.plans(kit, Path(onnx.file).name, settings) if plan.aipp == settings.atc.aipp]
    shape = ",".join(map(str, onnx.input.shape[1:]))
    models, runs = [], {}
    for plan in planned:
        gears = len(plan.batches) > 1
        given = f" --dynamic_batch_size={','.join(map(str, plan.batches))}" if gears else ""
        models.append({"name": plan.om.stem, "shape": f"input:{-1 if gears else plan.batches[0]},{shape}", "gears": given})
        for batch in plan.batches:
            runs[batch] = {"batch": batch, "model": plan.om.stem, "gear": f" --dymBatch {batch}" if gears else ""}
    values = {
        "name": name,
        "onnx": Path(onnx.file).name,
        "images": images,
        "flags": shlex.join(_flags(settings)),
        "models": models,
        "runs": [runs[batch] for batch in sorted(settings.batch_sizes)],
        "answers": runs[settings.batch_size],
        "set_env": atc.SET_ENV,
        "batch_sizes": ", ".join(map(str, sorted(settings.batch_sizes))),
        "again": again,
    }
    jinja = Environment(loader=FileSystemLoader(TEMPLATES), keep_trailing_newline=True)
    for script in ("run.sh", "README.txt"):
        (kit / script).write_text(jinja.get_template(f"{script}.j2").render(values))
