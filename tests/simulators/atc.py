"""A simulated atc: it checks what the real one checks, in its order, and writes a simulated .om."""

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "site"))

import aipp
import atc_shapes
import numpy as np
import onnx
from ascend_simulator import settings
from ascend_simulator.om import Om, Port, Program
from atc_flags import FILES, FLAGS, FRAMEWORKS, AtcError, InitError, new_style, parse, refuse_unmodelled

FAILED = 255
SOC_VERSIONS = (
    *("Ascend310", "Ascend310P1", "Ascend310P3", "Ascend310P5", "Ascend310P7", "Ascend310B1", "Ascend310B4"),
    *("Ascend910A", "Ascend910B1", "Ascend910B2", "Ascend910B3", "Ascend910B4"),
)
MODULES = ("attr", "decorator", "sympy", "cffi", "yaml", "pathlib2", "psutil", "google.protobuf", "scipy", "requests", "absl")
PROBE = f"""
import numpy
if int(numpy.__version__.split(".")[0]) >= 2:
    raise AttributeError("`np.float_` was removed in the NumPy 2.0 release. Use `np.float64` instead.")
for module in {MODULES!r}:
    __import__(module)
"""


def check_flags(flags: dict[str, str]) -> None:
    """Check the flags against each other and the files they name."""
    if flags.get("auto_tune_mode"):
        reason = "The Auto Tune function has been deprecated. Please use the AOE tool for tuning."
        raise AtcError("E10001", flags["auto_tune_mode"], "--auto_tune_mode", reason)
    if "framework" not in flags:
        raise AtcError("E10007", FRAMEWORKS)
    for name in ("soc_version", "output", "model"):
        if not flags.get(name):
            raise AtcError("E10054", f"--{name}")
    if not Path(flags["model"]).is_file():
        raise AtcError("E10410", flags["model"])
    _check_output(flags["output"])
    if flags.get("optypelist_for_implmode") and "op_select_implmode" not in flags:
        reason = "Parameters --op_select_implmode and --optypelist_for_implmode must be set at the same time."
        raise AtcError("E10001", flags["optypelist_for_implmode"], "--optypelist_for_implmode", reason)
    if flags.get("op_precision_mode") and not Path(flags["op_precision_mode"]).is_file():
        reason = "Path defined by op precision mode is not found."
        raise AtcError("E10001", flags["op_precision_mode"], "--op_precision_mode", reason)
    if "precision_mode" in flags and "precision_mode_v2" in flags:
        raise AtcError("E10056", "--precision_mode", "--precision_mode_v2")
    atc_shapes.check_dynamic(flags)
    for name in FILES:
        if name in flags and not Path(flags[name]).is_file():
            raise AtcError("E10410", flags[name])
    if flags.get("input_format", "NCHW") not in ("NCHW", "ND", "NCDHW"):
        raise AtcError("E10001", flags["input_format"], "--input_format", "The value must be NCHW, ND or NCDHW.")
    if flags.get("output_type", "FP32") not in ("FP32", "FP16", "UINT8", "INT8"):
        reason = "The value must be FP32, FP16, UINT8, INT8. A node can only have one type. The correct example is: --output_type=FP32."
        raise AtcError("E10001", flags["output_type"], "--output_type", reason)


def _check_output(output: str) -> None:
    if output.endswith("/"):
        raise AtcError("E10022", output, "output")
    if not Path(output).parent.is_dir():  # the documentation wants the folder, newer sources create it; the wording is not known
        raise AtcError("E10001", output, "--output", "Can not create directory.")


def check_environment(flags: dict[str, str]) -> None:
    """Check the chip and the Python that TBE would be imported into."""
    soc = flags["soc_version"]
    if soc not in SOC_VERSIONS and not re.fullmatch(r"Ascend910_93\d\d", soc):  # the wording is not known
        raise AtcError("E10001", soc, "--soc_version", "The soc version is not supported.")
    try:
        probe = subprocess.run(["python3", "-c", PROBE], capture_output=True, text=True)
        trace = probe.stderr.strip().splitlines() if probe.returncode else []
    except FileNotFoundError as error:
        trace = [str(error)]
    if trace:
        found = AtcError("EC0010", trace[-1])
        inner = AtcError("EZ9999", trace=tuple(trace))
        raise AtcErrors(found, inner)


class AtcErrors(AtcError):
    """Several errors, printed one after the other."""

    def __init__(self, *errors: AtcError):
        Exception.__init__(self, "\n".join(map(str, errors)))


def load(path: str) -> onnx.ModelProto:
    """Return the model, or E10041."""
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own error class differs between its implementations
        raise AtcError("E10041", path) from error
    if not model.graph.node:
        raise AtcError("E10041", path)
    node = model.graph.node[0]
    name, version = node.name or f"{node.op_type}_0", model.opset_import[0].version
    if not os.environ.get("ASCEND_OPP_PATH"):
        raise AtcError("E10501", name, node.op_type)
    if len(model.opset_import) > 1:  # that it fails is known, the wording is not
        raise AtcError("E19010", name, f"ai.onnx::{version}::{node.op_type}")
    return model


