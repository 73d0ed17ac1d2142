"""The simulated .om file: an ONNX model with what atc decided about it, executed by ONNX Runtime."""

import json
import os
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

MAGIC = b"IMOD"
ONNX_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


class OmError(ValueError):
    """The file is not a simulated .om, or not all of it."""


@dataclass(frozen=True)
class Port:
    """One input or output; the batch of a model with gears is -1 in `shape`."""

    name: str
    dtype: str
    layout: str  # NCHW, NHWC or ND
    shape: list[int]

    def sized(self, batch: int) -> list[int]:
        """Return the shape with the batch filled in."""
        return [batch if size < 0 else size for size in self.shape]

    def size(self, batch: int) -> int:
        """Return the bytes of this tensor."""
        return int(np.prod(self.sized(batch), dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Om:
    """A converted model: `gears` are the batch sizes of --dynamic_batch_size, `aipp` belongs to input 0."""

    soc_version: str
    precision: str
    inputs: list[Port]
    outputs: list[Port]
    onnx_bytes: bytes = field(repr=False)
    gears: list[int] = field(default_factory=list)
    aipp: dict | None = None

    @property
    def largest_batch(self) -> int:
        """Return the batch that memory is allocated for."""
        return max(self.gears) if self.gears else self.inputs[0].shape[0]

    def write(self, path: Path) -> None:
        """Write the file with mode 0600, as atc does."""
        facts = {key: value for key, value in asdict(self).items() if key != "onnx_bytes"}
        head = json.dumps({**facts, "onnx_size": len(self.onnx_bytes)}).encode()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(MAGIC + struct.pack("<Q", len(head)) + head + self.onnx_bytes)

    @classmethod
    def read(cls, path: str) -> "Om":
        """Read a file; OmError where it is missing, foreign or cut short."""
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise OmError(str(error)) from error
        if content[:4] != MAGIC or len(content) < 12:
            raise OmError(f"{path} is not a simulated .om")
        end = 12 + struct.unpack("<Q", content[4:12])[0]
        try:
            facts = json.loads(content[12:end])
        except ValueError as error:
            raise OmError(f"{path} is damaged") from error
        if facts.pop("onnx_size") != len(content) - end:
            raise OmError(f"{path} is cut short")
        ports = {key: [Port(**port) for port in facts.pop(key)] for key in ("inputs", "outputs")}
        return cls(**facts, **ports, onnx_bytes=content[end:])


class Program:
    """Run the model on bytes of the right size, whatever they mean."""

    def __init__(self, om: Om):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._om = om
        self._session = onnxruntime.InferenceSession(om.onnx_bytes, options, providers=["CPUExecutionProvider"])
        self._last: tuple[list[bytes], list[np.ndarray]] | None = None

    def __call__(self, feeds: list[bytes], batch: int) -> list[np.ndarray]:
        """Return the outputs; a timing loop that repeats an input is computed once, so that it lasts as long as it says."""
        if self._last is None or self._last[0] != feeds:
            arrays = [np.frombuffer(feed, port.dtype).reshape(port.sized(batch)) for feed, port in zip(feeds, self._om.inputs, strict=True)]
            self._last = feeds, self.compute(arrays)
        return [output.copy() for output in self._last[1]]

    def compute(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for inputs in the om's own layout and dtype."""
        if self._om.aipp:
            arrays = [preprocess(arrays[0], self._om.aipp), *arrays[1:]]
        wanted = self._session.get_inputs()
        feeds = {entry.name: array.astype(ONNX_TYPES[entry.type]) for entry, array in zip(wanted, arrays, strict=True)}
        outputs = self._session.run(None, feeds)
        return [output.astype(port.dtype) for output, port in zip(outputs, self._om.outputs, strict=True)] if self._om.outputs else outputs


def preprocess(pixels: np.ndarray, aipp: dict) -> np.ndarray:
    """Return NCHW float32 from uint8 NHWC pixels: swap, crop, then (in - mean - min) * var in float16."""
    if aipp["rbuv_swap_switch"]:
        pixels = pixels[..., ::-1]
    if aipp["crop"]:
        top, left = aipp["load_start_pos_h"], aipp["load_start_pos_w"]
        pixels = pixels[:, top : top + aipp["crop_size_h"], left : left + aipp["crop_size_w"]]
    mean, low, factor = (np.array(aipp[key], np.float32) for key in ("mean_chn", "min_chn", "var_reci_chn"))
    scaled = ((pixels.astype(np.float32) - mean - low) * factor).astype(np.float16).astype(np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
