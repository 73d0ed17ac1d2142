"""A simulated npu-smi: the tables and details of one machine (ASCEND_SIM_SMI)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "site"))

from ascend_simulator import settings
from ascend_simulator.cards import LAYOUTS, Card, Chip, Layout

DCMI_NOT_READY, INVALID_PARAMETER, NOT_SUPPORTED = -8005, -8001, -8255
WIDTHS = {"wide": (31, 17, 54), "narrow": (19, 17, 54), "hbm": (27, 15, 52)}
TYPES = ("common", "usages", "power", "board", "temp", "health")


class SmiError(Exception):
    """A text to print and the code that the process exits with."""

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code


def _line(widths: tuple[int, ...], mark: str) -> str:
    return "+" + "+".join(mark * width for width in widths) + "+"


def _row(widths: tuple[int, ...], *cells: str) -> str:
    return "|" + "|".join(f" {cell}".ljust(width) for cell, width in zip(cells, widths, strict=True)) + "|"


def table(layout: Layout) -> list[str]:
    """Return the lines of `npu-smi info`."""
    widths = WIDTHS[layout.table]
    hbm, narrow = layout.table == "hbm", layout.table == "narrow"
    whole, first = (sum(widths) + 2,), 6 if hbm else 8
    lines = []
    if not narrow:
        version = f"{layout.version}+simulated"
        title = f"npu-smi {version}".ljust(33 if hbm else 49) + f"Version: {version}"
        lines += [_line(whole, "-"), _row(whole, title)]
    device = "Phy-ID" if hbm and layout.physical_ids else "" if hbm else "Device"
    usage = "AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)" if hbm else "AICore(%)    Memory-Usage(MB)"
    power = "Power(W)    Temp(C)           Hugepages-Usage(page)" if hbm else "Power(W)     Temp(C)           Hugepages-Usage(page)"
    lines += [_line(widths, "-"), _row(widths, "NPU".ljust(first) + "Name", "Health", power)]
    lines += [_row(widths, "Chip".ljust(first) + device, "Bus-Id", usage), _line(widths, "=")]
    number = 0
    for card in layout.cards:
        for index, chip in enumerate(card.chips):
            if index and layout.row_per_chip:
                lines.append(_line(whole if hbm else widths, "-"))
            if not index or layout.row_per_chip:
                lines.append(_row(widths, f"{card.npu_id:<{first}}{layout.name}", layout.health, _card_cell(layout, card, chip, index)))
            shown = "" if hbm and not layout.physical_ids else str(number)
            lines.append(_row(widths, f"{index:<{first}}{shown}", chip.bus, _chip_cell(layout, chip)))
            number += 1
        lines.append(_line(widths, "="))
    if narrow:
        return lines
    names = ("NPU".ljust(8) + "Chip", "Process id", "Process name".ljust(25) + "| " + "Process memory(MB)")
    lines += [_line(widths, "-"), _row(widths, *names), _line(widths, "=")]
    for card in layout.cards:
        lines += [_row(whole, f"No running processes found in NPU {card.npu_id}"), _line(widths, "=")]
    return lines


def _card_cell(layout: Layout, card: Card, chip: Chip, index: int) -> str:
    power = card.power if layout.power_in_table and not index else "-" if layout.power_in_table else "NA"
    used, total = layout.hugepages
    gap = 6 if layout.table == "wide" else 5
    return f"{power:<{12 if layout.table == 'hbm' else 13}}{chip.temperature:<18}{used:<{gap}}/ {total}"


def _chip_cell(layout: Layout, chip: Chip) -> str:
    used, total = chip.memory
    if layout.table == "hbm":
        return f"{0:<12}{0:<5}/ {0:<11}{used:<5}/ {total}"
    return f"{0:<13}{used:<{6 if layout.chip.startswith('310B') else 5}}/ {total}"


def mapping(layout: Layout) -> list[str]:
    """Return the lines of `npu-smi info -m`; the card's controller comes last."""
    columns = ["NPU ID", "Chip ID", "Chip Logic ID", *(["Chip Phy-ID"] if layout.physical_ids else []), "Chip Name"]
    name = layout.name if layout.name.startswith("Ascend") else f"Ascend {layout.name}"
    rows, number = [columns], 0
    for card in layout.cards:
        for index in range(len(card.chips)):
            rows.append([card.npu_id, index, *[number] * (len(columns) - 3), name])
            number += 1
        rows.append([card.npu_id, len(card.chips), *["-"] * (len(columns) - 3), "Mcu"])
    return ["\t" + "".join(f"{value!s:<31}" for value in row[:-1]) + str(row[-1]) for row in rows]


