"""The command line of ais_bench and, in the first generation, of ais_infer.py (ASCEND_SIM_ERA)."""

import argparse
import itertools
import json
import os
import sys
import time
from pathlib import Path

import aclruntime
import numpy as np
from ascend_simulator import settings
from tqdm import tqdm

from ais_bench import paths
from ais_bench.files import PURE, array_of, batches, info_line, input_files, listed, save

PERCENTILE = 99
UNMODELLED = ("dymHW", "dymDims", "dymShape", "outputSize", "acl_json_path", "profiler", "dump", "aipp_config", "pipeline", "backend")


def _truth(value: str) -> bool:
    if value.lower() not in ("yes", "true", "t", "y", "1", "no", "false", "f", "n", "0"):
        raise argparse.ArgumentTypeError("Boolean value expected true, 1, false, 0 with case insensitive.")
    return value.lower() in ("yes", "true", "t", "y", "1")


def _positive(value: str) -> int:
    if int(value) <= 0:
        raise argparse.ArgumentTypeError(f"{value} is an invalid positive int value")
    return int(value)


def _count(value: str) -> int:
    if int(value) < 0:
        raise argparse.ArgumentTypeError(f"{value} is an invalid nonnegative int value")
    return int(value)


def _devices(value: str) -> list[int]:
    devices = [int(part) for part in value.split(",")]
    if any(not 0 <= device <= 255 for device in devices):
        raise argparse.ArgumentTypeError(f"device:{value} is invalid. valid value range is [0, 255]")
    return devices


def parser(era: str) -> argparse.ArgumentParser:
    """Return the flags of one generation."""
    old, first, strict = era in ("V1", "V1b", "V2"), era in ("V1", "V1b"), era == "V4"
    flags = argparse.ArgumentParser(prog="ais_infer.py" if first else "ais_bench")
    add = flags.add_argument
    add("--model", "--om" if old else "-m", required=True, type=paths.om_path if strict else str)
    add("--input", "-i", type=paths.input_path if strict else str)
    add("--output", "-o", type=paths.output_path if strict else str)
    add("--outfmt", default="BIN", choices=["NPY", "BIN"] if era == "V1" else ["NPY", "BIN", "TXT"])
    add("--loop", "-r" if old else "-l", type=int if first else _positive, default=1)
    if era == "V1":
        add("--debug", action="store_true")
        add("--device_id", "--device", dest="device", type=int, default=0, choices=range(255))
    else:
        add("--debug", type=_truth, default=False)
        add("--device", *([] if old else ["-d"]), type=int if old else _devices, default=0 if old else [0])
    add("--dymBatch", type=_positive if strict else int, default=0)
    for name in ("--dymHW", "--dymDims", "--dymShape", "--outputSize", "--acl_json_path"):
        add(name)
    add("--batchsize", type=_positive, default=1 if old else None)
    add("--pure_data_type", default="zero", choices=["zero", "random"])
    if not first:
        add("--output_dirname", type=paths.output_path if strict else str)
        add("--warmup_count", *(["--warmup-count"] if strict else []), type=_count, default=1)
        add("--display_all_summary", type=_truth, default=False)
        add("--output_batchsize_axis", type=_count, default=0)
        add("--run_mode", default="array", choices=["array", "files", "tensor", "full"])
        for name in ("--profiler", "--dump"):
            add(name, type=_truth, default=False)
    if strict:
        add("--divide_input", type=_truth, default=False)
        add("--threads", type=_positive, default=1)
        add("--pipeline", type=_truth, default=False)
        for name in ("--aipp_config", "--backend"):
            add(name)
    return flags


