"""A page's fixed texts in another language, from a catalogue of sentences; what comes from data stays as it is."""

import functools
import re
from collections.abc import Callable
from pathlib import Path

import yaml
from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString

from helpers import drawings
from helpers.catalogue import Catalogue

CATALOGUES = Path(__file__).parent / "languages"
TAGS = {"zh": "zh-CN"}  # language -> what a page says of itself
UNTOUCHED = ("pre", "code", "style")
SPOKEN = ("alt", "title", "aria-label")
SVG = "data:image/svg+xml;base64,"
# Headers of columns that hold names alone: a class called Bag, or batch, is not to be translated.
NAMES = ("class", "file", "image", "layer", "left out", "most often taken for", "name", "operator", "taken for", "to be known")
MARKS = range(0xE000, 0xF900)  # Unicode's private characters: each stands for an element within a sentence

Say = Callable[[str], str]


def translated(page: str, language: str) -> str:
    """Return an HTML page with every text that the catalogue knows in the language, in its charts too; `en` is the page itself.

    Code, preformatted text and the columns of tables that hold names of classes, files, images or layers stay as they are.
    """
    if language == "en":
        return page
    soup, say = BeautifulSoup(page, "html.parser"), functools.cache(_catalogue(language).say)
    soup.html["lang"] = TAGS[language]
    names = {id(cell) for table in soup.find_all("table") for cell in _names(table)}
    for element in [one for one in soup.find_all(True) if id(one) not in names and one.name not in UNTOUCHED]:
        _translate_texts(element, say)
        for attribute in SPOKEN:
            if element.has_attr(attribute):
                element[attribute] = say(element[attribute])
        if element.get("src", "").startswith(SVG):
            element["src"] = SVG + drawings.translated(element["src"].removeprefix(SVG), TAGS[language], say)
    return str(soup)


@functools.cache
def _catalogue(language: str) -> Catalogue:
    return Catalogue(yaml.safe_load((CATALOGUES / f"{language}.yaml").read_text(encoding="utf-8")))


def _names(table: Tag) -> list[Tag]:
    """Return the cells of the columns whose headers say that they hold names."""
    places = [place for place, header in enumerate(table.find_all("th")) if header.get_text() in NAMES]
    rows = [row.find_all("td") for row in table.find_all("tr")]
    return [cells[place] for cells in rows for place in places if place < len(cells)]


def _translate_texts(element: Tag, say: Say) -> None:
    """Translate what stands in an element itself as one text, in which the elements within it are marks that may change places."""
    parts = list(element.contents)
    texts = [part for part in parts if type(part) is NavigableString]
    mixed = len(texts) < len(parts)
    if not any(text.strip() for text in texts) or (mixed and any(ord(one) in MARKS for text in texts for one in text)):
        return
    marks = {chr(MARKS[place]): part for place, part in enumerate(parts) if type(part) is not NavigableString}
    names = {id(part): mark for mark, part in marks.items()}
    text = "".join(names.get(id(part), part) for part in parts)
    said = say(text)
    if said == text:
        return
    for part in parts:
        part.extract()
    element.extend(_split(said, marks))


def _split(text: str, marks: dict[str, Tag]) -> list[Tag | NavigableString]:
    """Return a text with elements in the places of their marks."""
    pieces = re.split(f"([{chr(MARKS[0])}-{chr(MARKS[-1])}])", text) if marks else [text]
    return [marks.get(piece) or NavigableString(piece) for piece in pieces if piece]
