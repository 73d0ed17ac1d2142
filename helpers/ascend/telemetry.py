"""What a chip does while it works, asked of `npu-smi` in the background.

`-t common` has everything, on a 310P the power for the whole card alone; other cards tell their power only in `-t power`.
"""

import re
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from helpers.ascend import npu_smi
from helpers.ascend.npu_smi import Chip, number
from helpers.errors import UserError
from helpers.records import Moment, Telemetry

MOMENTS = 100  # of a timeline, at most
POWER, DISSIPATION = "NPU Real-time Power(W)", "Power Dissipation(W)"  # one name or the other, by chip


@dataclass(frozen=True)
class _Sample:
    power_w: float | None
    power_of: str  # chip or card
    temperature_c: float | None
    aicore_pct: float | None
    frequency_mhz: float | None
    seconds: float = field(default_factory=time.time)


class Sampler:
    """Asks a chip once every `interval` seconds for what it does, in a thread that ends with the context; a failure is only counted."""

    def __init__(self, chip: Chip, interval: float = 1.0, ask: Callable[..., str] = npu_smi.ask):
        self._chip, self._interval, self._ask = chip, interval, ask
        self._asks_power = True  # until that fails
        self._samples: list[_Sample] = []
        self._failed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped, name="npu-smi", daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def sample(self) -> None:
        """Ask once."""
        try:
            sample = _parsed(self._ask("info", "-t", "common", "-i", str(self._chip.npu_id)), self._chip)
        except UserError:
            self._failed += 1
            return
        if sample.power_w is None and self._asks_power:
            sample = replace(sample, power_w=self._card_power(), power_of="card")
            self._asks_power = sample.power_w is not None
        self._samples.append(sample)

    def telemetry(self) -> Telemetry | None:
        """Return means over the samples taken, None when there is none."""
        if not self._samples:
            return None
        return Telemetry(
            samples=len(self._samples),
            failed_samples=self._failed,
            interval_seconds=self._interval,
            power_w=self._mean("power_w"),
            power_of=next((sample.power_of for sample in self._samples if sample.power_w is not None), None),
            temperature_c=self._mean("temperature_c"),
            temperature_max_c=max(self._known("temperature_c"), default=None),
            aicore_pct=self._mean("aicore_pct"),
            frequency_mhz=self._mean("frequency_mhz"),
            timeline=[Moment(**{name: getattr(sample, name) for name in Moment.model_fields}) for sample in self._evenly()],
        )

    def _evenly(self) -> list[_Sample]:
        """Return all samples, or as many as a timeline shows, evenly spread."""
        return self._samples[:: -(-len(self._samples) // MOMENTS)]

    def _sample_until_stopped(self) -> None:
        self.sample()
        while not self._stop.wait(self._interval):
            self.sample()

    def _card_power(self) -> float | None:
        try:
            return number(_pairs(self._ask("info", "-t", "power", "-i", str(self._chip.npu_id))).get(DISSIPATION))
        except UserError:
            return None

    def _mean(self, field: str) -> float | None:
        known = self._known(field)
        return statistics.fmean(known) if known else None

    def _known(self, field: str) -> list[float]:
        return [value for sample in self._samples if (value := getattr(sample, field)) is not None]


def _parsed(text: str, chip: Chip) -> _Sample:
    """Return what `-t common` says of a chip: its own block, and the card's power in the block of the board's controller."""
    head, *parts = re.split(r"^\s*Chip (?:ID|Name)\s*:", text, flags=re.MULTILINE)
    blocks = {part.split(None, 1)[0].lower(): part for part in parts if part.strip()}  # by chip id; by name what is no NPU
    if not any(name.isdigit() for name in blocks):  # the latest chips are one for each NPU and have no id
        blocks[str(chip.chip_id)] = head
    own = _pairs(blocks.get(str(chip.chip_id), ""))
    if "Temperature(C)" not in own:
        raise UserError(f"npu-smi info -t common says nothing of chip {chip.chip_id}: see what it prints.")
    board = _pairs(blocks.get("mcu", ""))
    of_chip, of_card = number(own.get(POWER)), number(board.get(POWER) or board.get(DISSIPATION))
    return _Sample(
        power_w=of_card if of_chip is None else of_chip,
        power_of="card" if of_chip is None else "chip",
        temperature_c=number(own["Temperature(C)"]),
        aicore_pct=number(own.get("Aicore Usage Rate(%)")),
        frequency_mhz=number(own.get("Aicore curFreq(MHZ)")),
    )


def _pairs(text: str) -> dict[str, str]:
    """Return the `key : value` lines of a text, the first of each key."""
    pairs = {}
    for line in text.splitlines():
        key, colon, value = line.partition(" : ")
        if colon:
            pairs.setdefault(key.strip(), value.strip())
    return pairs
