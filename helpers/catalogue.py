"""Sentences and their translations: a text is looked up as a whole, then part by part, and so is what stands in its places.

`{}` in a sentence stands for any text and `{#}` for a number, or batch sizes in a row; its translation says where they go: {0}, {1}.
A hostile name makes a text longer to look up, never much slower: no pattern has two ways to match the same characters.
"""

import re
from collections import defaultdict
from functools import cached_property

DEPTH = 6  # texts within texts that are looked up
MOST_PARTS, LONGEST_RUN = 60, 20  # of a text, and of what is looked up as one: a text of more is none of ours
PLACE = re.compile(r"\{#?\}")
NUMBER = r"([-+±]?[\d,.]*\d(?:e[-+]?\d+)?(?:, \d+)*)"
WORD = re.compile(r"\w+")
SEVERAL = re.compile(r"\. |[.;:,]$")  # what shows that a text goes on beyond a sentence
WIDE = "\u3000-\u303f\u4e00-\u9fff\uff00-\uffef"  # Chinese characters and signs, which bring their own space
CLOSE = re.compile(f"(?<=[{WIDE}])(?:\0 | \0)(?=[{WIDE}])|\0")  # a space at the edge of a place, between two of them
FULL_WIDTH = {".": "。", ";": "；", ":": "：", ",": "，"}


class Template:
    """A sentence with places: pieces of fixed text and numbers, between which any text may stand."""

    def __init__(self, text: str, said: str):
        self.text, self.said = text, said

    @property
    def word(self) -> str:
        """Return the longest word that stands by itself, which a text must have; empty where the sentence has none."""
        return max((word for word in WORD.findall(PLACE.sub("_", self.text)) if "_" not in word), key=len, default="")

    @cached_property
    def _pieces(self) -> list[re.Pattern[str]]:
        pieces = [re.escape(piece).replace(r"\{\#\}", NUMBER) for piece in self.text.split("{}")]
        return [*map(re.compile, pieces[:-1]), re.compile(rf"{pieces[-1]}\Z")]

    def groups(self, text: str) -> list[str] | None:
        """Return what stands in the places, the first ones as short as can be, None where the text is another."""
        first, *others = self._pieces
        found = first.match(text)
        groups = list(found.groups()) if found else []
        for piece in others:
            end = found.end() if found else len(text)
            found = piece.search(text, end + 1) if end < len(text) else None
            groups += [text[end : found.start()], *found.groups()] if found else []
        return groups if found else None


class Catalogue:
    """Sentence -> translation; of the sentences that fit a text the one that says most counts."""

    def __init__(self, entries: dict[str, str]):
        self._exact = {text: said for text, said in entries.items() if not PLACE.search(text)}
        self._templates: dict[str, list[tuple[int, Template]]] = defaultdict(list)  # by the word that a text must have
        templates = sorted(entries.keys() - self._exact.keys(), key=lambda text: (-len(PLACE.sub("", text)), text))
        for rank, text in enumerate(templates):
            template = Template(text, entries[text])
            self._templates[template.word].append((rank, template))

    def say(self, text: str, depth: int = DEPTH) -> str:
        """Return a text in the catalogue's language, as it is where nothing of it is known; the spaces around it stay."""
        plain = " ".join(text.split())
        if not depth or not any(map(str.isalpha, plain)):
            return text
        said = self._run(plain, depth) or self._by_parts(plain, depth) or self._whole(plain, depth, several=True)
        if said is None:
            return text
        return f"{text[: len(text) - len(text.lstrip())]}{said}{text[len(text.rstrip()) :]}"

    def _whole(self, text: str, depth: int, several: bool = False) -> str | None:
        """Return the translation of a text that is one sentence; what stands in its places may hold sentences only where `several`."""
        if text in self._exact:
            return self._exact[text]
        there = {"", *WORD.findall(text)}
        fitting = sorted((one for word in there & self._templates.keys() for one in self._templates[word]), key=lambda one: one[0])
        for _, template in fitting:
            groups = template.groups(text)
            if groups is not None and (several or not any(map(SEVERAL.search, groups))):
                return CLOSE.sub("", template.said.format(*(f"\0{self.say(group, depth - 1)}\0" for group in groups)))
        return None

    def _by_parts(self, text: str, depth: int) -> str | None:
        """Return a text with the longest known runs of its parts translated, from its beginning on; None where no part is known."""
        parts = re.split(r"(?<=[.;:,]) ", text)
        if not 1 < len(parts) <= MOST_PARTS:
            return None
        said, at = [], 0
        while at < len(parts):
            runs = ((end, self._run(" ".join(parts[at:end]), depth)) for end in range(min(len(parts), at + LONGEST_RUN), at, -1))
            at, known = next((run for run in runs if run[1]), (at + 1, parts[at]))
            said.append(known)
        return _joined(said) if said != parts else None

    def _run(self, text: str, depth: int) -> str | None:
        """Return the translation of a run of parts, with the sign that ends it or without."""
        whole, end = self._whole(text, depth), FULL_WIDTH.get(text[-1])
        without = self._whole(text[:-1], depth) if end and not whole else None
        return whole or (f"{without}{end}" if without else None)


def _joined(parts: list[str]) -> str:
    """Return parts in a row: full-width signs bring their own space."""
    text = parts[0]
    for part in parts[1:]:
        text += part if text[-1] in FULL_WIDTH.values() else f" {part}"
    return text
