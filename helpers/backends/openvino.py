"""OpenVINO, with a precision that is always said: without a hint it may choose bf16 by itself."""

from pathlib import Path

import numpy as np
import openvino

from helpers import backends
from helpers.errors import ParameterError, UserError
from helpers.params import Target
from helpers.records import Model

PRECISIONS = {"auto": openvino.Type.f32, "fp32": openvino.Type.f32, "bf16": openvino.Type.bf16}


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

    def __init__(self, folder: Path, model: Model, target: Target):
        core, self.provider = openvino.Core(), backends.provider(target).upper()
        stage = model.stage("onnx")
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
            self._compiled = core.compile_model(folder / stage.file, self.provider, options)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"OpenVINO can't load the model with these provider_options: {reason}.") from error
        self._request = self._compiled.create_infer_request()
        self.device = backends.cpu_device() if self.provider == "CPU" else core.get_property(self.provider, "FULL_DEVICE_NAME")
        self.region = "compute" if self.provider == "CPU" else "device"

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self._request.infer([batch], share_inputs=True)
        return self._request.get_output_tensor().data.copy()
