"""What comes back from a kit, or was recorded by hand: unpacked, tied to this run, and told from where it is."""

import gzip
import re
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from helpers import files
from helpers.ascend import om
from helpers.ascend.recorded.names import named_batch
from helpers.errors import UserError
from helpers.preprocess import Preprocess
from helpers.records import Data, Stage

IDENTITY, CHIP, MODELS, PLACE = "kit.json", "soc.txt", "om.txt", "environment.txt"  # in the results


class Identity(BaseModel):
    """What ties recorded results to a run: the hashes of images and model, and how the model is converted."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_number: Literal[1] = Field(1, alias="schema")
    manifest_sha256: str
    tensors_sha256: str
    onnx_sha256: str
    batch_sizes: list[int]
    precision: str
    aipp: bool
    preprocess: Preprocess
    flags: list[str]  # of atc, without the chip
    files: dict[str, str]  # that flags name, with their sha256


def unpack(results: Path, artefacts: Path) -> Path:
    """Return the folder of recorded results; an archive is unpacked among the artefacts, once."""
    if results.is_dir():
        return results
    target = artefacts / f"recorded_{files.sha256(results)[:12]}"
    if target.is_dir():
        return target
    partial = target.with_name(f".{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    files.make_folder(partial)
    try:
        with gzip.open(results) as stream:
            while stream.read(2**20):  # to its end, where its checksum is: tar alone would take a flipped bit
                pass
        with tarfile.open(results) as archive:
            for member in archive:
                path = partial / member.name
                if not path.resolve().is_relative_to(partial.resolve()):
                    raise UserError(f"{results.name} holds {member.name}, which lies outside of it: it is not from a kit.")
                if member.isfile():  # links and devices have no place in results
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(archive.extractfile(member).read())
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{results.name} is neither a folder nor a whole .tar.gz of results ({reason}): fetch it again.") from error
    partial.rename(target)
    return target


def identity(folder: Path) -> Identity | None:
    """Return what a kit wrote of itself; None for results that were not made by one."""
    path = _file(folder, IDENTITY)
    try:
        return Identity.model_validate_json(path.read_bytes()) if path else None
    except ValidationError:
        raise UserError(f"{IDENTITY} of the recorded results is damaged or another version's: write the kit anew and run it.") from None


def check_same(told: Identity | None, data: Data, onnx: Stage) -> None:
    """Raise UserError when recorded results belong to other images or another model than this run's."""
    own = {
        "manifest_sha256": (data.manifest_sha256, "for other images"),
        "tensors_sha256": (data.tensors_sha256, "for images prepared otherwise"),
        "preprocess": (data.preprocess, "for images prepared otherwise"),
        "onnx_sha256": (onnx.sha256, "from another ONNX file"),
    }
    for key, (value, what) in own.items():
        if told and getattr(told, key) != value:
            raise UserError(f"the recorded results were made {what} than this run's: write the kit anew with these parameters and run it.")


def check_flags(told: Identity | None, flags: list[str]) -> None:
    """Raise UserError when a kit converted with other flags of atc than this run's parameters say."""
    if told and told.flags != flags:
        raise UserError(
            f"the recorded models were made with atc {' '.join(told.flags)}: give this run the same atc, or write the kit anew."
        )


def chip(folder: Path) -> str:
    """Return the chip that a kit found, such as Ascend310P3, empty when none is told."""
    path = _file(folder, CHIP)
    return path.read_text(errors="replace").strip() if path else ""


def place(folder: Path) -> str:
    """Return when and on what a kit ran, as far as it was told: `on 2026-11-24T16:06:38Z, driver 23.0.0, CANN 5.1.RC2`."""
    path = _file(folder, PLACE)
    text = path.read_text(errors="replace") if path else ""
    patterns = {"on": r"\A(\d{4}-\S+Z)", "driver": r"Version:\s*([\w.+-]+)", "CANN": r"^version=([\w.+-]+)"}
    found = {name: re.search(pattern, text, re.MULTILINE) for name, pattern in patterns.items()}
    return ", ".join(f"{name} {match[1]}" for name, match in found.items() if match)


def models(folder: Path, onnx: Stage) -> list[Stage]:
    """Return the stages of the offline models that a kit made elsewhere; none when the results do not tell of any."""
    told, listed = identity(folder), _file(folder, MODELS)
    if not told or not listed:
        return []
    stages = []
    for sha256, size, name in re.findall(r"^([0-9a-f]{64}) +(\d+) +(\S+)$", listed.read_text(errors="replace"), re.MULTILINE):
        batch = named_batch(name)
        plan = om.Plan(f"om, batch {batch}" if batch else "om, gears", Path(name), [batch] if batch else told.batch_sizes, told.aipp)
        command = f"atc {' '.join(told.flags)} (by the kit's run.sh)"
        facts = {"file": name, "sha256": sha256, "bytes": int(size), "command": command, "seconds": None}
        stages.append(om.stage(plan, onnx, chip(folder), told.precision, **facts))
    return stages


def _file(folder: Path, name: str) -> Path | None:
    return next(iter(sorted(folder.rglob(name))), None)
