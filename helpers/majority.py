"""Who is believed of several that answered the same question: more than half of them, else those that are known to be right."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from helpers.errors import UserError

IMAGES = 16  # the first of a run, fewer where there are fewer, by which workers are held against each other
Found = TypeVar("Found")
Same = Callable[[Found, Found], bool]


def believed(answers: Mapping[str, Found], same: Same, known: Callable[[], Found], is_right: Same, undecided: str) -> Found:
    """Return the answer of one that is to be believed; those whose answers are not the `same` are not.

    More than half of them that agree are believed, a single one too. Without such a majority (there are two, or all differ) that is
    believed which `is_right` by what is `known`, asked for only then. Where that does not decide either, a UserError says who differs;
    `undecided` is the rest of its sentence.
    """
    for answer in answers.values():  # the first is most often one of them: of hundreds not all are held against all
        if 2 * sum(same(answer, other) for other in answers.values()) > len(answers):
            return answer
    truth = known()
    right = [answer for answer in answers.values() if is_right(truth, answer)]
    if not right or not all(same(right[0], other) for other in right):
        raise UserError(f"{' and '.join(answers)} {undecided}")
    return right[0]
