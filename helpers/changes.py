"""What changed between two runs: parameters, machine, packages and code, and the links of their chains of hashes."""

from collections.abc import Iterator
from typing import Any

from helpers import formats
from helpers.elements import Group, Sentence, Table
from helpers.embedded import Run
from helpers.records import Accuracy, Data, Model, Report, Stage, Sweep

ORDER = (Report, Data, Model, Accuracy, Sweep)  # the last one's machine is that of the speed, and a report may be made on another
FACTS = ("cpu", "vector_instructions", "cores", "memory_bytes", "architecture", "system", "gpu", "gpu_driver", "npu", "npu_driver", "cann")


def table(a: Run, b: Run) -> Table | Sentence:
    """Return what differs between two runs, and nothing that is the same."""
    facts = [_facts(run) for run in (a, b)]
    names = sorted({**facts[0], **facts[1]}, key=lambda fact: ("parameter", "machine", "package", "code").index(fact[0]))
    rows = [[*fact, *(known.get(fact) for known in facts)] for fact in names if facts[0].get(fact) != facts[1].get(fact)]
    if not rows:
        return Sentence("Parameters, machine, packages and code are the same.")
    return Table(["of", "what", "A", "B"], rows, "What differs; all else is the same")


def machines(a: Run, b: Run) -> str:
    """Return how far the two were measured on the same machine, as a sentence."""
    known = [run.records[Sweep].environment for run in (a, b)]
    other = [fact.removesuffix("_bytes").replace("_", " ") for fact in FACTS if known[0].get(fact) != known[1].get(fact)]
    if other:
        return f"They were measured on different machines (other {', '.join(other)}): a ratio is of machine and configuration together."
    return "They were measured at different times on machines that look the same, not in turns: what changed meanwhile is in the ratio too."


def links(a: Run, b: Run) -> Group:
    """Return the chains of hashes side by side, and the first link of the model that differs."""
    models = [run.records[Model] for run in (a, b)]
    made = [{f"model: {stage.name}": stage for stage in model.stages} for model in models]
    images = [_images(run.records[Data]) for run in (a, b)]
    names = dict.fromkeys([*images[0], *made[0], *made[1]])
    rows = []
    for name in names:
        both = [chain.get(name) or _identity(stages.get(name)) for chain, stages in zip(images, made, strict=True)]
        rows.append([name, *both, "same" if both[0] == both[1] else "differs" if all(both) else "only in " + ("A" if both[0] else "B")])
    first = next((name for name, *_, verdict in rows if name.startswith("model: ") and verdict != "same"), None)
    return Group([_in_words(first, made), Table(["link", "A", "B", "verdict"], rows, "The first 12 digits of each file's sha256")])


def _in_words(first: str | None, made: list[dict[str, Stage]]) -> Sentence:
    if first is None:
        return Sentence("It is the same model: every file of the chain is the same.")
    told = "; ".join(f"{letter}: {_made(stages.get(first))}" for letter, stages in zip("AB", made, strict=True))
    return Sentence(f"The first link that differs is {first.removeprefix('model: ')} ({told}).")


def _made(stage: Stage | None) -> str:
    if stage is None:
        return "none"
    return ", ".join(filter(None, [stage.command, f"opset {stage.opset}" if stage.opset else "", stage.precision, stage.soc]))


def _images(data: Data) -> dict[str, str]:
    return {"images": data.source_sha256[:12], "manifest": data.manifest_sha256[:12], "tensors": data.tensors_sha256[:12]}


def _identity(stage: Stage | None) -> str | None:
    return (stage.sha256 or stage.file)[:12] if stage else None


def _facts(run: Run) -> dict[tuple[str, str], str]:
    """Return everything that two runs may differ in, as text: parameters flat, environment of all records, commit."""
    found = {}
    for record in (run.records[kind] for kind in ORDER):
        found |= {("parameter", name): value for name, value in _flat(record.params) if name != "run"}
        for name, value in record.environment.items():
            shown = formats.size(value) if name == "memory_bytes" and isinstance(value, int) else str(value)
            found["machine" if name in FACTS else "package", name.removesuffix("_bytes").replace("_", " ")] = shown
    commits = dict.fromkeys(
        f"{(one.git_commit or 'unknown')[:12]}{' with uncommitted changes' if one.git_dirty else ''}" for one in run.records.values()
    )
    return found | {("code", "git commit"): "; ".join(commits)}


def _flat(values: dict[str, Any], group: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{group}{name}.")
        else:
            yield f"{group}{name}", str(value)
