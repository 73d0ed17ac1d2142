import stat

import pytest

from helpers.ascend import npu_smi
from helpers.errors import UserError

PRO = """\
+--------------------------------------------------------------------------------------------------------+
| npu-smi 23.0.0                                   Version: 23.0.0                                       |
+-------------------------------+-----------------+------------------------------------------------------+
| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
+===============================+=================+======================================================+
| 24      310P3                 | OK              | NA           29                0     / 0             |
| 0       0                     | 0000:04:00.0    | 0            1832 / 21527                            |
+===============================+=================+======================================================+
+-------------------------------+-----------------+------------------------------------------------------+
| NPU     Chip                  | Process id      | Process name             | Process memory(MB)        |
+===============================+=================+======================================================+
| No running processes found in NPU 24                                                                   |
+===============================+=================+======================================================+
"""
DUO = """\
| 1       310P3                 | OK              | NA           49                0     / 0             |
| 0       0                     | 0000:01:00.0    | 0            1448 / 44278                            |
+-------------------------------+-----------------+------------------------------------------------------+
| 1       310P3                 | OK              | NA           45                0     / 0             |
| 1       1                     | 0000:01:00.0    | 0            1511 / 43693                            |
"""
NARROW = """\
+-------------------+-----------------+------------------------------------------------------+
| NPU     Name      | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device    | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
+===================+=================+======================================================+
| 0       310P3     | OK              | 15.8         42                0    / 0              |
| 0       0         | 0000:82:00.0    | 0            1074 / 21534                            |
+===================+=================+======================================================+
"""
BUSY = """\
| 0       310P3                 | OK              | NA           49                8728  / 8728          |
| 0       0                     | 0000:01:00.0    | 97           19435/ 21527                            |
+===============================+=================+======================================================+
| 32      310P3                 | OK              | NA           49                0     / 0             |
| 0       1                     | 0000:02:00.0    | 0            1910 / 21527                            |
+-------------------------------+-----------------+------------------------------------------------------+
| NPU     Chip                  | Process id      | Process name             | Process memory(MB)        |
+===============================+=================+======================================================+
| 0       0                     | 1234            | python3                  | 17000                     |
"""
ALARM = """\
| 0       310B4                 | Alarm           | 0.0          65                15    / 15            |
| 0       0                     | NA              | 0            3628 / 15609                            |
"""
HBM = """\
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 102.8       45                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3445 / 65536         |
"""
DUAL_DIE = """\
| 3     Ascend910           | OK            | 164.3       45                0    / 0             |
| 0     6                   | 0000:9D:00.0  | 1           0    / 0          3445 / 65536         |
| 1     7                   | 0000:9F:00.0  | 2           0    / 0          3446 / 65536         |
"""
MAPPING = """\
	NPU ID                         Chip ID                        Chip Logic ID                  Chip Name
	1                              0                              0                              Ascend 310P3
	1                              1                              1                              Ascend 310P3
	1                              2                              -                              Mcu
"""


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """Return a function that puts an npu-smi on PATH which prints a text for each command line, and fails at any other."""

    def install(texts: dict[str, str]) -> None:
        cases = "".join(f"'{asked}') cat <<'END'\n{text.rstrip()}\nEND\n;;\n" for asked, text in texts.items())
        script(f'case "$*" in\n{cases}*) echo "Error parameter of $*"; exit 1 ;;\nesac\n')

    def script(body: str) -> None:
        path = tmp_path / "npu-smi"
        path.write_text(f"#!/bin/sh\n{body}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    install.script = script
    return install


def test_a_310p_is_read_whole(answers):
    answers({"info": PRO})
    [chip] = npu_smi.chips()
    assert chip == npu_smi.Chip(24, 0, 0, "310P3", "OK", None, 29.0, 0.0, 1832.0, 21527.0)
    assert chip.soc_version == "Ascend310P3"


def test_two_chips_share_an_npu_id(answers):
    answers({"info": DUO, "info -m": MAPPING})
    assert [(chip.npu_id, chip.chip_id, chip.logic_id, chip.temperature_c) for chip in npu_smi.chips()] == [
        (1, 0, 0, 49.0),
        (1, 1, 1, 45.0),
    ]
    assert npu_smi.chip(1).memory_total_mb == 43693


def test_the_narrow_table_of_the_guides_has_power(answers):
    answers({"info": NARROW})
    [chip] = npu_smi.chips()
    assert (chip.power_w, chip.memory_used_mb, chip.memory_total_mb) == (15.8, 1074, 21534)


def test_digits_may_touch_the_slash_and_processes_are_no_chips(answers):
    answers({"info": BUSY})
    assert [(chip.npu_id, chip.memory_used_mb, chip.aicore_pct) for chip in npu_smi.chips()] == [(0, 19435, 97), (32, 1910, 0)]


def test_an_alarm_and_a_missing_bus_id_are_kept(answers):
    answers({"info": ALARM})
    [chip] = npu_smi.chips()
    assert (chip.name, chip.health, chip.power_w, chip.memory_total_mb) == ("310B4", "Alarm", 0.0, 15609)


def test_a_chip_without_letters_is_no_chip_row(answers):
    answers({"info": ALARM.replace("310B4", "310  ").replace("NA", "0000:01:00.0")})
    assert npu_smi.chip(0).soc_version == "Ascend310"


def test_hbm_is_the_memory_of_a_chip_that_has_it(answers):
    answers({"info": HBM})
    [chip] = npu_smi.chips()
    assert (chip.logic_id, chip.power_w, chip.memory_used_mb, chip.memory_total_mb) == (0, 102.8, 3445, 65536)


def test_two_dies_of_one_row_are_two_chips(answers):
    answers({"info": DUAL_DIE})
    assert [(chip.npu_id, chip.chip_id, chip.logic_id, chip.aicore_pct) for chip in npu_smi.chips()] == [(3, 0, 6, 1), (3, 1, 7, 2)]
    assert npu_smi.chip(7).soc_version == "Ascend910"


def test_the_map_overrules_the_table(answers):
    answers({"info": DUO, "info -m": MAPPING.replace("0                              Ascend", "5                              Ascend")})
    assert [chip.logic_id for chip in npu_smi.chips()] == [5, 1]


def test_a_newer_map_has_another_column(answers):
    newer = """\
	NPU ID                         Chip ID                        Chip Logic ID                  Chip Phy-ID                    Chip Name
	1                              0                              3                              7                              Ascend 310P3
	1                              1                              4                              8                              Ascend 310P3
	1                              2                              -                              -                              Mcu
"""
    answers({"info": DUO, "info -m": newer})
    assert [chip.logic_id for chip in npu_smi.chips()] == [3, 4]


@pytest.mark.parametrize(("table", "expected"), [(BUSY, [0, 1]), (HBM + HBM.replace("| 0     910B3", "| 5     910B3"), [0, 1])])
def test_without_a_map_the_device_column_or_the_order_counts(answers, table, expected):
    answers({"info": table})
    assert [chip.logic_id for chip in npu_smi.chips()] == expected


def test_an_unknown_device_is_told_those_there_are(answers):
    answers({"info": DUO, "info -m": MAPPING})
    with pytest.raises(UserError, match="there is no device 2, npu-smi lists 0, 1: choose one"):
        npu_smi.chip(2)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"info": PRO}, "23.0.0"),
        ({"info": PRO.replace("Version: 23.0.0 ", "Version: 23.0.0+simulated ")}, "23.0.0+simulated"),
        ({"info": NARROW, "-v": "npu-smi version: 25.2.0"}, "25.2.0"),
    ],
)
def test_the_version_stands_in_the_header_or_is_asked_for(answers, texts, expected):
    answers(texts)
    assert npu_smi.version() == expected


