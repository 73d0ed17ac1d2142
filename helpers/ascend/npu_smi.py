"""What `npu-smi` says of the chips, and of one chip while it works.

Its table changed with the chips and releases 22 to 25: columns come and go, so rows are told apart by what they hold. Any number
may be NA; on a 310P the power is, and stands only in `-t common`, for the whole card.
"""

import dataclasses
import re
import statistics
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass

from helpers.errors import UserError
from helpers.records import Telemetry

TIMEOUT = 20.0  # seconds; a call takes 0.1 to 1
FAILURE = re.compile(r"dcmi mod(?:ule|el) initiali[sz]ed? failed.*")  # printed with exit status 0 by some releases
BUS_ID = re.compile(r"NA|[0-9A-Fa-f]+:[0-9A-Fa-f:.]+")
POWER, DISSIPATION = "NPU Real-time Power(W)", "Power Dissipation(W)"  # one name or the other, by chip


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
    printed = re.search(r"Version:\s*([^|\n]+)", _ask("info")) or re.search(r"version:\s*(.+)", _ask("-v"))
    if printed is None:
        raise UserError("neither npu-smi info nor npu-smi -v prints a version: check that npu-smi on PATH is the driver's own.")
    return printed[1].strip()


def chips() -> list[Chip]:
    """Return every chip of this machine in the order of `npu-smi info`; UserError when it does not answer or lists none."""
    found = _table(_ask("info"))
    if not found:
        raise UserError("npu-smi info lists no chip: check with lspci that the card is seen, and that the driver knows it.")
    try:
        logic_ids = _mapping(_ask("info", "-m"))
    except UserError:  # early releases don't have -m
        logic_ids = {}
    if all((chip.npu_id, chip.chip_id) in logic_ids for chip in found):
        return [dataclasses.replace(chip, logic_id=logic_ids[chip.npu_id, chip.chip_id]) for chip in found]
    if len({chip.logic_id for chip in found} - {-1}) == len(found):  # by the Device column
        return found
    return [dataclasses.replace(chip, logic_id=order) for order, chip in enumerate(found)]


def chip(logic_id: int) -> Chip:
    """Return the chip with a device id of ACL; UserError that names the ids there are."""
    found = {chip.logic_id: chip for chip in chips()}
    if logic_id not in found:
        there = ", ".join(str(number) for number in sorted(found))
        raise UserError(f"there is no device {logic_id}, npu-smi lists {there}: choose one of these as device_id.")
    return found[logic_id]


