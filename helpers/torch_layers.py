"""What the modules of a PyTorch model give, under the names of the ONNX file that was exported from it."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import onnx

from helpers import graph
from helpers.layers import Probe, Values

WHOLE = ""  # the call of the whole model


class Calls:
    """What the innermost modules gave in one pass; a second call of `relu` is named `relu_1`, as the exporter names it."""

    def __init__(self, module):
        parts = dict(module.named_modules())
        prefix = graph.wrapper(parts)
        self.names = {name.removeprefix(prefix): part for name, part in parts.items() if name and not any(part.children())}
        self.told: Values = {}
        self.folded: dict[str, str] = {}  # call -> the call of the BatchNorm that took its output
        self._counts: Counter[str] = Counter()
        self._last: tuple[str, object] = ("", None)

    def hook(self, name: str) -> Callable:
        """Return the forward hook of one module."""
        from torch import Tensor
        from torch.nn.modules.batchnorm import _BatchNorm

        def keep(part, given: tuple, output: object) -> None:
            call = f"{name}_{self._counts[name]}" if self._counts[name] else name
            self._counts[name] += 1
            if not isinstance(output, Tensor) or (call != name and call in self.names):
                return
            if isinstance(part, _BatchNorm) and given[0] is self._last[1]:
                self.folded[self._last[0]] = call
            self.told[call] = output.float().numpy().copy()  # the next module may write into it
            self._last = call, output

        return keep


def of_torch(module, model: onnx.ModelProto, precision: str = "fp32") -> Probe:
    """Return the probe of a module on the CPU, in fp32 or bf16, whose values are those of the ONNX model that was exported from it."""

    def run(images: np.ndarray) -> Iterator[Values]:
        places = None
        for image in images:
            calls = _called(module, image[None], precision)
            places = places or _places(model, calls)
            yield {value: calls.told[call] for value, call in places.items()}

    return Probe(f"PyTorch {precision}", run, graph.values(model), precision)


def _called(module, image: np.ndarray, precision: str) -> Calls:
    """Return the calls of one pass."""
    import torch  # absent on device hosts

    calls = Calls(module)
    handles = [part.register_forward_hook(calls.hook(name)) for name, part in calls.names.items()]
    try:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            calls.told[WHOLE] = module(torch.from_numpy(image)).float().numpy()
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _places(model: onnx.ModelProto, calls: Calls) -> dict[str, str]:
    """Return ONNX value -> call of a module: its output is the one value that leaves its scope.

    A BatchNorm that the graph no longer has is in the output of the layer before it.
    """
    values = graph.values(model, calls.told.keys() - {WHOLE})
    modules = {value.module for value in values.values()}
    leaving = {source for value in values.values() for source in value.inputs if values[source].module != value.module}
    times = Counter(values[name].module for name in leaving)
    places = {}
    for name in leaving:
        call = values[name].module
        if call in calls.told and times[call] == 1:
            places[name] = calls.folded[call] if calls.folded.get(call, call) not in modules else call
    return places | {model.graph.output[0].name: WHOLE}
