"""What a notebook's cell shows: a figure, a table, a gallery, a sentence. Everything that comes from data is escaped."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Sentence:
    """A statement computed from the numbers; `level` (pass, fail, inconclusive, warning) is said in its words too."""

    text: str
    level: str = ""

    def _repr_html_(self) -> str:
        return f'<p class="sentence {escape(self.level.lower())}">{escape(self.text)}</p>'


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
class Table:
    """Rows of cells under headers; a number is right-aligned, None is shown as a dash."""

    headers: list[str]
    rows: Iterable[Iterable[object]]
    caption: str = ""

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{escape(header)}</th>' for header in self.headers)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in self.rows)
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return f'<div class="table"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


@dataclass(frozen=True)
class Gallery:
    """Small pictures with a line under each: uint8 [H, W, 3] pixels and texts."""

    pixels: np.ndarray
    texts: list[str]
    caption: str

    def _repr_html_(self) -> str:
        pictures = "".join(
            f'<li><img alt="{escape(text)}" src="{_png(image)}" width="96" height="96"><span>{escape(text)}</span></li>'
            for image, text in zip(self.pixels, self.texts, strict=True)
        )
        return f'<figure class="gallery"><ul>{pictures}</ul><figcaption>{escape(self.caption)}</figcaption></figure>'


def _cell(value: object) -> str:
    text = "–" if value is None or value == "" else str(value)
    number = text.replace("–", "").replace(" ", "").replace("%", "").replace(",", "").replace("to", "").replace(".", "")
    return f"<td{' class=number' if number.lstrip('-').isdigit() or text == '–' else ''}>{escape(text)}</td>"


def _png(image: np.ndarray) -> str:
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()