class Sampler:
    """Asks a chip once every `interval` seconds for what it does, in a thread that ends with the context.

    A sample that fails is counted and no error. `read` and `read_power` return what `npu-smi info -t common` and `-t power` print;
    `wait` sleeps for the seconds given and returns True when sampling is to end.
    """

    def __init__(
        self,
        chip: Chip,
        interval: float = 1.0,
        read: Callable[[], str] | None = None,
        read_power: Callable[[], str] | None = None,
        wait: Callable[[float], bool] | None = None,
    ):
        self._chip, self._interval, self._stop = chip, interval, threading.Event()
        self._read = read or (lambda: _ask("info", "-t", "common", "-i", str(chip.npu_id)))
        self._read_power = read_power or (lambda: _ask("info", "-t", "power", "-i", str(chip.npu_id)))
        self._wait = wait or self._stop.wait
        self._has_power_query: bool | None = None  # not tried yet
        self._samples: list[_Sample] = []
        self.failed_samples = 0
        self._thread = threading.Thread(target=self._sample_until_stopped, name="npu-smi", daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def telemetry(self) -> Telemetry | None:
        """Return means over the samples taken, None when there is none; `failed_samples` tells why."""
        if not self._samples:
            return None
        temperatures = [sample.temperature_c for sample in self._samples if sample.temperature_c is not None]
        return Telemetry(
            samples=len(self._samples),
            failed_samples=self.failed_samples,
            interval_seconds=self._interval,
            power_w=self._mean("power_w"),
            power_of=next((sample.power_of for sample in self._samples if sample.power_of), None),
            temperature_c=self._mean("temperature_c"),
            temperature_max_c=max(temperatures, default=None),
            aicore_pct=self._mean("aicore_pct"),
            frequency_mhz=self._mean("frequency_mhz"),
        )

    def _sample_until_stopped(self) -> None:
        while True:
            try:
                self._samples.append(self._with_power(_sample(self._read(), self._chip)))
            except (UserError, OSError):
                self.failed_samples += 1
            if self._wait(self._interval) or self._stop.is_set():
                return

    def _with_power(self, sample: "_Sample") -> "_Sample":
        """Return the sample with the card's power where `-t common` has none and `-t power` knows it."""
        if sample.power_w is not None or self._has_power_query is False:
            return sample
        try:
            power = _number(_pairs(self._read_power()).get(DISSIPATION))
        except (UserError, OSError):
            power = None
        if self._has_power_query is None:
            self._has_power_query = power is not None
        return sample if power is None else dataclasses.replace(sample, power_w=power, power_of="card")

    def _mean(self, field: str) -> float | None:
        values = [getattr(sample, field) for sample in self._samples if getattr(sample, field) is not None]
        return statistics.fmean(values) if values else None


@dataclass(frozen=True)
class _Sample:
    power_w: float | None
    power_of: str | None
    temperature_c: float | None
    aicore_pct: float | None
    frequency_mhz: float | None


def _sample(text: str, chip: Chip) -> _Sample:
    """Return what `-t common` says of a chip: its own block, and the card's power in the block of the board's controller."""
    head, *parts = re.split(r"^\s*Chip (?:ID|Name)\s*:", text, flags=re.MULTILINE)
    blocks = {part.split(None, 1)[0].lower(): part for part in parts if part.strip()}  # by chip id; by name what is no NPU
    if not any(name.isdigit() for name in blocks):  # the latest chips are one for each NPU and have no id
        blocks[str(chip.chip_id)] = head
    own = _pairs(blocks.get(str(chip.chip_id), ""))
    if "Temperature(C)" not in own:
        raise UserError(f"npu-smi info -t common says nothing of chip {chip.chip_id}: see what it prints.")
    board = _pairs(blocks.get("mcu", ""))
    of_chip, of_card = _number(own.get(POWER)), _number(board.get(POWER) or board.get(DISSIPATION))
    return _Sample(
        power_w=of_card if of_chip is None else of_chip,
        power_of="chip" if of_chip is not None else "card" if of_card is not None else None,
        temperature_c=_number(own["Temperature(C)"]),
        aicore_pct=_number(own.get("Aicore Usage Rate(%)")),
        frequency_mhz=_number(own.get("Aicore curFreq(MHZ)")),
    )


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
            power, temperature = (_number(number) for number in (*numbers, "", "")[:2])
            card = {"npu_id": int(ids[0]), "name": ids[1], "health": state, "power_w": power, "temperature_c": temperature}
        elif is_chip and card:
            logic_id = int(ids[1]) if len(ids) > 1 else -1
            found.append(Chip(chip_id=int(ids[0]), logic_id=logic_id, **card, **_usage(numbers)))
    return found


def _usage(numbers: list[str]) -> dict[str, float | None]:
    """Return AICore and memory of a chip row; of memory and HBM, the last that the chip has."""
    memories = [number.partition("/") for number in numbers if "/" in number] or [("", "", "")]
    used, _, total = next((memory for memory in reversed(memories) if _number(memory[2])), memories[0])
    aicore = _number(numbers[0]) if numbers else None
    return {"aicore_pct": aicore, "memory_used_mb": _number(used), "memory_total_mb": _number(total)}


def _mapping(text: str) -> dict[tuple[int, int], int]:
    """Return (NPU id, chip id) -> logic id as `npu-smi info -m` has it; controllers have no logic id."""
    rows = [re.split(r"\s{2,}|\t", line.strip()) for line in text.splitlines()]
    header = next((row for row in rows if "Chip Logic ID" in row), [])
    mapping = {}
    for row in rows:
        cells = dict(zip(header, row, strict=False))
        ids = [cells.get(column, "") for column in ("NPU ID", "Chip ID", "Chip Logic ID")]
        if all(number.isdigit() for number in ids):
            npu, chip, logic = map(int, ids)
            mapping[npu, chip] = logic
    return mapping


def _pairs(text: str) -> dict[str, str]:
    """Return the `key : value` lines of a text, the first of each key."""
    pairs = {}
    for line in text.splitlines():
        key, colon, value = line.partition(" : ")
        if colon:
            pairs.setdefault(key.strip(), value.strip())
    return pairs


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:  # NA
        return None


def _ask(*arguments: str) -> str:
    """Return what npu-smi prints; a UserError quotes the line in which it says why not."""
    asked = " ".join(("npu-smi", *arguments))
    try:
        done = subprocess.run(
            ("npu-smi", *arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=TIMEOUT
        )
    except FileNotFoundError as error:
        raise UserError("npu-smi is not on PATH: install the Ascend driver, or run on the machine that has the NPU.") from error
    except OSError as error:
        raise UserError(f"npu-smi can't be started ({error.strerror}): check its permissions.") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{asked} gave no answer in {TIMEOUT:g} s: the driver hangs; see dmesg, then reset the card.") from error
    printed = f"{done.stdout}\n{done.stderr}"
    failure = FAILURE.search(printed)
    if failure or done.returncode:
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        said = failure[0].strip() if failure else lines[-1] if lines else f"exit status {done.returncode}"
        raise UserError(
            f"{asked} failed ({said}): check that driver and firmware are installed and match, "
            "that this user may open the NPU (group HwHiAiUser) and that no other container holds it."
        )
    return done.stdout
