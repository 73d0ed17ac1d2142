"""What the kept answers say in detail: further guesses, other label sets, single classes, and how sure they are."""

from helpers import calibration, label_sets, per_class, scores, top_k
from helpers.elements import Group
from helpers.records import Data, Result
from helpers.steps import Step


def in_detail(step: Step, data: Data, results: list[Result]) -> Group:
    """Return charts and tables of every evaluated stage; each class of the candidate is listed in per_class.csv."""
    kept = scores.kept(step.folder, results)
    return Group(
        [
            top_k.in_words(kept),
            label_sets.table(results),
            per_class.in_words(kept, data, step.folder),
            calibration.in_words(kept),
        ]
    )