class Timed:
    """The first generation's session: the caller takes the times of copies and of `run_execute(loop)`."""

    def __init__(self, session, device: int):
        self.session, self.device = session, device
        self.names = [desc.name for desc in session.get_outputs()]
        self.compute, self.copies = [], {"H2D": [], "D2H": []}

    def _timed(self, direction: str, move, *args) -> None:
        start = time.time()
        move(*args)
        self.copies[direction].append((time.time() - start) * 1000)

    def __call__(self, arrays: list[np.ndarray], loop: int, keep: bool) -> list[np.ndarray]:
        tensors = [aclruntime.Tensor(array) for array in arrays]
        for tensor in tensors:
            self._timed("H2D", tensor.to_device, self.device)
        self.session.run_setinputs(tensors)
        start = time.time()
        self.session.run_execute(loop)
        self.compute.append((time.time() - start) * 1000 / loop)
        outputs = self.session.run_getoutputs(self.names)
        for output in outputs if keep else []:
            self._timed("D2H", output.to_host)
        return [np.array(output) for output in outputs] if keep else []

    def reset(self) -> None:
        """Forget the warm-up."""
        self.compute, self.copies = [], {"H2D": [], "D2H": []}

    def times(self) -> tuple[list[float], list[float], list[float]]:
        """Return the times of H2D, compute and D2H in ms."""
        return self.copies["H2D"], self.compute, self.copies["D2H"]


class Looped:
    """The later generations' session: the binding takes the times."""

    def __init__(self, session):
        self.session = session
        self.names = [desc.name for desc in session.get_outputs()]

    def __call__(self, arrays: list[np.ndarray], loop: int, keep: bool) -> list[np.ndarray]:
        arrays = [np.ascontiguousarray(array) for array in arrays]
        self.session.options().loop = loop
        outputs = self.session.run(self.names, [aclruntime.BaseTensor(array.ctypes.data, array.nbytes) for array in arrays])
        for output in outputs:
            output.to_host()
        return [np.array(output) for output in outputs]

    def reset(self) -> None:
        """Forget the warm-up."""
        self.session.reset_sumaryinfo()
        aclruntime.MemorySummary().reset()

    def times(self) -> tuple[list[float], list[float], list[float]]:
        """Return the times of H2D, compute and D2H in ms."""
        compute = [entry[1] - entry[0] if isinstance(entry, tuple) else entry for entry in self.session.sumary().exec_time_list]
        return aclruntime.MemorySummary().H2D_time_list, compute, aclruntime.MemorySummary().D2H_time_list


def _statistics(times: list[float]) -> dict[str, float]:
    values = times or [0.0]
    functions = {"min": np.min, "max": np.max, "mean": np.mean, "median": np.median}
    return {
        **{name: float(function(values)) for name, function in functions.items()},
        f"percentile({PERCENTILE}%)": float(np.percentile(values, PERCENTILE)),
    }


def report(times: tuple[list, list, list], batch: int, args, era: str, info: dict) -> dict:
    """Print the summary as this generation words it and return what its JSON file holds."""
    names, first = ("H2D_latency", "NPU_compute_time", "D2H_latency"), era in ("V1", "V1b")
    found = dict(zip(names, map(_statistics, times), strict=True))
    mean = found["NPU_compute_time"]["mean"]
    throughput = 1000 * batch / mean if mean else 0
    wording = {
        "V1": f"throughput (1000*batchsize/NPU_compute_time): {throughput}",
        "V1b": f"throughput (1000*batchsize/NPU_compute_time): {throughput}",
        "V2": f"throughput 1000*batchsize({batch})/NPU_compute_time.mean({mean}): {throughput}",
    }
    info_line("-----------------Performance Summary------------------")
    for name in names if first or args.display_all_summary else names[1:2]:
        info_line(f"{name} (ms): " + ", ".join(f"{key} = {value}" for key, value in found[name].items()))
    info_line(wording.get(era, f"throughput 1000*batchsize.mean({batch})/NPU_compute_time.mean({mean}): {throughput}"))
    info_line("------------------------------------------------------")
    summary = {"simulated": True, "filesinfo": info, **found, "throughput": throughput, "args": sys.argv}
    if not first:
        for name, values in zip(names, times, strict=True):
            summary[name]["count"] = len(values)
        summary |= {"npu_compute_time_list": times[1], "pid": os.getpid()}
    return summary


