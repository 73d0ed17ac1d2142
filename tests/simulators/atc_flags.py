"""The command line of atc: which flags there are, which values they take, and how errors are worded.

Builds up to 8.0 put the values in an error into brackets; later ones leave the brackets out and add the process id
and a time stamp (ASCEND_SIM_ATC=new).
"""

import os
import re
import sys
import time
from pathlib import Path

from ascend_simulator import settings

FRAMEWORKS = "0(Caffe) or 1(MindSpore) or 3(TensorFlow) or 5(Onnx)"
VALUES = {
    "mode": ("0", "1", "3", "5", "6", "7", "30"),
    "framework": ("0", "1", "3", "5"),
    "log": ("debug", "info", "warning", "error", "null"),
    "precision_mode": (
        *("force_fp16", "force_fp32", "cube_fp16in_fp32out", "allow_mix_precision", "allow_mix_precision_fp16"),
        *("allow_mix_precision_bf16", "allow_fp32_to_fp16", "allow_fp32_to_bf16", "must_keep_origin_dtype"),
    ),
    "precision_mode_v2": ("fp16", "origin", "cube_fp16in_fp32out", "mixed_float16", "mixed_bfloat16", "cube_hif8", "mixed_hif8"),
    "op_select_implmode": ("high_precision", "high_performance", "high_precision_for_all", "high_performance_for_all"),
    "op_compiler_cache_mode": ("enable", "disable", "force"),
    "buffer_optimize": ("l1_optimize", "l2_optimize", "off_optimize"),
    "core_type": ("AiCore", "VectorCore"),
    "op_debug_level": ("0", "1", "2", "3", "4"),
}
BITS = (
    "enable_small_channel",
    "disable_reuse_memory",
    "virtual_type",
    "external_weight",
    "deterministic",
    "sparsity",
    "display_model_info",
)
FILES = ("insert_op_conf", "keep_dtype", "modify_mixlist", "customize_dtypes", "fusion_switch_file", "compression_optimize_conf")
PLAIN = (
    *("model", "output", "soc_version", "input_shape", "input_format", "dynamic_batch_size", "output_type", "op_precision_mode"),
    *("optypelist_for_implmode", "auto_tune_mode", "aicore_num", "debug_dir", "op_compiler_cache_dir", "host_env_os", "host_env_cpu"),
    *("oo_level", "check_report", "device_id"),
)
UNMODELLED = (
    "om",
    "json",
    "weight",
    "singleop",
    "dynamic_image_size",
    "dynamic_dims",
    "input_shape_range",
    "out_nodes",
    "input_fp16_nodes",
)
FLAGS = {*VALUES, *BITS, *FILES, *PLAIN, *UNMODELLED}

# text, possible cause and solution by code; [%s] is a value that old builds bracket
ERRORS = {code: rest for code, *rest in (line.split("\t") for line in Path(__file__).with_name("atc_errors.tsv").read_text().splitlines())}


class AtcError(Exception):
    """A failed conversion; its text is what atc prints behind `ATC run failed`."""

    def __init__(self, code: str, *values: object, trace: tuple[str, ...] = ()):
        text, cause, solution = ERRORS[code]
        if new_style():
            stamp = time.strftime("%Y-%m-%d-%H:%M:%S") + ".000.000"
            text = f"[PID: {os.getpid()}] {stamp} " + re.sub(r"\[(%s|--[\w%]+)\]", r"\1", text)
        lines = [
            f"{code}: {text % values}",
            *([f"Possible Cause: {cause}"] if cause else []),
            *([f"Solution: {solution}"] if solution else []),
        ]
        super().__init__("\n        ".join([*lines, *(["TraceBack (most recent call last):", *trace] if trace else [])]))


class InitError(Exception):
    """The command line could not be read: there is a line on stderr and no reason on stdout."""


def new_style() -> bool:
    """Return whether errors are worded as builds after 8.0 do (ASCEND_SIM_ATC)."""
    return settings.choice("ASCEND_SIM_ATC", ("old", "new")) == "new"


def parse(arguments: list[str]) -> dict[str, str]:
    """Return the flags by name; `--a=b`, `--a b` and `-a` are one, and so are `-` and `_` within a name."""
    flags: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not re.match(r"--?[A-Za-z]{2,}", argument):
            raise InitError(f"Non-option parameter: {argument}")
        name, mark, value = argument.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if name not in FLAGS:
            raise InitError(f"unknown command line flag '{name}'")
        if not mark:
            if not rest:
                raise InitError(f"flag '--{name}' is missing its argument")
            value = rest.pop(0)
        _check_value(name, value)
        flags[name] = value
    return flags


def _check_value(name: str, value: str) -> None:
    if name in BITS and value not in ("0", "1"):
        raise AtcError("E10006", value, name)
    if name not in VALUES or value in VALUES[name]:
        return
    if name == "log":
        raise AtcError("E10010", value)
    if name == "framework":
        raise AtcError("E10007", FRAMEWORKS)
    known = sorted(VALUES[name])
    listed = "The valid range is " + "".join(f"[{entry}] " for entry in known) + "." if new_style() else ", ".join(known) + "."
    raise AtcError("E10001", value, f"--{name}", f"The value is not within the range of values{'. ' if new_style() else ': '}{listed}")


def refuse_unmodelled(flags: dict[str, str]) -> None:
    """Stop with a word of its own where the simulator would have to pretend."""
    asked = [name for name in UNMODELLED if name in flags]
    asked += [f"{name}={flags[name]}" for name, value in (("mode", "0"), ("framework", "5")) if flags.get(name, value) != value]
    if asked:
        sys.exit(f"simulator: --{asked[0]} is not modelled")
