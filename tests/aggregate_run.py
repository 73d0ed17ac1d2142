"""A run to measure on several devices at once, which sleep."""

from pathlib import Path

from helpers import params, records, steps
from helpers.timing import Profile
from tests import ray_cluster

BRIEF = Profile(30, 0.0, 0.0, warm_up_seconds=0.05, limit_seconds=5.0, block_seconds=0.01)


def step_of(folder: Path, count: int = 2, **given):
    """Return notebook 4 at work on a run of a few digits, by devices that sleep 2 ms a call."""
    ray_cluster.write_run(folder, 16)
    null = {"backend": "null", "baseline": "none", "batch_sizes": [8], "provider_options": {"call_ms": 2.0, "image_ms": 0.0}}
    workers = {"engine": "ray", "count": count, "unit_timeout_seconds": 5.0}
    return steps.Step(records.Sweep, params.check(params.BatchSweep, run=str(folder), **{**null, "workers": workers, **given}))
