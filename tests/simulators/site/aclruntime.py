"""A simulated aclruntime 0.0.2: the binding's names, texts and traps, with ONNX Runtime where the chip would be.

C++ prints at descriptor level, so this does too. What exists depends on ASCEND_SIM_ERA.
"""

import ctypes
import time
from pathlib import Path

import numpy as np
from ascend_simulator import latency, settings
from ascend_simulator.om import Om, OmError, Program
from ascend_simulator.process import ERROR, INFO, WARN, Process, close_devices, copy, failure, hang, open_device, say, write
from ascend_simulator.tensors import Tensor, Where, describe, described, dtype, session_options, shape_text, sumary, tensor_desc

_ERA = "V1" if settings.era() == "V1b" else settings.era()
_STATIC, _DYNAMIC_BATCH = 0, 1

if _ERA != "V1":  # the tools of the second generation still ask whether the binding has them
    from ascend_simulator.tensors import BaseTensor, MemorySummary  # noqa: F401
if _ERA == "V4":
    from ascend_simulator.tensors import infer_options  # noqa: F401


def _is_list(values: object, kind: type) -> bool:
    return isinstance(values, (list, tuple)) and all(isinstance(value, kind) for value in values)


class InferenceSession:
    """A loaded model on one device; three positional arguments and no other constructor."""

    _program: Program | None = None

    def __init__(self, model_path, device_id, options, /):
        if not (isinstance(model_path, str) and hasattr(device_id, "__index__") and isinstance(options, session_options)):
            raise TypeError(
                "__init__(): incompatible constructor arguments. The following argument types are supported:\n"
                "    1. aclruntime.InferenceSession(arg0: str, arg1: int, arg2: aclruntime.session_options)"
            )
        self._device, self._options, self._times, self._runs = device_id.__index__(), options, [], 0
        open_device(self._device)
        Process.log_level = options.log_level
        try:
            self._om = Om.read(model_path)
            if settings.fault("load-fail") or self._om.soc_version != f"Ascend{settings.chip()}":
                raise OmError(f"{model_path} was made for {self._om.soc_version}")
        except OmError as error:
            write("E19999: Inner Error!\n        [Model][FromData]load model from data failed[FUNC:ReportCallError][FILE:log_inner.cpp]\n")
            say(ERROR, f"load model from file failed, model file is {model_path}")
            say(WARN, "Check failed:processModel->LoadModelFromFile(modelPath), ret:1\n")
            say(WARN, "no model had been loaded, unload failed")
            raise failure(1) from error
        self._program, self._loaded = Program(self._om), time.perf_counter()
        Process.models += 1
        self._model_id = Process.models
        say(INFO, f"load model {model_path} success")
        say(INFO, "create model description success")
        self._batch, self._dynamic = self._om.largest_batch, _STATIC
        self._inputs = [describe(port, self._batch) for port in self._om.inputs]
        self._outputs = [describe(port, self._batch) for port in self._om.outputs]

    def __del__(self):
        self._unload()

    def _unload(self) -> None:
        if self._program is not None:
            self._program = None
            say(INFO, f"unload model success, model Id is {self._model_id}")

    def get_inputs(self) -> list[tensor_desc]:
        """Return the inputs; the hidden one that selects a gear is not among them."""
        return list(self._inputs)

    def get_outputs(self) -> list[tensor_desc]:
        """Return the outputs, with names such as `node:0:probs`."""
        return list(self._outputs)

    def options(self) -> session_options:
        """Return the options object itself."""
        return self._options

    def sumary(self) -> sumary:
        """Return the execute times."""
        summary = sumary()
        summary.exec_time_list = list(self._times)
        return summary

    def reset_sumaryinfo(self) -> int:
        """Forget the execute times."""
        self._times.clear()
        return 0

    def set_staticbatch(self) -> int:
        """Say that no gear is used."""
        self._dynamic = _STATIC
        return 0

    def set_dynamic_batchsize(self, batch: int, /) -> int:
        """Choose a gear."""
        if not self._om.gears:
            say(ERROR, "the dynamic_batch_size parameter is not specified for model conversion")
        elif batch not in self._om.gears:
            gears = "".join(f"[{gear}]" for gear in self._om.gears)
            say(ERROR, "the dymBatch parameter is not correct")
            say(ERROR, f"model has dynamic batch size:{{{gears}}}, please set correct dynamic batch size")
        if batch not in self._om.gears:
            say(WARN, "Check failed:processModel->CheckDynamicBatchSize(batchsize, is_dymbatch), ret:1\n")
            raise failure(1)
        say(INFO, "check dynamic batch success")
        for desc in self._inputs:
            if -1 in desc.shape:
                desc.realsize = desc.size * batch // self._om.largest_batch
        self._batch, self._dynamic = batch, _DYNAMIC_BATCH
        return 0

    def set_dynamic_hw(self, height: int, width: int, /) -> int:
        """Fail: no model here has image gears."""
        say(ERROR, "the dynamic_image_size parameter is not specified for model conversion")
        raise failure(1)

    def set_dynamic_dims(self, dims: str, /) -> int:
        """Fail: no model here has dims gears."""
        write("the dynamic_dims parameter is not specified for model conversion")
        raise failure(-1)

    def set_custom_outsize(self, sizes: list[int], /) -> int:
        """Accept sizes, which only models of dynamic shape need."""
        if not _is_list(sizes, int):
            raise TypeError("set_custom_outsize(): incompatible function arguments")
        return 0

    def __repr__(self) -> str:
        def lines(descs: list[tensor_desc]) -> str:
            rows = ((desc.name, shape_text(desc.shape), described(desc.datatype), str(desc.size), str(desc.realsize)) for desc in descs)
            return "".join(f"  #{index}    {'  '.join(row)}\n" for index, row in enumerate(rows))

        return f"<Model>\ndevice:\t{self._device}\ninput:\n{lines(self._inputs)}output:\n{lines(self._outputs)}"

    def _check_sizes(self, sizes: list[int]) -> None:
        """Check the bytes of every input and nothing else about them."""
        if len(sizes) > len(self._inputs):
            raise RuntimeError(f"simulator: {len(sizes)} inputs for {len(self._inputs)}, the real binding reads past the end of its list")
        for index, (desc, size) in enumerate(zip(self._inputs, sizes, strict=False)):
            if size != desc.realsize:
                say(ERROR, f"Check i:{index} name:{desc.name} in size:{size} needsize:{desc.realsize} not match")
                say(ERROR, "Check InVector failed ret:-1")
                raise failure(-1)

    def _tensor_bytes(self, tensors: list[Tensor]) -> list[bytes | None]:
        contents = [tensor.content() for tensor in tensors]
        self._check_sizes(list(map(len, contents)))
        return [content if tensor.device == self._device else None for tensor, content in zip(tensors, contents, strict=True)]

    def _mapped(self, feeds: dict[str, Tensor]) -> list[Tensor]:
        missing = [(index, desc.name) for index, desc in enumerate(self._inputs) if desc.name not in feeds]
        if len(feeds) != len(self._inputs):
            say(ERROR, f"intensors size:{len(feeds)} need size:{len(self._inputs)} not match")
        elif missing:
            say(ERROR, f"intensors i:{missing[0][0]} name:{missing[0][1]} not find")
        else:
            return [feeds[desc.name] for desc in self._inputs]
        say(ERROR, "Check InVector failed ret:-1")
        raise failure(-1)

    def _set_inputs(self, feeds: list[bytes | None]) -> None:
        code = 0
        if len(feeds) != len(self._inputs):
            say(WARN, f"intensors in:{len(feeds)} need:{len(self._inputs)} not match")
            code = -1
        elif self._om.gears and self._dynamic == _STATIC:
            say(WARN, f"check failed dym gearcount:{len(self._om.gears)} but dymtype:{self._dynamic} not set")
            code = -1
        elif settings.fault("output-size-zero"):
            say(ERROR, "out i:0 size is zero")
            say(ERROR, "create outmemory data failed:3011")
            code = 3011
        if code:
            say(ERROR, f"Set InputsData failed ret:{code}")
            raise failure(code)
        self._feeds = feeds

    def _execute(self) -> None:
        if self._program is None:
            raise RuntimeError("simulator: the model is unloaded, the real binding would crash")
        Process.executes += 1
        if settings.fault_at("run-hang") == Process.executes:
            hang(holds_interpreter=_ERA != "V1")
        start = time.perf_counter()
        if None in self._feeds or settings.fault_at("run-fail") == Process.executes:  # the chip cannot read a tensor that is not on it
            say(ERROR, f"execute model failed, modelId is {self._model_id}")
            say(ERROR, "acl execute failed:1")
            say(ERROR, "Execute Infer failed ret:-1")
            raise failure(-1)
        self._results = self._program(self._feeds, self._batch)
        milliseconds = float(np.float32(latency.execute_ms(self._batch, self._runs)))
        self._runs += 1
        latency.last_until(start, milliseconds)
        if _ERA == "V4":  # since the model was loaded, in float32: an old session's times are coarse
            begin = (start - self._loaded) * 1000
            self._times.append((float(np.float32(begin)), float(np.float32(begin + milliseconds))))
        elif _ERA != "V1":
            self._times.append(milliseconds)

    def _fetch(self, names: list[str]) -> list[Tensor]:
        known = [desc.name for desc in self._outputs]
        if unknown := [name for name in names if name not in known]:
            say(ERROR, f"outnames {unknown[0]} not valid")
            say(ERROR, "Get OutTensors failed ret:-1")
            raise failure(-1)
        found = [self._results[known.index(name)] for name in names]
        if settings.fault("garbage"):
            found = [np.full_like(array, np.nan) if array.dtype.kind == "f" else array for array in found]
        return [Tensor.on_device(array, self._device) for array in found]

    if _ERA == "V1":

        def run_setinputs(self, feeds, /) -> int:
            """Take the inputs of the next executes."""
            if not (_is_list(feeds, Tensor) or isinstance(feeds, dict)):
                raise TypeError("run_setinputs(): incompatible function arguments")
            self._set_inputs(self._tensor_bytes(self._mapped(feeds) if isinstance(feeds, dict) else list(feeds)))
            return 0

        def run_execute(self, loop: int = 1) -> int:
            """Execute `loop` times; the caller takes the time."""
            for _ in range(loop):
                self._execute()
            return 0

        def run_getoutputs(self, names, /) -> list[Tensor]:
            """Return the outputs, on the device."""
            return self._fetch(names)

    else:

        def run(self, names, feeds, /) -> list[Tensor]:
            """Execute `loop` times and return the outputs, on the device."""
            if _is_list(names, str) and _is_list(feeds, Tensor):
                inputs = self._tensor_bytes(list(feeds))
            elif _is_list(names, str) and isinstance(feeds, dict) and _is_list(list(feeds.values()), Tensor):
                inputs = self._tensor_bytes(self._mapped(feeds))
            elif _is_list(names, str) and _is_list(feeds, BaseTensor):
                inputs = []
                for base in feeds:
                    copy(base.size, "H2D")
                    inputs.append(ctypes.string_at(base.buf, base.size))
                self._check_sizes([base.size for base in feeds])
            else:
                raise TypeError(
                    "run(): incompatible function arguments. The following argument types are supported: "
                    "(list[str], list[Tensor]), (list[str], dict[str, Tensor]), (list[str], list[BaseTensor])"
                )
            self._set_inputs(inputs)
            loop = self._options.loop
            for number in range(1, loop + 1):
                self._execute()
                if loop > 1:
                    write(f"\rloop inference exec: ({number}/{loop})" + "\n" * (number == loop))
            return self._fetch(names)

        def create_tensor_from_fileslist(self, desc: tensor_desc, files: list[str], /) -> Tensor:
            """Return one device tensor filled with the bytes of all files."""
            content = b"".join(Path(file).read_bytes() for file in files)
            tensor = Tensor(content.ljust(desc.realsize, b"\0")[: desc.realsize])
            tensor.to_device(self._device)
            return tensor

        def get_max_dym_batchsize(self) -> int:
            """Return the largest gear, 0 without gears."""
            return max(self._om.gears, default=0)

    if _ERA == "V4":

        def get_dym_aipp_input_exist(self) -> int:
            """Return 0: dynamic AIPP is not simulated."""
            return 0

        def free_resource(self) -> None:
            """Unload the model."""
            self._unload()

        @staticmethod
        def finalize() -> int:
            """Close every device of the process."""
            close_devices("end to reset device {}")
            return 0

    elif _ERA != "V1":

        def finalize(self) -> int:
            """Unload this model and close every device of the process."""
            self._unload()
            close_devices("end to destroy context\n[INFO] end to reset device is {}")
            return 0


def model(modelPath: str, deviceId: int = 0, options: session_options | None = None) -> InferenceSession:
    """Return a session; without options the real binding follows a null pointer."""
    return InferenceSession(modelPath, deviceId, options)


globals().update({**dtype.__members__, **Where.__members__, "type": Where})  # last, because `bool` and `type` are among them
