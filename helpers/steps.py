"""A notebook at work: the records it reads, the fingerprint of what it is about to do, the one record it writes."""

import hashlib
import json
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from helpers import ROOT, environment, files, parts
from helpers.ascend import atc, npu_smi
from helpers.errors import UserError
from helpers.params import Accuracy, Settings
from helpers.records import Record


class Step:
    """A notebook at work: its inputs, its folders, and the one record that it will write."""

    def __init__(self, kind: type[Record], settings: Settings):
        self._started = time.monotonic()
        self.kind, self.settings = kind, settings
        self.folder = folder(settings.run)
        self.artefacts = self.folder / "artefacts"
        for place in (self.folder, self.artefacts, files.HASH_CACHE.parent):
            files.remove_unfinished(place)
        self.inputs = load_inputs(kind, self.folder)
        if not kind.QUOTES_INPUTS:  # it reads the files that the records vouch for, not the records alone
            for record in self.inputs:
                _check_artefacts(record, self.folder)
        self.fingerprint = fingerprint(kind, settings, self.inputs)

    def forget(self) -> bool:
        """Remove the record of this very step and return whether there was one: then the step is made anew on purpose."""
        try:
            recorded = load(self.kind, self.folder).fingerprint == self.fingerprint
        except UserError:
            return False
        if recorded:
            (self.folder / self.kind.file_name()).unlink()
        return recorded

    def record(self, **body: Any) -> Record:
        """Return the record as it would be written now."""
        git_commit, git_dirty = environment.commit()
        return self.kind(
            run=self.folder.name,
            step=self.kind.STEP,
            created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            git_commit=git_commit,
            git_dirty=git_dirty,
            params={**self.settings.model_dump(mode="json"), "run": self.folder.name},
            fingerprint=self.fingerprint,
            inputs={type(record).__name__.lower(): record.fingerprint for record in self.inputs},
            environment={
                **environment.machine(),
                **_accelerator(self.kind, self.settings),
                **environment.versions(self.kind.PACKAGES),
            },
            seconds=round(time.monotonic() - self._started, 3),
            **body,
        )

    def save(self, **body: Any) -> Record:
        """Write the record and return it."""
        record = self.record(**body)
        text = json.dumps(record.model_dump(mode="json", by_alias=True), indent=1, allow_nan=False, ensure_ascii=False)
        files.write_text(self.folder / self.kind.file_name(), text + "\n")
        return record


def folder(run: str) -> Path:
    """Return a run's folder: a name below reports/ or an absolute path."""
    return ROOT / "reports" / run


def load(kind: type[Record], run_folder: Path) -> Record:
    """Return one record of a run; UserError names the notebook to run when it is missing or of another version."""
    path = run_folder / kind.file_name()
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path.name} is not in run {run_folder.name}: run {kind.STEP} first.") from None
    except ValidationError:
        raise UserError(f"{path.name} of run {run_folder.name} has another version's form: run {kind.STEP} again.") from None


def load_inputs(kind: type[Record], run_folder: Path) -> tuple[Record, ...]:
    """Return the records that a notebook reads; UserError when they were not made from each other."""
    inputs = tuple(load(needed, run_folder) for needed in kind.INPUTS)
    known = {type(record).__name__.lower(): record.fingerprint for record in inputs}
    for record in inputs:
        for name, used in record.inputs.items():
            if used != known[name]:
                raise UserError(f"{record.file_name()} was made from another {name}.json: run {record.STEP} again.")
    return inputs