def _details(pairs: dict) -> list[str]:
    return [f"\t{key:<30} : {value}" for key, value in pairs.items()] + [""]


def listing(layout: Layout) -> list[str]:
    """Return the lines of `npu-smi info -l`."""
    lines = _details({"Total Count": len(layout.cards)})
    for card in layout.cards:
        facts = {"NPU ID": card.npu_id, "Product Name": "simulated", "Serial Number": "simulated", "Chip Count": len(card.chips)}
        lines += _details(facts)
    return lines


def common(layout: Layout, card: Card, chips: dict[int, Chip]) -> list[str]:
    """Return `-t common`: on a 310P the card's power is that of its controller."""
    hbm, lines = layout.table == "hbm", []
    for index, chip in chips.items():
        rate = round(100 * chip.memory[0] / chip.memory[1])
        facts = {"Chip ID": index, "Memory Usage Rate(%)": 0 if hbm else rate, **({"HBM Usage Rate(%)": rate} if hbm else {})}
        facts |= {"Aicore Usage Rate(%)": 0, "Aicore Freq(MHZ)": 1080, "Aicore curFreq(MHZ)": 960}
        facts |= {"Aicore Count": 20} if hbm else {}
        lines += _details({**facts, "Temperature(C)": chip.temperature, **({"NPU Real-time Power(W)": card.power} if hbm else {})})
    controller = {"Chip Name": "mcu", "Temperature(C)": 41}
    return lines + _details(controller if hbm else {**controller, "NPU Real-time Power(W)": card.power})


def usages(layout: Layout, card: Card, chips: dict[int, Chip]) -> list[str]:
    """Return `-t usages`: `Chip ID` ends a block, except on a 310B where it begins one."""
    lines = []
    for index, chip in chips.items():
        used, total = chip.memory
        rate, number = round(100 * used / total), {"Chip ID": index}
        cores = {f"{name} Usage Rate(%)": 0 for name in ("Aicore", "Aicpu", "Ctrlcpu")}
        if layout.chip.startswith("310B"):
            memory = {"Memory Capacity(MB)": total, "Memory Usage Rate(%)": rate}
            lines += _details({**number, **memory, **cores, "Memory Bandwidth Usage Rate(%)": 0})
            continue
        pages = {"DDR Hugepages Total(page)": 0, "DDR Hugepages Usage Rate(%)": 0}
        if layout.table == "hbm":
            memory = {"DDR Capacity(MB)": 0, "DDR Usage Rate(%)": 0, **pages, "HBM Capacity(MB)": total, "HBM Usage Rate(%)": rate}
            lines += _details({**memory, **cores, "DDR Bandwidth Usage Rate(%)": 0, "HBM Bandwidth Usage Rate(%)": 0, **number})
        else:
            memory = {"DDR Capacity(MB)": total, "DDR Usage Rate(%)": rate, **pages}
            media = {f"DVPP {name} Usage Rate(%)": 0 for name in ("VDEC", "VPC", "VENC", "JPEGE", "JPEGD")}
            lines += _details({**memory, **cores, "Vectorcore Usage Rate(%)": 0, "DDR Bandwidth Usage Rate(%)": 51, **media, **number})
    return lines


def power(layout: Layout, card: Card, chips: dict[int, Chip]) -> list[str]:
    """Return `-t power`, which a 310P answers for the card only."""
    if layout.table == "hbm":
        return [line for index in chips for line in _details({"NPU Real-time Power(W)": card.power, "Chip ID": index})]
    if len(chips) < len(card.chips) or "-c" in sys.argv:  # the wording of this refusal is not known
        raise SmiError(
            f"This device does not support querying power.\nFailed to execute npu-smi info. ret is {NOT_SUPPORTED}.", NOT_SUPPORTED
        )
    return _details({"Power Dissipation(W)": card.power})


