"""The texts of an SVG chart in another language."""

import base64
import re
import unicodedata
from collections.abc import Callable
from html import escape, unescape

TEXT = re.compile(r"(<text\b[^>]*>)([^<]*)(</text>)")
LINES = re.compile(rf"{TEXT.pattern}(?:\s*{TEXT.pattern})*")  # the lines of one text follow each other, each an element of its own
WIDE = 60  # columns of a title, as charts.head wraps it; a Chinese character takes two


def translated(encoded: str, language: str, say: Callable[[str], str]) -> str:
    """Return a chart (SVG in base64) with each of its texts as `say` gives it; a title's lines are said as one and wrapped anew."""
    svg = base64.b64decode(encoded).decode().replace("<svg ", f'<svg xml:lang="{language}" ', 1)
    return base64.b64encode(LINES.sub(lambda found: _lines(found[0], say), svg).encode()).decode()


def _lines(elements: str, say: Callable[[str], str]) -> str:
    """Return the elements of one text with what is said instead, in as many lines at most."""
    found = TEXT.findall(elements)
    text = " ".join(unescape(line) for _, line, _ in found)
    said = say(text)
    if said == text:
        return elements
    lines = wrapped(said, len(found))
    return "".join(f"{start}{escape(line, quote=False)}{end}" for (start, _, end), line in zip(found, lines, strict=False))


def wrapped(text: str, most: int) -> list[str]:
    """Return a text in lines of at most 60 columns, broken at spaces and around Chinese characters; the last of `most` holds the rest."""
    lines = [""]
    for piece in re.findall(r"[!-\u2e7f]+ ?|.", text):
        if len(lines) < most and lines[-1] and _columns(lines[-1] + piece.rstrip()) > WIDE:
            lines.append("")
        lines[-1] += piece
    return [line.strip() for line in lines]


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
