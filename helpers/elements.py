"""What a notebook's cell shows: a figure, a table, a gallery, a sentence. Everything that comes from data is escaped."""

import base64
import inspect
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

RIGHT, WRONG = "✓", "✗"  # at the beginning of a line under a picture: colour alone would not do
QUALITIES = (85, 60, 40, 20, 5)  # of JPEG and WebP, from the one that is meant to the one that always fits
NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?( to [-+]?[\d.]+)?( %)?( \([\d.]+( to [\d.]+)?\))?")
LONG = 40  # characters: a text that would make a narrow column tall


@dataclass(frozen=True)
class Sentence:
    """A statement computed from the numbers; `level` (pass, fail, inconclusive, warning) is said in its words too."""

    text: str
    level: str = ""

    def _repr_html_(self) -> str:
        return f'<p class="sentence {escape(self.level.lower())}">{_escaped(self.text)}</p>'


@dataclass(frozen=True)
class Figure:
    """An SVG chart as an image that needs neither script nor network."""

    svg: str
    alt: str
    caption: str

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.svg.encode()).decode()
        image = f'<img alt="{escape(self.alt)}" src="data:image/svg+xml;base64,{data}">'
        return f"<figure>{image}<figcaption>{escape(self.caption)}</figcaption></figure>"


@dataclass(frozen=True)
class KeyFigures:
    """A few figures to be read first: (what it is, its value, its conditions)."""

    figures: list[tuple[str, str, str]]

    def _repr_html_(self) -> str:
        cards = "".join(
            f"<div><dt>{escape(name)}</dt><dd class=value>{escape(value)}</dd><dd>{escape(conditions)}</dd></div>"
            for name, value, conditions in self.figures
        )
        return f'<dl class="figures">{cards}</dl>'


@dataclass(frozen=True)
class Table:
    """Rows of cells under headers; a column of numbers is set flush right, None is shown as a dash."""

    headers: list[str]
    rows: Iterable[Iterable[object]]
    caption: str = ""

    def _repr_html_(self) -> str:
        rows = [["–" if value is None or value == "" else str(value) for value in row] for row in self.rows]
        classes = [_kind(column) for column in zip(*rows, strict=True)]
        head = "".join(
            f'<th scope="col"{kind}>{escape(header)}</th>'
            for header, kind in zip(self.headers, classes or [""] * len(self.headers), strict=True)
        )
        body = "".join(
            f"<tr>{''.join(f'<td{kind}>{_escaped(text)}</td>' for text, kind in zip(row, classes, strict=True))}</tr>" for row in rows
        )
        caption = f"<caption>{_escaped(self.caption)}</caption>" if self.caption else ""
        scrolls = (
            f'<div class="table" role="group" aria-label="{escape(self.caption or ", ".join(self.headers))}" tabindex="0">'  # by keyboard
        )
        return f"{scrolls}<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


@dataclass(frozen=True)
class Gallery:
    """Small pictures, uint8 [H, W, 3], with a text of one line or several at each; a line that begins with WRONG is coloured too."""

    pixels: np.ndarray
    texts: list[str]
    caption: str
    most_bytes: int | None = None  # of an encoded picture, which may then be coarser than its pixels; None: it is exact

    def _repr_html_(self) -> str:
        pictures = "".join(
            f'<li><img alt="picture: {escape(text.partition(chr(10))[0])}" src="{_encoded(image, self.most_bytes)}" width="96" height="96">'
            f"<div>{''.join(map(_line, text.splitlines()))}</div></li>"
            for image, text in zip(self.pixels, self.texts, strict=True)
        )
        wide = " wide" if any("\n" in text for text in self.texts) else ""
        return f'<figure class="gallery{wide}"><ul>{pictures}</ul><figcaption>{escape(self.caption)}</figcaption></figure>'


@dataclass(frozen=True)
class Text:
    """Preformatted text, for what is to be copied."""

    text: str

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text)}</pre>"


def source(function: Callable) -> Text:
    """Return the code of a function, for what must be seen to be believed."""
    return Text(inspect.getsource(function))


@dataclass(frozen=True)
class Group:
    """Several elements as the output of one cell; None among them is left out."""

    elements: Iterable["Sentence | Figure | KeyFigures | Table | Gallery | Text | None"]

    def _repr_html_(self) -> str:
        return "".join(element._repr_html_() for element in self.elements if element)


def _kind(column: tuple[str, ...]) -> str:
    """Return the class of a column: numbers, or texts so long that they need room."""
    return " class=number" if _are_numbers(column) else " class=long" if max(map(len, column)) > LONG else ""


def _escaped(text: str) -> str:
    """Return HTML text in which no line begins with a percent sign."""
    return escape(text).replace(" %", "\u00a0%")


def _are_numbers(column: tuple[str, ...]) -> bool:
    """Return whether the cells are numbers or ranges of numbers, but for empty ones, so that they are set flush right."""
    filled = [text for text in column if text != "–"]
    return bool(filled) and all(NUMBER.fullmatch(text) for text in filled)


def _line(text: str) -> str:
    return f"<span{' class=wrong' if text.startswith(WRONG) else ''}>{escape(text)}</span>"


def _encoded(image: np.ndarray, most_bytes: int | None) -> str:
    """Return a picture as a data URI: PNG, or the smallest of several formats, as coarse as it must be to fit into so many bytes."""
    exact = "png", _saved(image, "PNG", optimize=True)
    kind, encoded = exact
    for quality in QUALITIES if most_bytes else ():
        coarse = [(kind, _saved(image, kind.upper(), quality=quality)) for kind in ("jpeg", "webp")]
        kind, encoded = min([exact, *coarse], key=lambda way: len(way[1]))
        if len(encoded) <= most_bytes:
            break
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def _saved(image: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()
