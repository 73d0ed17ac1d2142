import math
import sys
import threading
from types import SimpleNamespace

import pytest

from helpers import energy
from helpers.energy import Counter, NoEnergy, Sampled
from helpers.records import Energy, Telemetry


class Machine:
    """A machine with a clock that only moves when it sleeps or runs, and a counter of what it took."""

    def __init__(self, idle_w=10.0, loaded_w=60.0, interval=0.1):
        self.now, self.joules, self.idle_w, self.loaded_w = 0.0, 1000.0, idle_w, loaded_w
        self.counter = Counter("meter", lambda: self.joules, interval)
        self.slept, self.asked = [], []

    def pass_time(self, seconds, watts):
        self.now += seconds
        self.joules += watts * seconds

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.pass_time(seconds, self.idle_w)

    def run(self, seconds, images_per_second=8, overhead=0.0):
        self.asked.append(seconds)
        self.pass_time(overhead, self.idle_w)
        self.pass_time(seconds, self.loaded_w)
        return round(images_per_second * seconds), seconds

    def measure(self, idle_seconds=4.0, seconds=16.0, **more):
        return energy.measure(self.counter, lambda s: self.run(s, **more), idle_seconds, seconds, clock=lambda: self.now, sleep=self.sleep)


# from a counter to a record


def test_what_the_machine_takes_idle_is_subtracted():
    """50 W more than idle over 16 s are 800 J for 128 images."""
    assert Machine().measure() == Energy(
        counter="meter", joules_per_image=6.25, idle_w=10.0, mean_w=60.0, seconds=16.0, images=128, interval_seconds=0.1
    )


def test_time_that_went_into_starting_the_run_counts_as_idle():
    measured = Machine().measure(overhead=8.0)
    assert (measured.joules_per_image, measured.mean_w, measured.seconds) == (6.25, 60.0, 16.0)


def test_windows_of_twenty_renewals_are_long_enough():
    machine = Machine(interval=0.125)
    machine.measure(idle_seconds=2.5, seconds=3.0)
    assert (machine.slept, machine.asked) == ([2.5], [3.0])


def test_shorter_windows_are_lengthened_to_twenty_renewals():
    machine = Machine(interval=0.125)
    machine.measure(idle_seconds=2.0, seconds=1.0)
    assert (machine.slept, machine.asked) == ([2.5], [2.5])


def test_a_run_that_ends_before_its_time_has_no_figure():
    machine = Machine()
    with pytest.raises(NoEnergy, match=r"^meter: 1.99 s under load, which needs 2 s$"):
        energy.measure(machine.counter, lambda seconds: machine.run(1.99), 4, 16, clock=lambda: machine.now, sleep=machine.sleep)


def test_the_counter_is_running_while_it_is_asked_and_no_longer():
    machine, log = Machine(), []

    class Running:
        def __enter__(self):
            log.append("on")

        def __exit__(self, *_):
            log.append("off")

    def joules():
        log.append("read")
        return machine.joules

    machine.counter = Counter("meter", joules, 0.1, Running)
    machine.measure()
    assert log == ["on", "read", "read", "read", "off"]


@pytest.mark.parametrize(
    ("idle_w", "loaded_w"),
    [
        (10.0, 10.0),
        (10.0, 9.0),
        (0.0, 0.0),  # the counter stands still
        (0.0, 60.0),  # it was not renewed in the idle window
        (10.0, math.nan),
        (math.nan, 60.0),
        (10.0, math.inf),
    ],
)
def test_a_figure_that_can_not_be_is_none(idle_w, loaded_w):
    with pytest.raises(NoEnergy, match="^meter: 128 images, .* W under load, .* W idle$"):
        Machine(idle_w, loaded_w).measure()


def test_no_image_has_no_energy():
    with pytest.raises(NoEnergy, match=r"^meter: 0 images, 60.00 W under load, 10.00 W idle$"):
        Machine().measure(images_per_second=0)


# which counter


def test_an_unknown_provider_has_no_counter():
    with pytest.raises(NoEnergy, match="^no counter is known for CANNExecutionProvider$"):
        energy.find("CANNExecutionProvider")


@pytest.fixture
def powercap(monkeypatch, tmp_path):
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)

    def domain(folder, name, microjoules, wraps_at=262_143_000_000):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "name").write_text(f"{name}\n")
        (tmp_path / folder / "energy_uj").write_text(f"{microjoules}\n")
        (tmp_path / folder / "max_energy_range_uj").write_text(f"{wraps_at}\n")

    return domain