def fingerprint(kind: type[Record], settings: Settings, inputs: tuple[Record, ...]) -> str:
    """Return the sha256 over everything that a step's result depends on."""
    hashes = files.sha256_many(settings.files())
    parts = {
        "params": settings.model_dump(mode="json", exclude={"run"} | _who_works(kind)),
        "inputs": [record.model_dump_json() if kind.QUOTES_INPUTS else record.fingerprint for record in inputs],
        "files": [hashes[path] for path in settings.files()],
        "code": _code_hash(kind),
        "packages": environment.versions(kind.PACKAGES),
        "machine": [environment.machine(), platform.node()] if kind.ON_DEVICE else None,
        "accelerator": _accelerator(kind, settings),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def is_current(kind: type[Record], settings: Settings, run_folder: Path) -> bool:
    """Return whether the record of a step exists, would come out the same, and its artefacts are untouched."""
    try:
        record = load(kind, run_folder)
        same = record.fingerprint == fingerprint(kind, settings, load_inputs(kind, run_folder))
        _check_artefacts(record, run_folder)
    except UserError:
        return False
    return same


def is_brought(kind: type[Record], settings: Settings, run_folder: Path) -> bool:
    """Return whether a step's record was made with these parameters on another machine and its artefacts came along whole.

    There the files that it was made from, and the packages, need not be here.
    """
    try:
        record = load(kind, run_folder)
        inputs = {type(made).__name__.lower(): made.fingerprint for made in load_inputs(kind, run_folder)}
        _check_artefacts(record, run_folder)
    except UserError:
        return False
    if record.inputs != inputs:
        return False
    elsewhere = any(record.environment.get(fact) != value for fact, value in environment.machine().items())
    who = _who_works(kind)
    told = {name: value for name, value in record.params.items() if name not in who}
    return elsewhere and told == {**settings.model_dump(mode="json", exclude=who), "run": run_folder.name}


def _check_artefacts(record: Record, run_folder: Path) -> None:
    """Raise UserError when a file that a record vouches for is gone or is another one by now; of a store in parts, sizes are looked at."""
    paths = {run_folder / name: sha256 for name, sha256 in record.artefacts().items()}
    found = files.sha256_many([path for path in paths if path.exists()])
    wrong = [path for path, sha256 in paths.items() if found.get(path) != sha256]
    wrong = wrong or [part for path in paths if path.name == parts.INDEX for part in parts.damaged(path)]
    if wrong:
        raise UserError(f"{wrong[0].name} is not the file that {record.file_name()} was written for: run {record.STEP} again.")


def _who_works(kind: type[Record]) -> set[str]:
    """Return the parameters that decide who works and nothing else: by whomever images are prepared, they come out the same."""
    return set() if kind.ON_DEVICE else {"workers"}


def _accelerator(kind: type[Record], settings: Settings) -> dict[str, str]:
    """Return what decides the speed beside the machine itself: the accelerator that a step runs on."""
    used = {getattr(settings, "backend", ""), *(getattr(one, "provider", "") for one in (settings, *getattr(settings, "options", [])))}
    if not kind.ON_DEVICE:
        return {}
    if used & {"cuda", "tensorrt", "CUDAExecutionProvider", "TensorrtExecutionProvider"}:
        found = environment.gpus()
        return {"gpu": ", ".join(name for name, _ in found), "gpu_driver": found[0][1]} if found else {}
    if not used & {"ascend", "CANNExecutionProvider"}:
        return {}
    try:
        chip = npu_smi.chip(int(settings.provider_options.get("device_id", 0)))
    except UserError:
        if isinstance(settings, Accuracy) and settings.workers.engine == "ray":  # the devices are elsewhere, and each unit tells its own
            return {}
        raise
    return {"npu": chip.soc_version, "npu_driver": npu_smi.version(), "cann": atc.cann_version()}


def helpers_hash() -> str:
    """Return the hash of the helpers' source."""
    code = hashlib.sha256()
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        code.update(path.read_bytes())
    return code.hexdigest()


def _code_hash(kind: type[Record]) -> str:
    """Return the hash of the helpers and of the notebook's code; its parameters cell is not code."""
    code = hashlib.sha256(helpers_hash().encode())
    notebook = json.loads((ROOT / "notebooks" / f"{kind.STEP}.ipynb").read_bytes())  # nbformat takes a second to import
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", []):
            code.update("".join(cell["source"]).encode())
    return code.hexdigest()
