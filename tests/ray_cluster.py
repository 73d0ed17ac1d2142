"""A Ray cluster of three nodes on this machine, runs to evaluate on it, and workers that misbehave as they are told."""

import contextlib
import functools
import json
import os
import secrets
import signal
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

from helpers import ROOT, accuracy, cluster, files, params, records, shards, steps
from helpers.ascend import om
from helpers.dataset import Manifest
from helpers.evaluator import Evaluator
from helpers.params import Convert
from helpers.preprocess import Preprocess
from helpers.records import Check, Data, Model, Stage
from tests import models, simulators

ON_CPU = "onnxruntime fp32 on CPUExecutionProvider"
ON_NPU = "ascend fp16 on Ascend310P3 (simulated device)"
HEAD = {"schema": 1, "created_utc": "", "git_commit": None, "git_dirty": None, "params": {}, "environment": {}, "seconds": 0.0}
NODE = {"num_cpus": 2, "resources": {"NPU": 1}}
TOKEN = secrets.token_hex()  # Ray reads it once in a process, whatever number of clusters are started there
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 200, "health_check_failure_threshold": 5}  # to miss a dead node


def environment_of(folder: Path) -> dict[str, str]:
    """Return the variables of a cluster whose processes see this checkout and simulated NPUs, and who alone may join it."""
    found = {**simulators.install(folder), "ASCEND_SIM_SCALE": "0.01", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    return {**found, **cluster.QUIET, "PYTHONPATH": os.pathsep.join([str(ROOT), found["PYTHONPATH"]])}


@contextlib.contextmanager
def three_nodes():
    """Run three nodes of two CPUs and an NPU each, and join the first."""
    import ray
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False, "_system_config": QUICK})
    try:
        for _ in range(2):
            nodes.add_node(**NODE)
        ray.init(nodes.address, **cluster.SILENT)
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def write_run(folder: Path, images: int, batch_size: int = 8, npu: bool = False) -> Path:
    """Write what notebooks 1 and 2 would for some of scikit-learn's digits and a linear model of them; return the folder."""
    artefacts = folder / "artefacts"
    artefacts.mkdir(parents=True)
    pixels, labels = load_digits(return_X_y=True)
    np.save(artefacts / "tensors.npy", np.repeat((pixels[:images] * 15.9).astype(np.uint8).reshape(-1, 8, 8, 1), 3, axis=3))
    Manifest([f"{place}.png" for place in range(images)], labels[:images].astype(np.int32)).save(artefacts / "manifest.csv")
    how = Preprocess(**models.PREPROCESS)
    _save(folder, _data(folder, images, how))
    onnx_stage = _write_model(artefacts / "digits.onnx")
    settings = Convert(backend="ascend", batch_sizes=[batch_size], batch_size=batch_size) if npu else None
    stages = [onnx_stage, *(om.make(artefacts, onnx_stage, settings, how) if npu else [])]
    checks = [_passed(ON_CPU, batch_size), *([_passed(ON_NPU, batch_size)] if npu else [])]
    told = {"step": "2_convert", "run": folder.name, "fingerprint": "m", "inputs": {"data": "d"}, "name": "digits", "classes": 10}
    _save(folder, Model(**HEAD, **told, random_weights=False, stages=stages, checks=checks))
    return folder


def step_of(folder: Path, workers: dict | None = None, **given):
    """Return notebook 3 at work on a run."""
    workers = {"engine": "ray", "unit_images": 16, "unit_timeout_seconds": 60, **(workers or {})}
    settings = {"run": str(folder), "batch_size": 8, "threads": 1, **given}
    return steps.Step(records.Accuracy, params.check(params.Accuracy, **settings, workers=workers))


def evaluate(folder: Path, engine: str = "ray", target: dict | None = None, keep_logits: bool = False, **workers):
    """Evaluate a run as notebook 3 does; return the candidate's result and the bytes of its scores."""
    step = step_of(folder, {"engine": engine, **workers}, keep_logits=keep_logits, **(target or {}))
    [result] = accuracy.results(step, *step.inputs)
    return result, (folder / result.scores_file).read_bytes()


def kept(folder: Path) -> list[int]:
    """Return the first image of each unit that is on disk."""
    return sorted(int(path.stem) for path in (folder / "artefacts" / "units" / "candidate").glob("[0-9]*.npz"))


def misbehave(folder: Path, **how) -> None:
    """Tell the workers of a run what to do wrong: see `Misbehaving`."""
    for claim in folder.glob("claim_*"):
        claim.unlink()
    (folder / "faults.json").write_text(json.dumps(how))


