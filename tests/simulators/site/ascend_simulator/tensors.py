"""The binding's enumerations, structs and tensors."""

import enum

import numpy as np

from .om import Port
from .process import INFO, Process, copy, failure, write


class _Enum(enum.Enum):
    """As pybind11 makes them: int() works, comparing with an int does not."""

    def __int__(self) -> int:
        return self.value


class dtype(_Enum):
    """The numbers of TensorDataType."""

    float32, float16, int8, int32, uint8 = 0, 1, 2, 3, 4
    int16, uint16, uint32, int64, uint64, double, bool = 6, 7, 8, 9, 10, 11, 12


Where = _Enum("type", {"memory_host": 0, "memory_device": 1, "memory_dvpp": 2})

_FORMATS = {"f": "float32", "e": "float16", "d": "float64", "?": "bool", "b": "int8", "h": "int16", "i": "int32", "l": "int64"}
_FORMATS |= {"B": "uint8", "H": "uint16", "I": "uint32", "L": "uint64"}


def dtype_of(name: str) -> dtype:
    """Return the binding's dtype for numpy's name of it."""
    return dtype["double" if name == "float64" else name]


def described(kind: dtype) -> str:
    """Return how a dtype is printed."""
    return "double64" if kind is dtype.double else kind.name


def shape_text(shape: list[int]) -> str:
    """Return `(1, 3, 224, 224)`, and `(7)` for one dimension."""
    return f"({', '.join(map(str, shape))})"


class Struct:
    """A bound C++ struct: its fields and no others, each of its own type."""

    _fields: dict[str, object]

    def __init__(self):
        for name, default in self._fields.items():
            object.__setattr__(self, name, list(default) if isinstance(default, list) else default)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self._fields:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if not isinstance(value, type(self._fields[name])):
            raise TypeError(f"(): incompatible function arguments: {name}={value!r}")
        object.__setattr__(self, name, value)


class session_options(Struct):
    """Options of a session; `loop` is read at every run."""

    _fields = {"loop": 1, "log_level": INFO, "acl_json_path": ""}  # noqa: RUF012


class infer_options(Struct):
    """Options of run_pipeline, which is not simulated."""

    _fields = {  # noqa: RUF012
        **{"output_dir": "", "auto_dym_shape": False, "auto_dym_dims": False, "out_format": ""},
        **{"pure_infer_mode": False, "output_names": [], "shapes_list": []},
    }


class sumary(Struct):
    """The execute times since the last reset; the misspelling is the binding's."""

    _fields = {"exec_time_list": []}  # noqa: RUF012


class tensor_desc(Struct):
    """One input or output; `size` is for the largest batch, `realsize` for the one that is set."""

    _fields = {"name": "", "datatype": dtype.float32, "format": 0, "shape": [], "size": 0, "realsize": 0}  # noqa: RUF012


def describe(port: Port, batch: int) -> tensor_desc:
    """Return the tensor_desc of a port."""
    desc = tensor_desc()
    desc.name, desc.shape, desc.size, desc.realsize = port.name, list(port.shape), port.size(batch), port.size(batch)
    desc.datatype, desc.format = dtype_of(port.dtype), ("NCHW", "NHWC", "ND").index(port.layout)
    return desc


class MemorySummary:
    """The process-wide copy times in ms; reading a list copies it, as pybind11 does."""

    H2D_time_list = property(lambda self: list(Process.copies["H2D"]))
    D2H_time_list = property(lambda self: list(Process.copies["D2H"]))

    def reset(self) -> None:
        """Forget both lists."""
        Process.copies.update(H2D=[], D2H=[])


class BaseTensor:
    """An address and a size; nothing keeps the memory behind it alive."""

    def __init__(self, ptr: int, nbytes: int, /):
        if not (isinstance(ptr, int) and isinstance(nbytes, int)):
            raise TypeError("__init__(): incompatible constructor arguments. The following argument types are supported: (int, int)")
        self.buf, self.size = ptr, nbytes


class Tensor:
    """A copy of a buffer that moves in place between host and device."""

    def __init__(self, buffer, /):
        view = memoryview(buffer)
        if not view.c_contiguous:
            raise RuntimeError("simulator: this buffer is not C-contiguous, the real binding would copy the wrong bytes of it")
        known = _FORMATS.get(view.format)
        # a format that the binding does not know is taken for uint8, one byte an element
        raw = view.tobytes() if known else view.tobytes()[: view.nbytes // view.itemsize]
        self._array, self._where, self._device = np.frombuffer(raw, known or "uint8").reshape(view.shape), Where.memory_host, -1

    @classmethod
    def on_device(cls, array: np.ndarray, device: int) -> "Tensor":
        """Return an output of the chip."""
        tensor = cls(array)
        tensor._where, tensor._device = Where.memory_device, device
        return tensor

    type = property(lambda self: self._where)
    device = property(lambda self: self._device)
    shape = property(lambda self: list(self._array.shape))
    dtype = property(lambda self: dtype_of(self._array.dtype.name))

    def content(self) -> bytes:
        """Return the bytes, for the simulator itself."""
        return self._array.tobytes()

    def _move(self, where: Where, device: int) -> None:
        if (self._where, self._device) == (where, device):
            return
        if not 0 <= device < Process.device_count:
            write(f"deviceId({device}) is bigger than deviceCount({Process.device_count})\n")
            raise failure(1004)
        if self._device < 0:
            copy(self._array.nbytes, "H2D")
        self._where, self._device = where, device

    def to_device(self, device_id: int, /) -> None:
        """Copy to a device, in place; impossible before the process has opened one."""
        self._move(Where.memory_device, device_id)

    def to_dvpp(self, device_id: int, /) -> None:
        """Copy to a device's media memory, in place."""
        self._move(Where.memory_dvpp, device_id)

    def to_host(self) -> None:
        """Copy back, in place."""
        if self._device >= 0:
            copy(self._array.nbytes, "D2H")
            self._where, self._device = Where.memory_host, -1

    def __array__(self, dtype=None, copy=None):
        if self._device >= 0:
            raise RuntimeError("tensor is in npu. can't convert to numpy array")
        return np.array(self._array, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"<Tensor>\nshape:\t{shape_text(self.shape)}\ndtype:\t{described(self.dtype)}\ndevice:\t{self._device}"
