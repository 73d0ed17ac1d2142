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

LONG = 40  # characters: a text that would make a narrow column tall


@dataclass(frozen=True)
class Sentence:
    """A statement computed from the numbers; `level` (pass, fail, inconclusive, warning) is said in its words too."""

    text: str
    level: str = ""

    def _repr_html_(self) -> str:
        text = escape(self.text).replace(" %", "\u00a0%")  # no line begins with the sign
        return f'<p class="sentence {escape(self.level.lower())}">{text}</p>'


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
            f"<tr>{''.join(f'<td{kind}>{escape(text)}</td>' for text, kind in zip(row, classes, strict=True))}</tr>" for row in rows
        )
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        scrolls = (
            f'<div class="table" role="group" aria-label="{escape(self.caption or ", ".join(self.headers))}" tabindex="0">'  # by keyboard
        )
        return f"{scrolls}<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


@dataclass(frozen=True)
class Gallery:
    """Small pictures with a line under each: uint8 [H, W, 3] pixels and texts."""

    pixels: np.ndarray
    texts: list[str]
    caption: str

    def _repr_html_(self) -> str:
        pictures = "".join(
            f'<li><img alt="picture: {escape(text)}" src="{_png(image)}" width="96" height="96"><span>{escape(text)}</span></li>'
            for image, text in zip(self.pixels, self.texts, strict=True)
        )
        return f'<figure class="gallery"><ul>{pictures}</ul><figcaption>{escape(self.caption)}</figcaption></figure>'


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


def _are_numbers(column: tuple[str, ...]) -> bool:
    """Return whether the cells are numbers or ranges of numbers, but for empty ones, so that they are set flush right."""
    filled = [text for text in column if text != "–"]
    return bool(filled) and all(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?( to [-+]?[\d.]+)?( %)?", text) for text in filled)


def _png(image: np.ndarray) -> str:
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()