def test_a_virtual_machine_has_no_rapl(powercap):
    with pytest.raises(NoEnergy, match="^no counter: the processor shows no RAPL here, as in most virtual machines$"):
        energy.find("cpu")


@pytest.mark.parametrize("provider", ["cpu", "CPU", "CPUExecutionProvider"])
def test_a_processor_is_read_through_rapl(powercap, provider):
    powercap("intel-rapl:0", "package-0", 5_000_000)
    counter = energy.find(provider)
    before = counter.joules()
    powercap("intel-rapl:0", "package-0", 7_500_000)
    assert counter.joules() - before == 2.5
    assert (counter.name, counter.interval_seconds) == ("RAPL, whole package-0", 0.001)


def test_packages_and_their_memory_add_up_and_nothing_counts_twice(powercap):
    domains = ["intel-rapl:0", "package-0"], ["intel-rapl:0:0", "core"], ["intel-rapl:0:1", "dram"], ["intel-rapl:0:2", "uncore"]
    domains += ["intel-rapl:1", "package-1"], ["intel-rapl:2", "psys"], ["intel-rapl-mmio:0", "package-0"]
    for folder, name in domains:
        powercap(folder, name, 0)
    counter = energy.find("cpu")
    for place, (folder, name) in enumerate(domains):
        powercap(folder, name, 1_000_000 * 10**place)
    assert counter.joules() == 10101
    assert counter.name == "RAPL, whole package-0, dram, package-1"


def test_a_counter_that_wraps_goes_on(powercap):
    powercap("intel-rapl:0", "package-0", 99_000_000, wraps_at=100_000_000)
    counter = energy.find("cpu")
    before = counter.joules()
    powercap("intel-rapl:0", "package-0", 2_000_000, wraps_at=100_000_000)
    assert counter.joules() - before == 3
    powercap("intel-rapl:0", "package-0", 1_000_000, wraps_at=100_000_000)  # once more
    assert counter.joules() - before == 102


def test_a_counter_for_root_alone_is_none_and_says_what_to_do(powercap, monkeypatch, tmp_path):
    powercap("intel-rapl:0", "package-0", 0)
    read_text = type(tmp_path).read_text

    def refuse(path, *args, **kwargs):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(type(tmp_path), "read_text", refuse)
    with pytest.raises(NoEnergy, match=r"^RAPL may not be read .*Permission denied.*let root run `chmod a\+r .*/energy_uj`$"):
        energy.find("cpu")


def test_links_that_a_container_leaves_dangling_are_none(powercap, tmp_path):
    (tmp_path / "intel-rapl:0").symlink_to(tmp_path / "masked")
    with pytest.raises(NoEnergy, match="^RAPL can't be read: "):
        energy.find("cpu")


# the GPU's counter


class NVMLError(Exception):
    pass


class NVMLError_NotSupported(NVMLError):
    pass


