"""Published reference numbers: params/baselines/*.yaml, each series with its source and the region it was measured in."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from helpers.errors import ParameterError
from helpers.records import Measured, Region, Row, Series


class Published(BaseModel):
    """One series of a baseline file."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: str
    role: Literal["baseline", "option"]
    device: str
    region: Region
    source: str
    images_per_second: dict[int, float]


def read(path: Path) -> list[Series]:
    """Return the series of a baseline file; no published number has an interval."""
    try:
        entries = [Published.model_validate(entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]
    except (ValidationError, yaml.YAMLError, TypeError) as error:
        raise ParameterError(f"baseline {path.name} is not a list of published series: {error}") from error
    if [entry.role for entry in entries].count("baseline") != 1:
        raise ParameterError(f"baseline {path.name} must have one series with role: baseline.")
    return [_series(entry) for entry in entries]


def _series(entry: Published) -> Series:
    rows = [
        Row(
            batch=batch,
            regions={entry.region: Measured(images_per_second=fps, interval_fps=None, latency_ms=None, blocks=None, calls=None)},
        )
        for batch, fps in sorted(entry.images_per_second.items())
    ]
    unknown = {"backend": "not stated", "precision": "not stated"}
    return Series(name=entry.name, role=entry.role, kind="published", device=entry.device, source=entry.source, rows=rows, **unknown)