class Misbehaving(Evaluator):
    """Does what faults.json says.

    Each unit takes `slow_seconds`; the one at `fails_at` raises, the one at `kills_at` ends the process. The first `wrong` workers answer
    everything wrong, the first `drifts` do from their first unit on, the first `hangs` never answer their first unit, and each unit of the
    first `slow` takes half a second.
    """

    def __init__(self, job):
        super().__init__(job)
        self._faults = json.loads((job.folder / "faults.json").read_text())
        self._role = next((role for role in ("wrong", "drifts", "hangs", "slow") if claim(job.folder, role, self._faults)), "")

    def load(self):
        if text := self._faults.get("load_fails"):
            raise RuntimeError(text)
        loaded = super().load()
        if self._role == "wrong":
            self._spoil()
            return type(loaded)(**{**vars(loaded), "probe": self.probe()})
        return loaded

    def evaluate(self, unit, names=()):
        time.sleep(0.5 if self._role == "slow" else self._faults.get("slow_seconds", 0))
        if unit.first == self._faults.get("fails_at"):
            raise OSError("out of device memory\nat 0x1")
        if unit.first == self._faults.get("kills_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._role == "drifts":
            self._spoil()
        if self._role == "hangs":
            time.sleep(600)
        return super().evaluate(unit, names)

    def _spoil(self) -> None:
        """Answer with the neighbouring class from now on."""
        self._role, right = "", self._backend

        class Wrong:
            name = "wrong"

            def __call__(self, batch):
                return np.roll(right(batch), 1, axis=1)

        self._backend = Wrong()


def claim(folder: Path, role: str, faults: dict) -> bool:
    """Return whether who calls is among the first so many that ask for a role."""
    for number in range(faults.get(role, 0)):
        with contextlib.suppress(FileExistsError):
            (folder / f"claim_{role}_{number}").touch(exist_ok=False)
            return True
    return False


@functools.cache
def _linear_digits():
    return models.linear_digits()


def _write_model(path: Path) -> Stage:
    weights, bias = _linear_digits()
    constants = {"weights": weights, "bias": bias, "flat": np.array([-1, 192])}
    nodes = [
        helper.make_node("Reshape", ["input", "flat"], ["rows"]),
        helper.make_node("Gemm", ["rows", "weights", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probs"]),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in PORTS.items()]
    graph = helper.make_graph(
        nodes, "digits", ports[:1], ports[1:], [numpy_helper.from_array(value, key) for key, value in constants.items()]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    specs = [{"name": name, "shape": shape, "dtype": "float32"} for name, shape in PORTS.items()]
    told = {"bytes": path.stat().st_size, "command": "", "seconds": 0.0, "opset": 17}
    return Stage(
        name="onnx", format="onnx", file=f"artefacts/{path.name}", sha256=files.sha256(path), input=specs[0], output=specs[1], **told
    )


PORTS = {"input": ["n", 3, 8, 8], "probs": ["n", 10]}


def _data(folder: Path, images: int, how: Preprocess) -> Data:
    manifest, tensors = "artefacts/manifest.csv", "artefacts/tensors.npy"
    hashes = {"manifest_sha256": files.sha256(folder / manifest), "tensors_sha256": files.sha256(folder / tensors), "source_sha256": ""}
    empty = {"preprocess_differs": {}, "rejected": [], "remarks": [], "duplicates": []}
    told = {"source": "digits", "labels_source": "scikit-learn", "preprocess_source": "", "decoder": "", "class_names": []}
    speed = {"throughput": {"images_per_second": 1.0, "seconds": 1.0}}
    made = {"manifest": manifest, "tensors": tensors, "images": images, "classes": 10, "preprocess": how}
    head = {"step": "1_prepare_data", "run": folder.name, "fingerprint": "d", "inputs": {}}
    return Data(**HEAD, **head, **hashes, **empty, **told, **speed, **made)


def _passed(candidate: str, batch: int) -> Check:
    unknown = dict.fromkeys(("max_abs_diff", "cosine_min", "top1_agree_pct", "spread"))
    return Check(reference="pytorch", candidate=candidate, batch=batch, images=16, **unknown, passed=True, reason="")


def _save(folder: Path, record) -> None:
    (folder / record.file_name()).write_text(record.model_dump_json(by_alias=True))


if __name__ == "__main__":  # a driver of its own: run folder, then the address of Ray, empty for one of its own as well
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell ignores it
    from tests import ray_cluster  # by its own name, so that the workers can import it too

    shards.Evaluator = ray_cluster.Misbehaving
    evaluate(Path(sys.argv[1]), count=2, address=sys.argv[2])
