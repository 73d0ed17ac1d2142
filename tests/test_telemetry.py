import threading

import pytest

from helpers.ascend.npu_smi import Chip
from helpers.ascend.telemetry import Sampler
from helpers.errors import UserError

COMMON_310P = """\
	NPU ID                         : 1
	Chip Count                     : 2

	Chip ID                        : 0
	Memory Usage Rate(%)           : 4
	Aicore Usage Rate(%)           : 10
	Aicore Freq(MHZ)               : 1080
	Aicore curFreq(MHZ)            : 960
	Temperature(C)                 : 43

	Chip ID                        : 1
	Memory Usage Rate(%)           : 4
	Aicore Usage Rate(%)           : 90
	Aicore Freq(MHZ)               : 1080
	Aicore curFreq(MHZ)            : 1080
	Temperature(C)                 : 51

	Chip Name                      : mcu
	Temperature(C)                 : 41
	NPU Real-time Power(W)         : 45.2
"""
COMMON_910B = """\
	NPU ID                         : 0
	Chip Count                     : 1

	Chip ID                        : 0
	Memory Usage Rate(%)           : 6
	HBM Usage Rate(%)              : 0
	Aicore Usage Rate(%)           : 30
	Aicore Freq(MHZ)               : 1000
	Aicore curFreq(MHZ)            : 1000
	Aicore Count                   : 32
	Temperature(C)                 : 46
	NPU Real-time Power(W)         : 69.0
"""
COMMON_310 = """\
	NPU ID                         : 0
	Chip Count                     : 1

	Chip ID                        : 0
	Memory Usage Rate(%)           : 6
	Aicore Usage Rate(%)           : 30
	Temperature(C)                 : 46
	Rated Power Dissipation(W)     : 12.8
"""


class NpuSmi:
    """Answers each `-t common` with the next text, and `-t power` always with one; None is a failure."""

    def __init__(self, *common, power=None):
        self.common, self.power, self.asked = list(common), power, []

    def __call__(self, *arguments):
        self.asked.append(" ".join(arguments))
        text = self.power if "power" in arguments else self.common.pop(0)
        if text is None:
            raise UserError("not supported")
        return text


def chip(chip_id=0, npu_id=1):
    return Chip(npu_id, chip_id, chip_id, "310P3", "OK", None, 40.0, 0.0, 0.0, 21527.0)


def sampled(chip, npu_smi):
    """Return the telemetry of a sample for each text that npu-smi has."""
    sampler = Sampler(chip, 0.5, npu_smi)
    while npu_smi.common:
        sampler.sample()
    return sampler.telemetry()


def test_a_310p_has_its_own_chip_and_the_power_of_the_card():
    told = sampled(chip(1), NpuSmi(COMMON_310P, COMMON_310P.replace(": 51", ": 53").replace(": 90", ": 100")))
    assert (told.samples, told.failed_samples, told.interval_seconds) == (2, 0, 0.5)
    assert (told.aicore_pct, told.frequency_mhz, told.temperature_c, told.temperature_max_c) == (95, 1080, 52, 53)
    assert (told.power_w, told.power_of) == (45.2, "card")


def test_a_910b_has_the_power_of_the_chip():
    told = sampled(chip(), NpuSmi(COMMON_910B))
    assert (told.power_w, told.power_of) == (69.0, "chip")


def test_the_rated_power_is_none_and_the_card_is_asked():
    npu_smi = NpuSmi(COMMON_310, COMMON_310, power="\tPower Dissipation(W)           : 15.8\n")
    told = sampled(chip(), npu_smi)
    assert (told.power_w, told.power_of) == (15.8, "card")
    assert npu_smi.asked == ["info -t common -i 1", "info -t power -i 1"] * 2


def test_a_power_query_that_fails_is_not_repeated():
    npu_smi = NpuSmi(COMMON_310, COMMON_310)
    told = sampled(chip(), npu_smi)
    assert (told.power_w, told.power_of) == (None, None)
    assert npu_smi.asked == ["info -t common -i 1", "info -t power -i 1", "info -t common -i 1"]


def test_the_latest_chips_have_no_id_in_their_block():
    without = COMMON_910B.replace("	Chip ID                        : 0\n", "").replace("	Chip Count                     : 1\n", "")
    assert sampled(chip(), NpuSmi(without)).temperature_c == 46


def test_numbers_may_be_na():
    told = sampled(chip(), NpuSmi(COMMON_310P.replace(": 45.2", ": NA").replace(": 43", ": NA")))
    assert (told.power_w, told.temperature_c, told.temperature_max_c) == (None, None, None)
    assert told.aicore_pct == 10


def test_failed_samples_are_counted_and_no_error():
    told = sampled(chip(), NpuSmi(None, COMMON_310P, "no such chip"))
    assert (told.samples, told.failed_samples) == (1, 2)


def test_a_timeline_has_a_hundred_samples_at_most_evenly_spread():
    moments = sampled(chip(), NpuSmi(*[COMMON_310P] * 250)).timeline
    assert len(moments) == 84  # every third
    assert moments == sorted(moments, key=lambda moment: moment.seconds)


def test_no_sample_is_no_telemetry():
    assert sampled(chip(), NpuSmi(None)) is None


def test_the_thread_ends_with_the_context_also_when_that_fails():
    with pytest.raises(ZeroDivisionError), Sampler(chip(), 60, NpuSmi(COMMON_310P)):
        assert "npu-smi" in [thread.name for thread in threading.enumerate()]
        raise ZeroDivisionError
    assert "npu-smi" not in [thread.name for thread in threading.enumerate()]


def test_a_short_context_has_a_sample_of_the_npu_of_its_chip():
    npu_smi = NpuSmi(COMMON_310P)
    with Sampler(chip(npu_id=24), 60, npu_smi) as sampler:
        pass
    assert sampler.telemetry().samples == 1
    assert npu_smi.asked == ["info -t common -i 24"]
