"""What `npu-smi` says of the chips of this machine.

Its table changed with the chips and releases 22 to 25: columns come and go, so rows are told apart by what they hold. Any number
may be NA.
"""

import os
import re
import subprocess
from dataclasses import dataclass, replace

from helpers.errors import UserError

TIMEOUT = 20.0  # seconds; a call takes 0.1 to 1
FAILURE = re.compile(r"dcmi mod(?:ule|el) initiali[sz]ed? failed.*")  # printed with exit status 0 by some releases
BUS_ID = re.compile(r"NA|[0-9A-Fa-f]+:[0-9A-Fa-f:.]+")


@dataclass(frozen=True)
class Chip:
    """A row of `npu-smi info`; None where it prints NA."""

    npu_id: int  # what -i takes
    chip_id: int  # what -c takes
    logic_id: int  # the device id of ACL and ais_bench
    name: str  # 310P3
    health: str
    power_w: float | None
    temperature_c: float | None
    aicore_pct: float | None
    memory_used_mb: float | None  # HBM where the chip has it
    memory_total_mb: float | None

    @property
    def soc_version(self) -> str:
        """Return what `atc --soc_version` takes, such as Ascend310P3."""
        return f"Ascend{self.name.removeprefix('Ascend')}"


def version() -> str:
    """Return the driver's version as npu-smi prints it, such as 23.0.0; UserError when npu-smi does not answer."""
    printed = re.search(r"Version:\s*([^|\n]+)", ask("info")) or re.search(r"version:\s*(.+)", ask("-v"))
    if printed is None:
        raise UserError("neither npu-smi info nor npu-smi -v prints a version: check that npu-smi on PATH is the driver's own.")
    return printed[1].strip()


def chips() -> list[Chip]:
    """Return every chip of this machine in the order of `npu-smi info`; UserError when it does not answer or lists none."""
    found = _table(ask("info"))
    if not found:
        raise UserError("npu-smi info lists no chip: check with lspci that the card is seen, and that the driver knows it.")
    try:
        logic_ids = _mapping(ask("info", "-m"))
    except UserError:  # early releases don't have -m
        logic_ids = {}
    if all((chip.npu_id, chip.chip_id) in logic_ids for chip in found):
        return [replace(chip, logic_id=logic_ids[chip.npu_id, chip.chip_id]) for chip in found]
    if len({chip.logic_id for chip in found} - {-1}) == len(found):  # by the Device column
        return found
    return [replace(chip, logic_id=order) for order, chip in enumerate(found)]


def chip(logic_id: int) -> Chip:
    """Return the chip with a device id of ACL; UserError that names the ids there are.

    ASCEND_RT_VISIBLE_DEVICES renumbers the devices for ACL, not for npu-smi.
    """
    found = {chip.logic_id: chip for chip in chips()}
    visible = os.environ.get("ASCEND_RT_VISIBLE_DEVICES")
    if visible:
        ids = [int(text) for text in re.findall(r"\d+", visible)]
        found = {place: found[number] for place, number in enumerate(ids) if number in found}
    if logic_id not in found:
        there = ", ".join(map(str, sorted(found)))
        raise UserError(f"there is no device {logic_id}, npu-smi lists {there}: choose one of these as device_id.")
    return found[logic_id]


def ask(*arguments: str) -> str:
    """Return what npu-smi prints; a UserError quotes the line in which it says why not."""
    command = ("npu-smi", *arguments)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=TIMEOUT)
    except FileNotFoundError as error:
        raise UserError("npu-smi is not on PATH: install the Ascend driver, or run on the machine that has the NPU.") from error
    except OSError as error:
        raise UserError(f"npu-smi can't be started ({error.strerror}): check its permissions.") from error
    except subprocess.TimeoutExpired as error:
        hangs = f"{' '.join(command)} gave no answer in {TIMEOUT:g} s"
        raise UserError(f"{hangs}: the driver hangs; see dmesg, then reset the card.") from error
    printed = f"{done.stdout}\n{done.stderr}".strip()
    failure = FAILURE.search(printed)
    if failure or done.returncode:
        said = failure[0] if failure else printed.rpartition("\n")[2] or f"exit status {done.returncode}"
        raise UserError(
            f"{' '.join(command)} failed ({said.strip()}): check that driver and firmware are installed and match, "
            "that this user may open the NPU (group HwHiAiUser) and that no other container holds it."
        )
    return done.stdout


def number(text: str | None) -> float | None:
    """Return a figure as npu-smi prints it, None for NA."""
    try:
        return float(text or "")
    except ValueError:
        return None


def _table(text: str) -> list[Chip]:
    """Return the chips of `npu-smi info`; the logic id is the Device column's, -1 where there is none."""
    found, card = [], None
    for line in text.partition("Process id")[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) < 3 or not re.match(r"\d", cells[0]):
            continue
        ids, state, numbers = cells[0].split(), cells[1], re.sub(r"\s*/\s*", "/", cells[2]).split()
        is_chip = BUS_ID.fullmatch(state) and not re.search("[A-Za-z]", cells[0])
        if not is_chip and len(ids) > 1:
            power, temperature = (number(text) for text in (*numbers, "", "")[:2])
            card = {"npu_id": int(ids[0]), "name": ids[1], "health": state, "power_w": power, "temperature_c": temperature}
        elif is_chip and card:
            logic_id = int(ids[1]) if len(ids) > 1 else -1
            found.append(Chip(chip_id=int(ids[0]), logic_id=logic_id, **card, **_usage(numbers)))
    return found


def _usage(numbers: list[str]) -> dict[str, float | None]:
    """Return AICore and memory of a chip row; of memory and HBM, the last that the chip has."""
    memories = [text.partition("/") for text in numbers if "/" in text] or [("", "", "")]
    used, _, total = next((memory for memory in reversed(memories) if number(memory[2])), memories[0])
    aicore = number(numbers[0]) if numbers else None
    return {"aicore_pct": aicore, "memory_used_mb": number(used), "memory_total_mb": number(total)}


def _mapping(text: str) -> dict[tuple[int, int], int]:
    """Return (NPU id, chip id) -> logic id as `npu-smi info -m` has it; controllers have no logic id."""
    rows = [re.split(r"\s{2,}|\t", line.strip()) for line in text.splitlines()]
    header = next((row for row in rows if "Chip Logic ID" in row), [])
    mapping = {}
    for row in rows:
        cells = dict(zip(header, row, strict=False))
        ids = [cells.get(column, "") for column in ("NPU ID", "Chip ID", "Chip Logic ID")]
        if all(map(str.isdigit, ids)):
            npu, chip, logic = map(int, ids)
            mapping[npu, chip] = logic
    return mapping
