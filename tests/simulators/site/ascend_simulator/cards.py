"""The machines that the simulated npu-smi shows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """One chip: what the second row of npu-smi's table says about it."""

    bus: str
    memory: tuple[int, int]  # used and total MB; of HBM where there is HBM
    temperature: int = 45


@dataclass(frozen=True)
class Card:
    """One NPU ID with its chips; `power` is the card's own, which the table of a 310P shows as NA."""

    npu_id: int
    power: str
    chips: tuple[Chip, ...]


@dataclass(frozen=True)
class Layout:
    """A machine: the name npu-smi prints, the chip as in soc_version without Ascend, the table's shape and the driver."""

    name: str
    chip: str
    table: str  # wide, narrow, hbm
    version: str
    cards: tuple[Card, ...]
    health: str = "OK"
    hugepages: tuple[int, int] = (0, 0)
    power_in_table: bool = False
    row_per_chip: bool = True  # the NPU row is repeated for every chip of a card
    physical_ids: bool = False  # -m has the column Chip Phy-ID


_DIES = (Chip("0000:9D:00.0", (3343, 65536), 46), Chip("0000:9F:00.0", (2886, 65536), 36))

LAYOUTS = {
    "310p": Layout("310P3", "310P3", "wide", "23.0.0", (Card(24, "45.2", (Chip("0000:04:00.0", (1832, 21527), 29),)),)),
    "310p_old": Layout(
        "310P3",
        "310P3",
        "narrow",
        "22.0.2",
        (
            Card(0, "15.8", (Chip("0000:82:00.0", (1074, 21534), 42),)),
            Card(1, "15.4", (Chip("0000:89:00.0", (19435, 21534), 43),)),
        ),
        power_in_table=True,
    ),
    "duo": Layout(
        "310P3",
        "310P3",
        "wide",
        "25.5.1",
        (Card(1, "42.9", (Chip("0000:01:00.0", (1448, 44278), 49), Chip("0000:01:00.0", (1511, 43693), 45))),),
        physical_ids=True,
    ),
    "310b": Layout(
        "310B1", "310B1", "wide", "23.0.0", (Card(0, "7.2", (Chip("NA", (8728, 8728), 37),)),), "Alarm", (15, 15), power_in_table=True
    ),
    "910b": Layout("910B3", "910B3", "hbm", "25.2.0", (Card(0, "102.8", (Chip("0000:C1:00.0", (3445, 65536)),)),), power_in_table=True),
    "dual_die": Layout(
        "Ascend910", "910_9392", "hbm", "24.1.0", (Card(0, "176.9", _DIES),), power_in_table=True, row_per_chip=False, physical_ids=True
    ),
    "a3": Layout("Ascend910", "910_9392", "hbm", "25.2.0", (Card(0, "162.8", _DIES),), power_in_table=True, physical_ids=True),
}
