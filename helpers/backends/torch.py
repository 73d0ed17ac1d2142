"""PyTorch on the CPU or a CUDA device: eager fp32 is what a user has before any conversion, the rest is what PyTorch itself offers."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from helpers import backends, classifier, files, sources
from helpers.errors import ParameterError, UserError, first_line
from helpers.params import Target
from helpers.records import Model
from helpers.timing import Times

DTYPES = {"auto": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
OPTIONS = {"channels_last": "channels_last", "compile": "compiled", "cuda_graphs": "CUDA graphs"}  # name -> as a label has it
BATCH_SIZES = 1000  # of one code torch.compile keeps 8 versions, and beyond them runs eagerly without a word


@dataclass(frozen=True)
class Graph:
    """The kernels of one batch size, recorded, with the tensors on the device that they read and write."""

    graph: "torch.cuda.CUDAGraph"
    given: torch.Tensor
    answers: torch.Tensor
    peak_bytes: int  # while it was recorded: replaying allocates nothing


class Backend(backends.Backend):
    name = "torch"

    @staticmethod
    def check(target: Target) -> None:
        here = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
        provider = backends.provider(target)
        if provider not in here:
            raise ParameterError(f"provider {target.provider}: torch runs here on {' or '.join(here)}.")
        for key, value in target.provider_options.items():
            if key not in OPTIONS or not isinstance(value, bool):
                raise ParameterError(f"provider_options of backend torch are {', '.join(OPTIONS)}, true or false; not {key}: {value}.")
        if provider == "cpu" and (target.precision == "fp16" or target.provider_options.get("cuda_graphs")):
            raise ParameterError("fp16 and cuda_graphs need provider: cuda; on a CPU choose precision bf16, or compile.")

    def __init__(self, folder: Path, model: Model, target: Target):
        self.provider = backends.provider(target)
        self.precision = "fp32" if target.precision == "auto" else target.precision
        self.options = {key: value for key, value in target.provider_options.items() if value}
        on_cuda = self.provider == "cuda"
        self.mode = " ".join(["CUDA"] * on_cuda + [OPTIONS[key] for key in sorted(self.options)])
        self.threads = backends.thread_count(target)
        self.device = torch.cuda.get_device_name() if on_cuda else backends.cpu_device()
        self.region = "device" if on_cuda else "compute"
        torch.set_num_threads(self.threads)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # PyTorch has it on for convolutions: fp32 is fp32
        checkpoint, self._original = model.params["checkpoint"], model.stage("pytorch")
        expected = self._original.sha256
        if expected and files.sha256(sources.existing("checkpoint", checkpoint)) != expected:
            raise UserError(f"{checkpoint} is not the file that was converted: run 2_convert again.")
        self._dtype, self._ready = DTYPES[target.precision], set()
        self._module = classifier.load(model.params["model"], checkpoint).to(self.provider)
        if on_cuda:
            self._module = self._module.to(self._dtype)  # autocast would convert the weights anew in every call
        if "channels_last" in self.options:
            self._module = self._module.to(memory_format=torch.channels_last)
        self._forward = torch.compile(self._module, dynamic=False) if "compile" in self.options else self._module
        self._graphs: dict[int, Graph] = {}
        self._graph_peak = 0
        self._pinned = torch.empty(0)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.prepare(len(batch))
        with torch.inference_mode():
            if self.provider == "cpu":
                return self._run(torch.from_numpy(batch)).numpy()
            return self._run_on_cuda(torch.from_numpy(batch))

    def prepare(self, batch: int) -> None:
        """Compile and record what a batch size needs, once."""
        if batch in self._ready or not self.options.keys() & {"compile", "cuda_graphs"}:
            return
        started = time.perf_counter()
        with torch.inference_mode():
            given = torch.zeros((batch, *self._original.input.shape[1:]), device=self.provider)
            if "compile" in self.options:
                self._compile(given)
            if "cuda_graphs" in self.options:
                self._graphs[batch] = self._record(given)
        self.compile_seconds = time.perf_counter() - started
        self._ready.add(batch)

    def device_memory_bytes(self) -> int | None:
        if self.provider != "cuda":
            return None
        peak, self._graph_peak = max(torch.cuda.max_memory_allocated(), self._graph_peak), 0
        torch.cuda.reset_peak_memory_stats()
        return peak

    def close(self) -> None:
        self._module = self._forward = None
        self._graphs.clear()
        if self.provider == "cuda":
            torch.cuda.empty_cache()

    def _run(self, given: torch.Tensor) -> torch.Tensor:
        """Return probabilities float32 on the device, for images float32 on it."""
        if self._dtype == torch.float32:
            return self._forward(given)
        if self.provider == "cuda":
            return self._forward(given.to(self._dtype)).float()
        with torch.autocast("cpu", self._dtype):
            return self._forward(given).float()

    def _run_on_cuda(self, batch: torch.Tensor) -> np.ndarray:
        """Return probabilities, and keep the times of the copies and of the execution between them."""
        if self._pinned.shape != batch.shape:
            self._pinned = torch.empty(batch.shape, pin_memory=True)  # memory that the device can read by itself
        graph = self._graphs[len(batch)] if "cuda_graphs" in self.options else None
        marks = [self._now()]
        self._pinned.copy_(batch)
        if graph:
            graph.given.copy_(self._pinned, non_blocking=True)
        else:
            given = self._pinned.to("cuda", non_blocking=True)
        marks.append(self._now())
        if graph:
            graph.graph.replay()
            self._graph_peak = max(self._graph_peak, graph.peak_bytes)
        answers = graph.answers if graph else self._run(given)
        marks.append(self._now())
        probabilities = answers.cpu().numpy()
        marks.append(self._now())
        self.times = Times(*np.diff(marks).tolist())
        return probabilities

    @staticmethod
    def _now() -> float:
        """Return the time when everything that was asked of the device is done."""
        torch.cuda.synchronize()
        return time.perf_counter()

    def _compile(self, given: torch.Tensor) -> None:
        limits = {"recompile_limit": BATCH_SIZES, "accumulated_recompile_limit": BATCH_SIZES, "fail_on_recompile_limit_hit": True}
        try:
            with torch._dynamo.config.patch(**limits):
                self._run(given)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # inductor's and the compiler's own
            raise UserError(f"torch.compile failed ({first_line(error)}): install a C++ compiler (g++), or leave compile out.") from error

    def _record(self, given: torch.Tensor) -> Graph:
        """Return the CUDA graph of one batch size."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # libraries choose their kernels here, which they may not do while a graph is recorded
            for _ in range(3):
                self._run(given)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.reset_peak_memory_stats()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            answers = self._run(given)
        return Graph(graph, given, answers, torch.cuda.max_memory_allocated())