@pytest.fixture
def nvml(monkeypatch):
    """Return a pynvml with two energies; a test says what it can't do."""
    module = SimpleNamespace(
        NVMLError=NVMLError,
        NVMLError_NotSupported=NVMLError_NotSupported,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: f"by index {index}",
        nvmlDeviceGetTotalEnergyConsumption={"by index 0": 5000}.__getitem__,
        nvmlDeviceGetPowerUsage={"by index 0": 250_000}.__getitem__,
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def refuse(error):
    def call(*_):
        raise error

    return call


@pytest.mark.parametrize("provider", ["cuda", "CUDAExecutionProvider", "TensorrtExecutionProvider"])
def test_a_gpu_is_read_in_millijoules(nvml, provider):
    counter = energy.find(provider)
    assert (counter.name, counter.joules(), counter.interval_seconds) == ("NVML, whole GPU", 5.0, 0.1)


def test_of_several_gpus_none_is_read(nvml):
    nvml.nvmlDeviceGetCount = lambda: 2
    with pytest.raises(NoEnergy, match="^no counter: there are several GPUs, and it is not told which one runs$"):
        energy.find("cuda")


def test_without_nvidia_ml_py_there_is_no_counter(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NoEnergy, match="^no counter: the GPU's is read through nvidia-ml-py, which is not installed$"):
        energy.find("cuda")


def test_without_a_driver_there_is_no_counter(nvml):
    nvml.nvmlInit = refuse(NVMLError("Driver Not Loaded"))
    with pytest.raises(NoEnergy, match="^NVML: Driver Not Loaded$"):
        energy.find("cuda")


def test_a_gpu_without_a_counter_has_its_power_sampled(nvml):
    nvml.nvmlDeviceGetTotalEnergyConsumption = refuse(NVMLError_NotSupported())
    counter = energy.find("cuda")
    assert counter.name == "NVML, samples of the whole GPU's power"
    sampled = counter.joules.__self__
    assert counter.running == sampled.running
    sampled._clock = iter([0.0, 2.0]).__next__
    assert counter.joules() == 0
    assert counter.joules() == 500


def test_a_gpu_that_tells_neither_has_no_counter(nvml):
    nvml.nvmlDeviceGetTotalEnergyConsumption = nvml.nvmlDeviceGetPowerUsage = refuse(NVMLError_NotSupported("Not Supported"))
    with pytest.raises(NoEnergy, match="^NVML: Not Supported$"):
        energy.find("cuda")


def test_another_failure_is_not_taken_for_an_old_gpu(nvml):
    nvml.nvmlDeviceGetTotalEnergyConsumption = refuse(NVMLError("GPU is lost"))
    with pytest.raises(NoEnergy, match="^NVML: GPU is lost$"):
        energy.find("cuda")


def test_samples_of_the_power_add_up_between_their_means():
    sampled = Sampled(iter([100.0, 200.0, 200.0]).__next__, iter([0.0, 2.0, 5.0]).__next__)
    assert sampled.joules() == 0
    sampled.sample()
    assert sampled.joules() == 300 + 600


def test_samples_of_two_threads_may_come_out_of_order():
    sampled = Sampled(lambda: 100.0, iter([2.0, 0.0]).__next__)
    sampled.sample()
    assert sampled.joules() == 200


def test_samples_are_taken_in_the_background_and_end_with_the_block(monkeypatch):
    monkeypatch.setattr(energy, "NVML_SECONDS", 0.001)
    asked = threading.Semaphore(0)
    sampled = Sampled(lambda: asked.release() or 1.0)
    for _ in range(2):  # a counter measures more than once
        with sampled.running():
            assert all(asked.acquire(timeout=10) for _ in range(3))
        assert not any(thread.name == "power" for thread in threading.enumerate())


# an Ascend device


def told(**more):
    usual = {"samples": 20, "failed_samples": 0, "interval_seconds": 1.0, "power_w": 60.0, "power_of": "chip"}
    rest = dict.fromkeys(("temperature_c", "temperature_max_c", "aicore_pct", "frequency_mhz"))
    return Telemetry(**(usual | rest | more))


def test_the_power_of_a_device_loaded_and_idle_gives_its_energy():
    """50 W more than idle over 16 s are 800 J for 128 images."""
    assert energy.of_telemetry(told(), told(power_w=10.0), images=128, seconds=16.0) == Energy(
        counter="npu-smi, power of the chip",
        joules_per_image=6.25,
        idle_w=10.0,
        mean_w=60.0,
        seconds=16.0,
        images=128,
        interval_seconds=1.0,
    )


def test_a_power_that_is_of_the_whole_card_is_called_so():
    measured = energy.of_telemetry(told(power_of="card"), told(power_of="card", power_w=10.0), 128, 16.0)
    assert measured.counter == "npu-smi, power of the card"


@pytest.mark.parametrize(
    ("loaded", "idle", "why"),
    [
        (None, told(), "npu-smi tells no power"),
        (told(), None, "npu-smi tells no power"),
        (told(power_w=None), told(), "npu-smi tells no power"),
        (told(), told(power_w=None), "npu-smi tells no power"),
        (told(), told(power_w=10.0, power_of="card"), "npu-smi told the power of the chip under load and of the card idle"),
        (told(samples=19), told(power_w=10.0), "19 samples of the power, fewer than 20"),
        (told(), told(power_w=10.0, samples=19), "19 samples of the power, fewer than 20"),
        (told(), told(), "npu-smi, power of the chip: 128 images, 60.00 W under load, 60.00 W idle"),
    ],
)
def test_a_power_that_says_too_little_gives_none(loaded, idle, why):
    with pytest.raises(NoEnergy) as raised:
        energy.of_telemetry(loaded, idle, 128, 16.0)
    assert str(raised.value) == why