def board(layout: Layout, card: Card, chips: dict[int, Chip]) -> list[str]:
    """Return `-t board`; with `-c` the names of the chip, from which an A3's soc_version is put together."""
    bus, version = card.chips[0].bus, f"{layout.version}+simulated"
    if "-c" in sys.argv:
        index, name = next(iter(chips)), layout.name if layout.name.startswith("Ascend") else layout.chip
        facts = {"Chip ID": index, "Chip Type": "Ascend", "Chip Name": name}
        facts |= {"NPU Name": layout.chip.partition("_")[2]} if "_" in layout.chip else {}
        return _details({**facts, "Chip Version": "V1", "Board ID": "0x02", "PCIe Bus Info": chips[index].bus, "Firmware Version": "7.1.0"})
    facts = {"Product Name": "simulated", "Model": "NA", "Manufacturer": "Huawei", "Serial Number": "simulated"}
    facts |= {"Software Version": version, "Firmware Version": "7.1.0", "Compatibility": "OK", "Board ID": "0x02", "PCB ID": "A"}
    facts |= {"BOM ID": 1, "PCIe Bus Info": bus, "Slot ID": 0, "Class ID": "NA", "PCI Vendor ID": "0x19E5", "PCI Device ID": "0xD500"}
    facts |= {"Subsystem Vendor ID": "0x0200", "Subsystem Device ID": "0x0100", "Chip Count": len(card.chips), "Chip Fault": 0}
    return _details(facts)


def temp(layout: Layout, card: Card, chips: dict[int, Chip]) -> list[str]:
    """Return `-t temp`."""
    return [line for index, chip in chips.items() for line in _details({"Temperature (C)": chip.temperature, "Chip ID": index})]


def health(layout: Layout, card: Card, chips: dict[int, Chip]) -> list[str]:
    """Return `-t health`."""
    return [line for index in chips for line in _details({"Health": layout.health, "Error Code": "NA", "Chip ID": index})]


def detail(layout: Layout, arguments: list[str]) -> list[str]:
    """Return `npu-smi info -t TYPE -i ID [-c CHIP]`."""
    flags = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if flags.get("-t") not in TYPES:
        raise SmiError("Error parameter of -t", INVALID_PARAMETER)
    cards = [card for card in layout.cards if str(card.npu_id) == flags.get("-i")]
    if not cards:
        raise SmiError("Error parameter of -i", INVALID_PARAMETER)
    chips = {index: chip for index, chip in enumerate(cards[0].chips) if flags.get("-c", str(index)) == str(index)}
    if not chips:
        raise SmiError("Error parameter of -c", INVALID_PARAMETER)
    counted = {} if "-c" in flags or flags["-t"] == "board" else {"Chip Count": len(cards[0].chips)}
    head = _details({"NPU ID": cards[0].npu_id, **counted})
    if flags["-t"] == "board":
        head.pop()  # the board's facts follow without a gap
    return head + globals()[flags["-t"]](layout, cards[0], chips)


def main(arguments: list[str]) -> int:
    """Print the answer and return the exit code."""
    layout = LAYOUTS[settings.layout()]
    if settings.fault("smi-fail"):
        print(f"dcmi module initialize failed. ret is {DCMI_NOT_READY}")
        return DCMI_NOT_READY
    if arguments == ["-v"]:
        print(f"npu-smi version: {layout.version}+simulated")
        return 0
    if arguments[:1] != ["info"]:
        print("Command or option is not found.\nUsage: npu-smi <Command|-h|-v> [Options...]")
        return INVALID_PARAMETER
    answers = {(): table, ("-m",): mapping, ("-l",): listing}
    try:
        lines = answers[tuple(arguments[1:])](layout) if tuple(arguments[1:]) in answers else detail(layout, arguments[1:])
    except SmiError as error:
        print(error)
        return error.code
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) % 256)  # exit() keeps one byte: -8005 becomes 187
