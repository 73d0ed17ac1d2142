"""OpenVINO, with a precision that is always said: without a hint it may choose bf16 by itself."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino

from helpers import backends, formats, quantise
from helpers.errors import ParameterError, UserError
from helpers.params import Target
from helpers.records import Model

# Of an int8 model the layers that were not quantised run in fp32: one precision more would be one more thing to judge.
PRECISIONS = {"auto": openvino.Type.f32, "fp32": openvino.Type.f32, "bf16": openvino.Type.bf16, "int8": openvino.Type.f32}


class Backend(backends.Backend):
    name = "openvino"

    @staticmethod
    def check(target: Target) -> None:
        core, provider = openvino.Core(), backends.provider(target).upper()
        if provider not in core.available_devices:
            raise ParameterError(
                f"provider {target.provider} is not an OpenVINO device here: choose among {', '.join(core.available_devices)}."
            )
        if target.precision == "bf16" and "BF16" not in core.get_property(provider, "OPTIMIZATION_CAPABILITIES"):
            raise ParameterError(f"this {provider} has no bf16: use precision: fp32.")
        for key, parameter in (("INFERENCE_PRECISION_HINT", "precision"), ("INFERENCE_NUM_THREADS", "threads")):
            if key in target.provider_options:
                raise ParameterError(f"provider_options of openvino do not take {key}: say {parameter}, which is recorded.")
        hint = target.provider_options.get("PERFORMANCE_HINT", "LATENCY")
        if hint not in ("LATENCY", "THROUGHPUT"):
            raise ParameterError(f"PERFORMANCE_HINT is LATENCY or THROUGHPUT, not {hint}.")

    def __init__(self, folder: Path, model: Model, target: Target):
        core, self.provider = openvino.Core(), backends.provider(target).upper()
        if target.precision == "int8" and not any(stage.format == "openvino" for stage in model.stages):
            raise UserError("this run has no int8 model: run 2_convert with the same precision and options.")
        stage = model.stage("openvino" if target.precision == "int8" else "onnx")
        self.precision = ("bf16" if target.precision == "bf16" else "fp32") if stage.precision == "fp32" else stage.precision
        self.threads = backends.thread_count(target)
        self.options = target.provider_options
        options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[target.precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
            **target.provider_options,
        }
        try:
            path = folder / stage.file
            read = core.read_model(path / quantise.GRAPH if stage.format == "openvino" else path)
            started = time.perf_counter()
            self._compiled = core.compile_model(read, self.provider, options)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"OpenVINO can't load the model with these provider_options: {reason}.") from error
        self.compile_seconds = time.perf_counter() - started
        if options["PERFORMANCE_HINT"] == "THROUGHPUT":
            streams = formats.counted(self._compiled.get_property("NUM_STREAMS"), "stream") if "NUM_STREAMS" in options else ""
            self.mode = f"throughput {streams}".rstrip()
            self.requests = self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._request = self._compiled.create_infer_request()
        self._queue = openvino.AsyncInferQueue(self._compiled, self.requests)
        self.device = backends.cpu_device() if self.provider == "CPU" else core.get_property(self.provider, "FULL_DEVICE_NAME")
        self.region = "compute" if self.provider == "CPU" else "device"

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self._request.set_input_tensor(_shared(batch))
        self._request.start_async()  # infer() looks at the kind of every input and wraps every output, 0.05 ms of Python
        self._request.wait()
        return self._request.get_output_tensor().data.copy()

    def flood(self, batches: Iterator[np.ndarray], calls: int) -> list[float]:
        seconds, held = [], {}  # a batch must live until its request is done
        try:
            for batch in itertools.islice(batches, calls):
                free = self._queue.get_idle_request_id()  # waits for one
                request = self._queue[free]
                if free in held:
                    seconds.append(request.latency / 1000)  # by OpenVINO's own clock: a callback would take turns with this loop
                held[free] = _shared(batch)
                request.set_input_tensor(held[free])
                self._queue.start_async()
        finally:
            self._queue.wait_all()  # after an error too: what is in flight at the end of the process aborts it
        return seconds + [self._queue[request].latency / 1000 for request in held]


def _shared(batch: np.ndarray) -> openvino.Tensor:
    """Return a view of a batch, which must live as long as it is used."""
    return openvino.Tensor(batch, shared_memory=True)
