"""The rules of --input_shape and --dynamic_batch_size."""

from atc_flags import AtcError

SAMPLES = '"input_name1:n1,c1,h1,w1"', '"input_name1:1,3,224,224"'
LEAST_GEARS, MOST_GEARS = 2, 100


def _value(entry: str, text: str, dynamic: bool) -> int:
    if "." in text:
        raise AtcError("E10002", entry, "The float number is unsupported", SAMPLES[1])
    text = text.strip()
    if not text.removeprefix("-")[:1].isdecimal():
        raise AtcError("E10014", text, "input_shape")
    if not text.removeprefix("-").isdecimal():
        raise AtcError("E10002", entry, "It is not a digit", SAMPLES[1])
    if int(text) <= 0 and not dynamic:
        raise AtcError("E10011", entry, int(text))
    return int(text)


def user_shapes(text: str, dynamic: bool) -> dict[str, list[int]]:
    """Return the dimensions of --input_shape by input name."""
    shapes = {}
    for entry in filter(None, text.split(";")):
        name, mark, values = entry.rpartition(":")
        if not mark:
            raise AtcError("E10002", entry, "The shape must contain two parts: name and value", SAMPLES[0])
        shapes[name.strip()] = [_value(entry, value, dynamic) for value in values.split(",")] if values else []
    return shapes


def check_dynamic(flags: dict[str, str]) -> None:
    """Check which dynamic flags go together, before anything is read."""
    dynamic = [name for name in ("dynamic_batch_size", "dynamic_image_size", "dynamic_dims") if flags.get(name)]
    if dynamic and "~" in flags.get("input_shape", ""):
        raise AtcError("E10040")
    if len(dynamic) + bool(flags.get("input_shape_range")) > 1:
        raise AtcError("E10009")
    if dynamic and not flags.get("input_shape"):
        raise AtcError("E10004", "input_shape")
    if "insert_op_conf" in flags and "dynamic_dims" in flags:
        raise AtcError("E10001", flags["insert_op_conf"], "--insert_op_conf", "The dynamic dims function does not support AIPP.")


def gears(text: str, shapes: dict[str, list[int]]) -> list[int]:
    """Return the batch sizes of --dynamic_batch_size, checked with the shapes they go with."""
    batched = 0
    for shape in shapes.values():
        if shape and shape[0] == -1:
            for axis, size in enumerate(shape[1:], 1):
                if size < 1:
                    raise AtcError("E10018", size, axis)
            batched += 1
    if not batched:
        raise AtcError("E10031")
    if not set(text) <= set("0123456789,"):
        raise AtcError("E10003", text, "dynamic_batch_size", 'It can only contain digits and ",".')
    found = [int(part) for part in text.split(",") if part]
    if len(found) < LEAST_GEARS:
        raise AtcError("E10035", len(found), LEAST_GEARS)
    if len(found) > MOST_GEARS:
        raise AtcError("E10036", len(found), MOST_GEARS)
    if min(found) <= 0:
        raise AtcError("E10038", min(found))
    if len(set(found)) < len(found):
        raise AtcError("E10039")
    return sorted(found)
