"""The environment variables that steer the simulators; an unknown value is an error."""

import os

from .cards import LAYOUTS

ERAS = ("V1", "V1b", "V2", "V3", "V4")
FAULTS = (
    "atc-fail",
    "atc-no-file",
    "atc-fail-rc0",
    "atc-hang",
    "atc-host-suffix",
    "device-busy",
    "run-fail",
    "run-hang",
    "garbage",
    "load-fail",
    "smi-fail",
    "output-size-zero",
)


def choice(variable: str, values: tuple[str, ...]) -> str:
    """Return the value of an environment variable, by default the first of `values`."""
    value = os.environ.get(variable) or values[0]
    if value not in values:
        raise ValueError(f"{variable}={value}: choose among {', '.join(values)}")
    return value


def era() -> str:
    """Return the generation of the inference tools (ASCEND_SIM_ERA)."""
    return choice("ASCEND_SIM_ERA", ("V4", *ERAS[:-1]))


def layout() -> str:
    """Return which machine npu-smi shows (ASCEND_SIM_SMI)."""
    return choice("ASCEND_SIM_SMI", tuple(LAYOUTS))


def chip() -> str:
    """Return the chip that the runtime sits on (ASCEND_SIM_CHIP, by default the one npu-smi shows), such as 310P3."""
    return os.environ.get("ASCEND_SIM_CHIP") or LAYOUTS[layout()].chip


def device_count() -> int:
    """Return how many chips a process sees: all of them, or the valid start of ASCEND_RT_VISIBLE_DEVICES."""
    chips = sum(len(card.chips) for card in LAYOUTS[layout()].cards)
    visible = os.environ.get("ASCEND_RT_VISIBLE_DEVICES")
    if visible is None:
        return chips
    count, last = 0, -1
    for part in visible.split(","):
        if not part.isdecimal() or not last < int(part) < chips:
            break
        count, last = count + 1, int(part)
    return count


def _faults() -> dict[str, str]:
    faults = dict([*entry.split(":"), ""][:2] for entry in os.environ.get("ASCEND_SIM_FAULT", "").split(",") if entry)
    if unknown := sorted(set(faults) - set(FAULTS)):
        raise ValueError(f"ASCEND_SIM_FAULT={unknown[0]}: choose among {', '.join(FAULTS)}")
    return faults


def fault(name: str) -> bool:
    """Return whether ASCEND_SIM_FAULT asks for this fault."""
    return name in _faults()


def fault_at(name: str) -> int:
    """Return the number N of a fault `name:N`, or 0 when it is off."""
    return int(_faults().get(name) or 0)
