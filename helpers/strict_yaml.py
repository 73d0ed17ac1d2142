"""YAML as people read it: what YAML 1.1 takes otherwise is an error instead of another value."""

from pathlib import Path
from typing import Any

import yaml

from helpers.errors import ParameterError


def read(path: Path) -> dict[str, Any]:
    """Return the mapping in a file; ParameterError when there is none or it can be misread."""
    try:
        return mapping(path.read_text(encoding="utf-8"), path.name)
    except UnicodeDecodeError:
        raise ParameterError(f"{path.name} is not UTF-8 text: save it as UTF-8.") from None
    except OSError as error:
        raise ParameterError(f"{path} can't be read ({error.strerror}): give one of params/*.yaml or your own file.") from None


def value(text: str) -> Any:
    """Return one value, written as in a file."""
    return mapping(f"value: {text}", "the command line")["value"]


def mapping(text: str, source: str) -> dict[str, Any]:
    """Return a YAML mapping; what YAML 1.1 reads otherwise than people do is a ParameterError."""
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        _refuse_traps(node, source)
        values = yaml.safe_load(text) or {}
    except RecursionError:
        raise ParameterError(f"{source} refers to itself: write every value out.") from None
    except yaml.YAMLError as error:
        place = f", line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        raise ParameterError(f"{source}{place} is not valid YAML: {getattr(error, 'problem', error)}.") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{source} must hold lines of the form name: value.")
    return {str(key): value for key, value in values.items()}


def _refuse_traps(node: yaml.Node | None, source: str) -> None:
    """Raise ParameterError for 011 (octal), 1:30 (sexagesimal), on/yes (boolean), 1e-3 (text) and keys given twice."""
    if isinstance(node, yaml.ScalarNode) and not node.style:
        text, kind = node.value, node.tag.rpartition(":")[2]
        digits = text.lstrip("+-")
        trap = {
            "int": (len(digits) > 1 and digits[0] == "0") or ":" in text or "_" in text,
            "float": ":" in text or "_" in text or not any(c.isdigit() for c in text),
            "bool": text.lower() not in ("true", "false"),
            "str": "e" in digits.lower() and digits[0].isdigit() and _is_number(text),
        }.get(kind, kind in ("timestamp", "null") and text != "")
        if trap:
            raise ParameterError(
                f"{source}, line {node.start_mark.line + 1}: YAML does not read {text} as it looks; quote it if it is text, "
                "write a number plainly (11, 0.001) and a switch as true or false."
            )
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_traps(item, source)
    elif isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ParameterError(f"{source}: {', '.join(sorted(twice))} is given twice.")
        for _, value in node.value:
            _refuse_traps(value, source)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
