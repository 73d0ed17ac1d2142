"""A page's fixed texts in another language, from a catalogue of sentences; what comes from data stays as it is."""

import base64
import functools
import re
from pathlib import Path

import yaml
from bs4 import BeautifulSoup

CATALOGUES = Path(__file__).parent / "languages"
TAGS = {"zh": "zh-CN"}  # language -> what a page says of itself
UNTOUCHED = ("pre", "code", "style")
SPOKEN = ("alt", "title", "aria-label")
SVG = "data:image/svg+xml;base64,"


def translated(page: str, language: str) -> str:
    """Return an HTML page with every text that the catalogue knows in the language, in its charts too; `en` is the page itself."""
    if language == "en":
        return page
    soup, say = BeautifulSoup(page, "html.parser"), functools.partial(_say, _catalogue(language))
    soup.html["lang"] = TAGS[language]
    for text in soup.find_all(string=True):
        if type(text).__name__ == "NavigableString" and not text.find_parent(UNTOUCHED):
            text.replace_with(say(text))
    for element in soup.find_all(True):
        for name in SPOKEN:
            if element.has_attr(name):
                element[name] = say(element[name])
        if element.get("src", "").startswith(SVG):
            element["src"] = SVG + _drawing(element["src"].removeprefix(SVG), say)
    return str(soup)


class _Catalogue:
    """Sentences and their translations; `{}` stands for what comes from data, which is looked up in its turn."""

    def __init__(self, entries: dict[str, str]):
        self.exact = {text: said for text, said in entries.items() if "{}" not in text}
        templates = [text for text in entries if "{}" in text]
        templates.sort(key=lambda text: -len(text.replace("{}", "")))  # the one that says most fits best
        self.templates = [(re.compile("(.+?)".join(map(re.escape, text.split("{}"))), re.DOTALL), entries[text]) for text in templates]


@functools.cache
def _catalogue(language: str) -> _Catalogue:
    return _Catalogue(yaml.safe_load((CATALOGUES / f"{language}.yaml").read_text(encoding="utf-8")))


def _say(catalogue: _Catalogue, text: str) -> str:
    """Return a text in the catalogue's language: as a whole, or sentence by sentence; unknown ones stay."""
    plain = " ".join(text.replace("\u00a0", " ").split())
    if not plain:
        return str(text)
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{before}{_whole(catalogue, plain) or _by_sentences(catalogue, plain) or text.strip()}{after}"


def _whole(catalogue: _Catalogue, text: str) -> str | None:
    if text in catalogue.exact:
        return catalogue.exact[text]
    for pattern, said in catalogue.templates:
        if found := pattern.fullmatch(text):
            return said.format(*(_whole(catalogue, part) or part for part in found.groups()))
    return None


def _by_sentences(catalogue: _Catalogue, text: str) -> str | None:
    parts = re.split(r"(?<=[.;:,])\s+", text)
    for size in range(len(parts) - 1, 0, -1):  # the longest known beginning, then the rest
        if said := _whole(catalogue, " ".join(parts[:size])):
            rest = " ".join(parts[size:])
            return f"{said} {_whole(catalogue, rest) or _by_sentences(catalogue, rest) or rest}"
    if len(parts) == 1:
        return None
    rest = _whole(catalogue, " ".join(parts[1:])) or _by_sentences(catalogue, " ".join(parts[1:]))
    return f"{parts[0]} {rest}" if rest else None


def _drawing(encoded: str, say) -> str:
    """Return a chart with its texts translated, base64."""
    svg = base64.b64decode(encoded).decode()
    svg = re.sub(r"(<text[^>]*>)([^<]+)(</text>)", lambda found: f"{found[1]}{say(found[2])}{found[3]}", svg)
    return base64.b64encode(svg.encode()).decode()
