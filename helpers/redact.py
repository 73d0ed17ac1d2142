"""What says where and by whom a run was made, left out of what is mailed: absolute paths, home directories, user and host name."""

import base64
import getpass
import html
import platform
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from helpers import ROOT

END = r"[^\s\"'`<>]*[^\s\"'`<>.,;:)\]}]"  # of a path in a sentence: what closes the sentence or a bracket is none of it
QUOTED = r"(?<=\")/(?=[\w.@~+-])[^\"\n]+(?=\")|(?<=')/(?=[\w.@~+-])[^'\n]+(?=')"  # may hold spaces
BARE = rf"(?<![\w/.…~)\]}}<])(?:file://)?(?:\.\.)?/(?=[\w.@~+-]){END}"  # neither a URL, nor a ratio such as images/s, nor a tag
HOME = re.compile(r"(^|/)(home|Users)/[^/]+$")  # whose last component is a person
SHORTEST = 4  # letters of a user's name that is looked for: a shorter one is a part of too much else
PART = re.compile(r"<style>.*?</style>|<[^>]*>|[^<]+|<", re.DOTALL)
ATTRIBUTE = re.compile(r"(?<=\s)(alt|title|aria-label|id|href)=(?:\"([^\"]*)\"|'([^']*)')")
ON_HOST = re.compile(r"\bworker \d+ on ([\w.-]*\w)")  # as `crew.Worker` is called: one that left may have done nothing that a record names
SVG = re.compile(r"(data:image/svg\+xml;base64,)([A-Za-z0-9+/=]+)")


class Redaction:
    """Texts without the places and names of the machine that made them; called with a text, it returns the text to be shown.

    An absolute path is shown as its last component with "…/" before it, a home directory as "…", the user as (user), the host as
    (host), other `hosts` as (host 1), (host 2). Absolute paths among the `values`, nested as they may be, are known whole wherever they
    stand; of others in running text what follows a space can't be told from the text. A user's name of three letters or fewer stays where
    it is outside of a path.
    """

    def __init__(self, *values: Any, hosts: Iterable[str] = ()):
        texts = {str(ROOT), str(Path.home()), *_texts(values)}
        known = sorted((text.rstrip("/") for text in texts if re.match(r"/\S", text)), key=len, reverse=True)
        known = [rf"(?:{'|'.join(map(re.escape, filter(None, known)))})(?![\w-])(?:/{END})?"] if any(known) else []
        self._paths = re.compile("|".join([*known, QUOTED, BARE]))
        self._names = [(re.compile(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])"), shown) for name, shown in _names(hosts).items()]

    def __call__(self, text: str) -> str:
        text = self._paths.sub(lambda found: _last(found[0]), text)
        for name, shown in self._names:
            text = name.sub(shown, text)
        return text

    def everywhere(self, value: Any, kept: frozenset[str] = frozenset()) -> Any:
        """Return lists, mappings and texts, nested as they may be, with every text redacted but keys and those in `kept`."""
        if isinstance(value, dict):
            return {key: self.everywhere(one, kept) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.everywhere(one, kept) for one in value]
        return self(value) if isinstance(value, str) and value not in kept else value

    def page(self, text: str) -> str:
        """Return an HTML page with its texts, alternative texts and SVG charts redacted; its style and links stay."""
        return PART.sub(lambda part: self._part(part[0]), text)

    def _part(self, part: str) -> str:
        if part.startswith("<style>"):
            return part
        if part.startswith("<"):
            part = SVG.sub(lambda found: found[1] + _encoded(self.page(base64.b64decode(found[2]).decode())), part)
            return ATTRIBUTE.sub(lambda found: self._attribute(found[0], found[1], found[2] or found[3] or ""), part)
        return self._escaped(part)

    def _attribute(self, written: str, name: str, value: str) -> str:
        shown = self._escaped(value, name == "href")
        return written if shown == value else f'{name}="{shown}"'

    def _escaped(self, escaped: str, link: bool = False) -> str:
        """Return redacted what is escaped for HTML, byte for byte as it was where there is nothing to hide."""
        text = html.unescape(escaped)
        shown = self._paths.sub(lambda found: _last(found[0]), text) if link else self(text)  # a page may be called as a user is
        return escaped if shown == text else html.escape(shown)


def hosts(value: Any) -> Iterator[str]:
    """Yield the hosts that records or texts, nested as they may be, name: under the key `host`, as Ray's `address`, or as a worker's."""
    if isinstance(value, dict):
        yield from ([value["host"]] if isinstance(value.get("host"), str) else [])
        yield from filter(None, [str(value.get("address", "")).rpartition(":")[0].strip("[]")])  # host:port, or no host at all
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from hosts(one)
    elif isinstance(value, str):
        yield from ON_HOST.findall(value)


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a nested value."""
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _names(hosts: Iterable[str]) -> dict[str, str]:
    """Return the names to hide, the longest first, with what is shown in their place."""
    host, others = platform.node(), sorted(set(hosts) - {platform.node()})
    names = {other: f"(host {number})" for number, other in enumerate(others, 1)}
    names |= {host: "(host)", host.partition(".")[0]: "(host)"}
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = ""
    if len(user) >= SHORTEST:
        names[user] = "(user)"
    return {name: names[name] for name in sorted(names, key=len, reverse=True) if name}


def _last(path: str) -> str:
    path = path.rstrip("/")
    return "…" if path == str(Path.home()) or HOME.search(path) else f"…/{path.rpartition('/')[2]}"


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
