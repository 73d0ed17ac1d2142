"""The part of an AIPP configuration that the simulated atc understands: static, RGB888_U8, crop and normalisation."""

import re

FORMATS = ("YUV420SP_U8", "XRGB8888_U8", "RGB888_U8", "YUV400_U8")
SWITCHES = ("crop", "csc_switch", "rbuv_swap_switch", "ax_swap_switch", "padding", "resize")
SIZES = ("src_image_size_w", "src_image_size_h", "load_start_pos_w", "load_start_pos_h", "crop_size_w", "crop_size_h")
CHANNELS = {"mean_chn": 0, "min_chn": 0.0, "var_reci_chn": 1.0}


class AippError(ValueError):
    """What E10052 gives as the reason."""


def _fields(text: str) -> dict[str, str]:
    text = re.sub(r"#[^\n]*", "", text)
    block = re.fullmatch(r"\s*aipp_op\s*:?\s*\{([^{}]*)\}\s*", text)
    if not block:
        raise AippError("the file must hold one aipp_op { ... }")
    rest, fields = block[1], {}
    while rest := rest.lstrip(" \t\r\n,;"):
        entry = re.match(r"(\w+)\s*:\s*([^\s,;]+)", rest)
        if not entry:
            raise AippError(f"cannot parse {rest.split()[0]}")
        if entry[1] in fields:
            raise AippError(f"{entry[1]} is specified multiple times")
        fields[entry[1]], rest = entry[2], rest[entry.end() :]
    return fields


def _number(fields: dict[str, str], key: str, default: float) -> float:
    try:
        return type(default)(fields.pop(key, default))
    except ValueError as error:
        raise AippError(f"{key} is not a number") from error


def parse(text: str, height: int, width: int) -> dict:
    """Return the parameters for a model whose images are height x width; AippError says what is wrong."""
    fields = _fields(text)
    if fields.pop("aipp_mode", None) != "static":
        raise AippError("aipp_mode must be static")  # dynamic AIPP is not simulated
    if (form := fields.pop("input_format", None)) not in FORMATS:
        raise AippError("input_format must be one of " + ", ".join(FORMATS))
    if form != "RGB888_U8" or fields.pop("related_input_rank", "0") != "0":
        raise AippError("simulator: only RGB888_U8 on input 0 is modelled")
    switches = {key: fields.pop(key, "false") for key in SWITCHES}
    if wrong := [key for key, value in switches.items() if value not in ("true", "false")]:
        raise AippError(f"{wrong[0]} must be true or false")
    if any(switches[key] == "true" for key in ("csc_switch", "ax_swap_switch", "padding", "resize")):
        raise AippError("simulator: of the switches only crop and rbuv_swap_switch are modelled")
    sizes = {key: int(_number(fields, key, 0)) for key in SIZES}
    parameters = {name: [_number(fields, f"{name}_{channel}", default) for channel in range(3)] for name, default in CHANNELS.items()}
    for name, default in CHANNELS.items():
        _number(fields, f"{name}_3", default)
    if fields:
        raise AippError(f"unknown field {next(iter(fields))}")
    if any(not 0 <= value <= 255 for value in parameters["mean_chn"]):
        raise AippError("mean_chn must be in [0, 255]")
    crop = switches["crop"] == "true"
    result = (sizes["crop_size_h"], sizes["crop_size_w"]) if crop else (sizes["src_image_size_h"], sizes["src_image_size_w"])
    if result != (height, width):
        raise AippError(f"the image is {result[0]} x {result[1]} behind AIPP, the model takes {height} x {width}")
    if crop and any(sizes[f"load_start_pos_{side}"] + sizes[f"crop_size_{side}"] > sizes[f"src_image_size_{side}"] for side in "hw"):
        raise AippError("the crop reaches beyond the image")
    return {**sizes, **parameters, "crop": crop, "rbuv_swap_switch": switches["rbuv_swap_switch"] == "true"}