def test_no_npu_smi_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="npu-smi is not on PATH: install the Ascend driver"):
        npu_smi.chips()


@pytest.mark.parametrize(
    "line", ["dcmi module initialize failed. ret is -8005", "dcmi model initialized failed, because the device is used. ret is -8020"]
)
def test_a_failed_driver_is_told_even_with_status_0(answers, line):
    answers({"info": f"DrvMngGetConsoleLogLevel failed. (ret=4)\n{line}"})
    with pytest.raises(UserError, match=f"npu-smi info failed \\({line}\\): check that driver and firmware"):
        npu_smi.chips()


def test_another_failure_is_quoted(answers):
    answers.script("echo; echo 'libdrvdsmi_host.so: cannot open' >&2; exit 127")
    with pytest.raises(UserError, match="npu-smi info failed \\(libdrvdsmi_host.so: cannot open\\)"):
        npu_smi.chips()


def test_a_hanging_driver_is_not_waited_for(answers, monkeypatch):
    monkeypatch.setattr(npu_smi, "TIMEOUT", 0.2)
    answers.script("exec sleep 30")
    with pytest.raises(UserError, match="npu-smi info gave no answer in 0.2 s"):
        npu_smi.chips()


def test_a_table_without_chips_is_told(answers):
    answers({"info": "\n".join(PRO.splitlines()[:6])})
    with pytest.raises(UserError, match="npu-smi info lists no chip"):
        npu_smi.chips()


def test_devices_that_are_made_visible_are_counted_anew(answers, monkeypatch):
    answers({"info": DUO, "info -m": MAPPING})
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "1")
    assert npu_smi.chip(0).chip_id == 1
    with pytest.raises(UserError, match="there is no device 1, npu-smi lists 0"):
        npu_smi.chip(1)