def run_device(args, device: int, era: str, folder: Path | None, files: str | None) -> float:
    """Run everything on one device and return the throughput."""
    first = era in ("V1", "V1b")
    options = aclruntime.session_options()
    options.log_level = 1 if args.debug else 2
    session = aclruntime.InferenceSession(args.model, device, options)
    if args.dymBatch:
        session.set_dynamic_batchsize(args.dymBatch)
    else:
        session.set_staticbatch()
    batch = args.batchsize
    if batch is None:
        batch = args.dymBatch or session.get_inputs()[0].shape[0]
        info_line(f"try get model batchsize:{batch}")
    if folder:
        folder.mkdir() if first else folder.mkdir(parents=True, exist_ok=True)
        info_line(f"output path:{folder}")
    descs = session.get_inputs()
    runs = batches(input_files(files, len(descs), era), descs[0].realsize, era) if files else [[[PURE] for _ in descs]]
    runner = Timed(session, device) if first else Looped(session)

    def arrays(infiles: list[list[str]]) -> list[np.ndarray]:
        return [array_of(part, desc.realsize, args.pure_data_type) for part, desc in zip(infiles, descs, strict=True)]

    for _ in range(5 if first else args.warmup_count):
        runner(arrays([[PURE] for _ in descs] if first else runs[0]), 1, False)
    runner.reset()
    if not first:
        info_line(f"warm up {args.warmup_count} done")
    info: dict[str, dict] = {}
    for number, infiles in enumerate(
        tqdm(runs, file=sys.stdout, desc="Inference Processing task" if first else "Inference array Processing")
    ):
        outputs = runner(arrays(infiles), args.loop, folder is not None)
        if folder:
            save(outputs, folder, infiles, number, args, era, info)
    summary = report(runner.times(), batch, args, era, info)
    if folder:
        target = folder / "sumary.json" if first else folder.parent / f"{folder.name}_summary.json"
        target.write_text(json.dumps(summary))
    if era == "V4":
        session.free_resource()
    if not first:
        session.finalize()
    return summary["throughput"]


def run_devices(args, era: str, folder: Path | None) -> int:
    """Run one device after the other (the real tool: at once) and return the exit code."""
    info_line(f"multidevice:{args.device} run begin")
    shares: list[str | None] = [args.input] * len(args.device)
    if args.input and getattr(args, "divide_input", False):
        entries = args.input.split(",")
        files = list(itertools.chain(*([entry] if os.path.isfile(entry) else listed(entry, era) for entry in entries)))
        shares = [",".join(chunk) for chunk in np.array_split(files, len(args.device))]
    rows = []
    for index, device in enumerate(args.device):
        start = time.time()
        throughput = run_device(args, device, era, folder and folder / f"device{device}_{index}", shares[index])
        rows.append((f"i:{index} device_{device} throughput:{throughput} start_time:{start} end_time:{time.time()}", throughput))
    info_line(f"multidevice run end qsize:{2 * len(rows)} result:0")
    for line, _ in rows:
        info_line(line)
    info_line(f"summary throughput:{sum(throughput for _, throughput in rows)}")
    return 0


def main(arguments: list[str] | None = None) -> None:
    """Parse, run, exit: 0, 2 for a wrong command line, 1 for any exception."""
    era = settings.era()
    args = parser(era).parse_args(arguments)
    asked = [name for name in UNMODELLED if getattr(args, name, None)]
    asked += [name for name, plain in (("threads", 1), ("run_mode", "array")) if getattr(args, name, plain) != plain]
    if asked:
        sys.exit(f"simulator: --{asked[0]} is not modelled")
    dirname = getattr(args, "output_dirname", None)
    if dirname is not None and (args.output is None or dirname.startswith("/")):
        print("[ERROR] parameter --output_dirname cann't be used alone. Please use it together with the parameter --output!\n", flush=True)
        raise RuntimeError("error bad parameters --output_dirname")
    folder = Path(args.output) / (dirname or time.strftime("%Y_%m_%d-%H_%M_%S")) if args.output else None
    devices = args.device if isinstance(args.device, list) else [args.device]
    if len(devices) > 1:
        sys.exit(run_devices(args, era, folder))
    run_device(args, devices[0], era, folder, args.input)
