"""Label sets in the forms that they come in: JSON or lines, with several labels or none for an image."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, StrictInt, TypeAdapter, ValidationError

from helpers.errors import UserError, first_line

Labels = Annotated[list[StrictInt], BeforeValidator(lambda entry: [entry] if type(entry) is int else entry)]
BY_NUMBER, BY_NAME = TypeAdapter(list[Labels]), TypeAdapter(dict[str, Labels])
LINE = re.compile(r"(\S.*?)((?:\s+-?\d{1,9})+)", re.ASCII)  # a name may have spaces
FORMS = "a JSON list of lists as ReaL's real.json, a JSON mapping of image names to labels, or lines 'name label [label ...]'"


def read(path: Path) -> list[list[int]] | dict[str, list[int]]:
    """Return labels by image name, or by number where the file is a JSON list without names; UserError for any other form."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"{path.name} can't be read ({error.strerror}): give {FORMS}.") from error
    return _json(text, path.name) if path.suffix == ".json" else _lines(text, path.name)


def _json(text: str, file: str) -> list[list[int]] | dict[str, list[int]]:
    def mapping(entries: list[tuple[str, object]]) -> dict[str, object]:
        twice = next((name for name, count in Counter(name for name, _ in entries).items() if count > 1), None)
        if twice is not None:
            raise UserError(f"{file} names {twice} a second time: write all labels of an image in one list.")
        return dict(entries)

    try:
        content = json.loads(text, object_pairs_hook=mapping)
        return (BY_NUMBER if isinstance(content, list) else BY_NAME).validate_python(content)
    except ValidationError as error:
        place = error.errors(include_url=False)[0]["loc"]
        entry = place[0] + 1 if isinstance(content, list) else repr(place[0]) if place else ""
        what = f"entry {entry} is neither a label nor a list of labels" if place else "it is neither a list nor a mapping"
        raise UserError(f"{file}: {what}; give {FORMS}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not JSON ({first_line(error)}): give {FORMS}.") from error


def _lines(text: str, file: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = LINE.fullmatch(line.strip())
        if not match:
            raise UserError(f"{file}, line {number} is not 'name label [label ...]': {line.strip()[:60]!r}; give {FORMS}.")
        if match[1] in found:
            raise UserError(f"{file}, line {number} names {match[1]} a second time: write all labels of an image on one line.")
        found[match[1]] = [int(label) for label in match[2].split()]
    return found
