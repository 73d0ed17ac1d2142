"""The parameters of `atc`, Ascend's converter: which there are, which go together, and the flags that they come to."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from helpers import ROOT

PRECISIONS = {"": "fp16", "force_fp16": "fp16", "fp16": "fp16", "must_keep_origin_dtype": "fp32", "origin": "fp32"}  # any other mixes
OWN_FLAGS = ("model", "framework", "output", "input_shape", "dynamic_batch_size", "insert_op_conf", "soc_version")


class Atc(BaseModel):
    """How `atc` is called; what is left empty is left to its own default."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    soc_version: str = ""  # such as Ascend310P3; empty: the chip that npu-smi finds
    gears: bool = False  # one .om with a gear for each batch size instead of one static .om for each
    precision_mode: Literal[
        "",
        "force_fp16",
        "force_fp32",
        "cube_fp16in_fp32out",
        "allow_mix_precision",
        "allow_mix_precision_fp16",
        "allow_mix_precision_bf16",
        "allow_fp32_to_fp16",
        "allow_fp32_to_bf16",
        "must_keep_origin_dtype",
    ] = ""
    precision_mode_v2: Literal["", "fp16", "origin", "cube_fp16in_fp32out", "mixed_float16", "mixed_bfloat16"] = ""  # from CANN 7.0 on
    op_select_implmode: Literal["", "high_performance", "high_precision", "high_performance_for_all", "high_precision_for_all"] = ""
    optypelist_for_implmode: list[str] = []  # types of operators, such as Gelu
    keep_dtype: str = ""  # a file of node names that stay in fp32
    aipp: bool = False  # normalisation moves into the model, which then takes uint8 NHWC
    enable_small_channel: bool = False
    log: Literal["debug", "info", "warning", "error", "null"] = "error"
    extra: list[str] = []  # further flags, each as --name=value
    timeout_minutes: Annotated[float, Field(gt=0)] = 60.0  # of one conversion
    atc_python: str = ""  # a python3 with numpy < 2, whose folder goes first on atc's PATH

    @model_validator(mode="after")
    def _fits_together(self) -> "Atc":
        if self.precision_mode and self.precision_mode_v2:
            raise ValueError("precision_mode and precision_mode_v2 exclude each other: give one")
        if self.keep_dtype and PRECISIONS.get(self.precision_mode or self.precision_mode_v2) == "fp32":
            raise ValueError("atc ignores keep_dtype where the whole model keeps its dtype: leave one out")
        if bool(self.op_select_implmode) != bool(self.optypelist_for_implmode) and not self.op_select_implmode.endswith("_for_all"):
            raise ValueError("op_select_implmode and optypelist_for_implmode go together")
        for flag in self.extra:
            named = re.fullmatch(r"--(\w[\w-]*)=.*", flag)
            if not named or named[1].replace("-", "_") in {*OWN_FLAGS, *type(self).model_fields}:
                raise ValueError(f"extra: {flag!r} is not --name=value with a name that has no parameter of its own")
        return self

    @property
    def precision(self) -> str:
        """Return what the model computes in: fp16, fp32, or mixed where the converter chooses operator by operator."""
        named = {flag.partition("=")[0].strip("-").replace("-", "_") for flag in self.extra}
        by_operator = self.keep_dtype or named & {"op_precision_mode", "customize_dtypes", "modify_mixlist"}
        return "mixed" if by_operator else PRECISIONS.get(self.precision_mode or self.precision_mode_v2, "mixed")

    def flags(self, soc: str, aipp_config: Path | None) -> list[str]:
        """Return the flags beside model, output and shape; `soc` such as Ascend310P3."""
        given = {
            "log": self.log,
            "soc_version": soc,  # empty: whoever runs it adds it
            "precision_mode": self.precision_mode,
            "precision_mode_v2": self.precision_mode_v2,
            "op_select_implmode": self.op_select_implmode,
            "optypelist_for_implmode": ",".join(self.optypelist_for_implmode),
            "keep_dtype": self.keep_dtype and str(ROOT / self.keep_dtype),
            "insert_op_conf": str(aipp_config or ""),
            "enable_small_channel": "1" if self.enable_small_channel else "",
        }
        flags = [f"--{name}={value}" for name, value in given.items() if value]
        named = {str(path): path for path in self.files()}
        for flag in self.extra:
            name, _, value = flag.partition("=")
            flags.append(f"{name}={named.get(str(ROOT / value), value)}")
        return flags

    def files(self) -> list[Path]:
        """Return the files that flags name; relative paths start at the repository's root."""
        values = [self.keep_dtype, *(flag.partition("=")[2] for flag in self.extra)]
        return [ROOT / value for value in values if value and (ROOT / value).is_file()]