def input_ports(model: onnx.ModelProto, flags: dict[str, str]) -> tuple[list[Port], list[int]]:
    """Return the real inputs with the shapes that the flags give them, and the gears."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in initializers]
    dynamic = bool(flags.get("dynamic_batch_size"))
    shapes = atc_shapes.user_shapes(flags.get("input_shape", ""), dynamic)
    gears = atc_shapes.gears(flags["dynamic_batch_size"], shapes) if dynamic else []
    own = {value.name: [dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim] for value in values}
    for name in own if not dynamic else []:
        if any(size < 0 for size in shapes.get(name, own[name])):
            if new_style():
                reason = "The shapes of inputs contain -1 in the model. You may need to set input shape to specify its shape."
                raise AtcError("E10001", "NULL", "--input_shape", reason)
            raise AtcError("E10001", -1, name, "maybe you should set input_shape to specify its shape.")
    for name, shape in shapes.items():
        if name not in own:
            raise AtcError("E10016", name, "input_shape")
        if len(shape) != len(own[name]):
            raise AtcError("E10049", len(shape), len(own[name]))
    layout = flags.get("input_format", "NCHW")
    ports = [
        Port(
            value.name,
            np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)).name,
            layout if layout == "NCHW" and len(own[value.name]) == 4 else "ND",
            shapes.get(value.name, own[value.name]),
        )
        for value in values
    ]
    return ports, gears


def apply_aipp(path: str, port: Port) -> tuple[Port, dict]:
    """Return the input as AIPP makes it, uint8 NHWC, and the parameters."""
    if len(port.shape) != 4:
        raise AtcError("E10052", "the input is not an image")
    try:
        parameters = aipp.parse(Path(path).read_text(), *port.shape[2:])
    except aipp.AippError as error:
        raise AtcError("E10052", error) from error
    size = [parameters["src_image_size_h"], parameters["src_image_size_w"]]
    return Port(port.name, "uint8", "NHWC", [port.shape[0], *size, 3]), parameters


def output_ports(model: onnx.ModelProto, om: Om, kind: str | None) -> list[Port]:
    """Return the outputs, found by running the model once on zeros, as shape inference does on the real one."""
    arrays = [np.zeros(port.sized(om.largest_batch), port.dtype) for port in om.inputs]
    try:
        outputs = Program(om).compute(arrays)
    except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
        raise AtcError("E19999", trace=(f"Infer shape failed: {error}", "build graph failed, graph id:0, ret:-1")) from error
    producers = {
        name: (node.name or f"{node.op_type}_{place}", index)
        for place, node in enumerate(model.graph.node)
        for index, name in enumerate(node.output)
    }
    dtype = {"FP32": "float32", "FP16": "float16", "UINT8": "uint8", "INT8": "int8"}.get(kind or "")
    ports = []
    for value, output in zip(model.graph.output, outputs, strict=True):
        node, index = producers[value.name]
        shape = [-1, *output.shape[1:]] if om.gears else list(output.shape)
        ports.append(Port(f"{node}:{index}:{value.name}", dtype or output.dtype.name, "ND", shape))
    return ports


def convert(flags: dict[str, str]) -> list[str]:
    """Write the .om and return the warnings."""
    check_flags(flags)
    refuse_unmodelled(flags)
    check_environment(flags)
    model = load(flags["model"])
    inputs, gears = input_ports(model, flags)
    parameters = None
    if "insert_op_conf" in flags:
        inputs[0], parameters = apply_aipp(flags["insert_op_conf"], inputs[0])
    Path(flags.get("debug_dir", "kernel_meta")).mkdir(parents=True, exist_ok=True)
    Path("fusion_result.json").write_text("[]")
    if settings.fault("atc-fail") or settings.fault("atc-fail-rc0"):
        trace = ("build graph failed, graph id:0, ret:-1[FUNC:BuildModel][FILE:ge_generator.cc][LINE:1484]",)
        raise AtcError("EZ3003", "AddDsl", "AddDsl", trace=trace)
    precision = flags.get("precision_mode") or flags.get("precision_mode_v2") or "force_fp16"
    facts = {"soc_version": flags["soc_version"], "precision": precision, "inputs": inputs, "gears": gears, "aipp": parameters}
    facts["onnx_bytes"] = model.SerializeToString()
    om = Om(**facts, outputs=output_ports(model, Om(**facts, outputs=[]), flags.get("output_type")))
    suffix = f"_linux_{platform.machine()}.om" if settings.fault("atc-host-suffix") else ".om"
    if not settings.fault("atc-no-file"):
        om.write(Path(flags["output"] + suffix))
    slow = [node.name or node.op_type for node in model.graph.node if node.op_type in ("Slice", "Gather")]
    reason = "does not hit the high-priority operator information library, which might result in compromised performance."
    return [f"W11001: Op [{name}] {reason}" for name in slow[:1]]


def main(arguments: list[str]) -> int:
    """Convert, tell the story on stdout and return the exit code."""
    print("ATC start working now, please wait for a moment.", flush=True)
    while settings.fault("atc-hang"):
        time.sleep(60)
    if {"-h", "--h", "-help", "--help"} & set(arguments):
        print("usage: atc <args>", *(f"  --{name}" for name in sorted(FLAGS)), sep="\n")
        return 0
    lines, code = [], 0
    try:
        warnings = convert(parse(arguments))
        lines += ["ATC run success, welcome to the next use.", *warnings]
    except InitError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        error = AtcError("E19999", trace=())
        lines, code = [str(error), "        Unknown error occurred. Please check the log."], FAILED
    except AtcError as error:
        lines, code = [str(error)], FAILED
    if new_style():
        print("...")
    if code:
        print("ATC run failed, Please check the detail log, Try 'atc --help' for more information")
    print("\n".join(lines))
    return 0 if settings.fault("atc-fail-rc0") else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
