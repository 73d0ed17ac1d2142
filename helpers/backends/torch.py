"""PyTorch on the CPU or a CUDA device: eager fp32 is what a user has before any conversion, the rest is what PyTorch itself offers."""

import time
from pathlib import Path

import numpy as np
import torch

from helpers import backends, classifier, files, sources
from helpers.errors import ParameterError, UserError
from helpers.params import Target
from helpers.records import Model
from helpers.timing import Times

DTYPES = {"auto": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
OPTIONS = {"channels_last": "channels_last", "compile": "compiled", "cuda_graphs": "CUDA graphs"}  # name -> as a label has it


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
        self.mode = " ".join(OPTIONS[key] for key in sorted(self.options))
        self.threads = backends.thread_count(target)
        self.device = torch.cuda.get_device_name() if self.provider == "cuda" else backends.cpu_device()
        self.region = "device" if self.provider == "cuda" else "compute"
        torch.set_num_threads(self.threads)
        checkpoint, self._original = model.params["checkpoint"], model.stage("pytorch")
        expected = self._original.sha256
        if expected and files.sha256(sources.existing("checkpoint", checkpoint)) != expected:
            raise UserError(f"{checkpoint} is not the file that was converted: run 2_convert again.")
        self._dtype, self._ready = DTYPES[target.precision], set()
        self._module = classifier.load(model.params["model"], checkpoint).to(self.provider)
        if self.provider == "cuda":
            self._module = self._module.to(self._dtype)  # half of the weights' traffic too; TF32 stays off, PyTorch's default for fp32
        if "channels_last" in self.options:
            self._module = self._module.to(memory_format=torch.channels_last)
        self._forward = torch.compile(self._module, dynamic=False) if "compile" in self.options else self._module
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]] = {}

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.prepare(len(batch))
        with torch.inference_mode():
            if self.provider == "cpu":
                return self._run(torch.from_numpy(batch)).numpy()
            return self._run_on_cuda(torch.from_numpy(batch))

    def prepare(self, batch: int) -> None:
        """Compile and capture what a batch size needs, once."""
        if batch in self._ready or not self.options.keys() & {"compile", "cuda_graphs"}:
            return
        self._ready.add(batch)
        with torch.inference_mode():
            given = torch.zeros((batch, *self._original.input.shape[1:]), device=self.provider)
            if "compile" in self.options:
                self._compile(given)
            if "cuda_graphs" in self.options:
                self._graphs[batch] = self._capture(given)

    def device_memory_bytes(self) -> int | None:
        if self.provider != "cuda":
            return None
        peak = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return peak

    def _run(self, given: torch.Tensor) -> torch.Tensor:
        """Return probabilities float32 on the device, for images float32 on it."""
        if self._dtype == torch.float32:
            return self._forward(given)
        if self.provider == "cuda":
            return self._forward(given.to(self._dtype)).float()
        with torch.autocast("cpu", self._dtype):
            return self._forward(given).float()

    def _run_on_cuda(self, batch: torch.Tensor) -> np.ndarray:
        """Return probabilities, and keep the times of the copies, from and to pageable memory, and of the execution between them."""
        marks = [time.perf_counter()]
        given = batch.to("cuda")
        self._mark(marks)
        if len(batch) in self._graphs:
            graph, graph_given, answers = self._graphs[len(batch)]
            graph_given.copy_(given)
            graph.replay()
        else:
            answers = self._run(given)
        self._mark(marks)
        probabilities = answers.cpu().numpy()
        self._mark(marks)
        self.times = Times(*np.diff(marks).tolist())
        return probabilities

    @staticmethod
    def _mark(marks: list[float]) -> None:
        """Note the time when everything that was asked of the device is done."""
        torch.cuda.synchronize()
        marks.append(time.perf_counter())

    def _compile(self, given: torch.Tensor) -> None:
        torch.compiler.reset()  # of one code it keeps few versions, and beyond them runs eagerly without a word
        started = time.perf_counter()
        try:
            self._run(given)
        except Exception as error:  # inductor's and the compiler's own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise UserError(f"torch.compile failed ({reason}): install a C++ compiler (g++), or leave compile out.") from error
        self.compile_seconds = time.perf_counter() - started

    def _capture(self, given: torch.Tensor) -> "tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]":
        """Return the graph of one batch size with its input and its output on the device."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # libraries choose their kernels here, which they may not do while a graph is captured
            for _ in range(3):
                self._run(given)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            answers = self._run(given)
        return graph, given, answers
