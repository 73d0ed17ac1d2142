import itertools

import numpy as np
import pytest

from helpers import bench
from helpers.backends import Backend
from helpers.bench import Bench
from helpers.records import Telemetry
from helpers.timing import Times


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Fake(Backend):
    """Takes known times, and remembers the batches it was called with."""

    name, provider, device, precision, threads = "fake", "none", "none", "fp32", 1
    compiles_in = None

    def __init__(self, clock, seconds=0.02):
        self.clock, self.seconds, self.batches, self.prepared = clock, seconds, [], []

    @staticmethod
    def check(target):
        pass

    def prepare(self, batch):
        self.prepared.append(batch)
        self.compile_seconds = self.compiles_in
        self.clock.now += 0.5

    def __call__(self, batch):
        self.batches.append(batch.ravel().tolist())
        self.clock.now += next(self.seconds) if hasattr(self.seconds, "__next__") else self.seconds
        return np.zeros((len(batch), 10), np.float32)


class Several(Fake):
    """Keeps two calls in flight: two take no longer than one."""

    requests = 2

    def flood(self, batches, calls):
        for _ in range(calls // 2):
            self.batches += [next(batches).ravel().tolist(), next(batches).ravel().tolist()]
            self.clock.now += self.seconds
        return [self.seconds] * calls


class Images:
    """Ten images of one pixel, the pixel being the image's number."""

    how = None

    def prepared(self, how):
        return self

    def __len__(self):
        return 10

    def __getitem__(self, chosen):
        return np.arange(10, dtype=np.float32)[chosen].reshape(-1, 1)


def bench_of(backend=Fake, seconds=0.02):
    clock = Clock()
    return Bench(backend(clock, seconds), Images(), clock)


def test_batches_rotate_through_distinct_real_images():
    images = np.arange(10, dtype=np.float32).reshape(10, 1)
    batches = bench.rotate(images, 4)
    assert [next(batches).ravel().tolist() for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]
    assert sorted(np.concatenate([next(batches) for _ in range(5)]).ravel()) == sorted([*range(10), *range(10)])
    assert next(bench.rotate(images, 12)).ravel().tolist() == [*range(10), 0, 1]


def test_the_pool_is_bounded_in_images_and_in_bytes(monkeypatch):
    assert len(bench.pool(Images())) == 10
    monkeypatch.setattr(bench, "POOL_IMAGES", 3)
    assert len(bench.pool(Images())) == 3
    monkeypatch.setattr(bench, "POOL_BYTES", 8)  # of 4 each
    assert len(bench.pool(Images())) == 2


def test_a_start_tells_load_compile_and_first_call_apart():
    made = bench_of(seconds=iter([0.3, 0.04]))
    made.backend.compiles_in = 1.5  # known only when it is done
    start = made.start(2, load_seconds=2.0)
    assert start.load == pytest.approx(1.0)  # 2 s before, 0.5 s to prepare, 1.5 s of all that compiled
    assert (start.first_call, start.image) == (pytest.approx(0.3), pytest.approx(0.02))
    assert made.backend.prepared == [2]


def test_a_block_is_filled_with_calls():
    made = bench_of(seconds=0.02)
    ready = made.begin(4, 2.0, block_seconds=0.05)
    assert (ready.calls_per_block, ready.start, ready.compile_seconds) == (3, None, None)
    assert ready.warm_up.settled
    made.backend.batches.clear()
    block = made.block(3)
    assert (block.seconds, block.calls) == (pytest.approx(0.06), pytest.approx([0.02] * 3))
    assert len(made.backend.batches) == 3


def test_a_compilation_belongs_to_its_batch_size():
    made = bench_of()
    made.backend.compiles_in = 2.5
    assert made.begin(4, 2.0, 0.05).compile_seconds == 2.5


def test_a_leading_call_is_made_but_not_counted():
    made = bench_of()
    made.begin(4, 2.0, 0.05)
    made.backend.batches.clear()
    assert made.block(3, lead=True).seconds == pytest.approx(0.06)
    assert len(made.backend.batches) == 4


def test_before_a_long_call_there_is_no_other():
    made = bench_of(seconds=0.6)
    made.begin(4, 2.0, 0.05)
    made.backend.batches.clear()
    made.block(1, lead=True)
    assert len(made.backend.batches) == 1


def test_a_block_tells_the_cpu_time_of_the_process(monkeypatch):
    made, ticks = bench_of(), iter([10.0, 10.7])
    made.begin(4, 2.0, 0.05)
    monkeypatch.setattr(bench.time, "process_time", lambda: next(ticks))
    assert made.block(1).cpu_seconds == pytest.approx(0.7)


def test_the_parts_of_each_call_are_kept():
    made = bench_of()
    made.backend.times = Times(1.0, 2.0, 3.0)
    made.begin(4, 2.0, 0.05)
    assert made.block(2).parts == [Times(1.0, 2.0, 3.0)] * 2


def test_several_requests_are_timed_as_a_whole():
    made = bench_of(Several, 0.02)
    ready = made.begin(1, 2.0, block_seconds=0.05)
    assert ready.calls_per_block == 8  # four rounds of two, which take more than the 50 ms
    block = made.block(8)
    assert (block.seconds, block.calls) == (pytest.approx(0.08), [0.02] * 8)


def test_from_stored_pixels_to_the_five_best_classes(monkeypatch):
    asked = []
    monkeypatch.setattr(bench.metrics, "top_k", lambda answers, _: asked.append(answers.shape))
    made = bench_of()
    made.begin(4, 2.0, 0.05, host=True)
    made.backend.batches.clear()
    asked.clear()
    made.block(3)
    first, second, third = made.backend.batches
    assert sorted([first, second]) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert third == first
    assert asked == [(4, 10)] * 3
    made.begin(4, 2.0, 0.05)
    asked.clear()
    made.block(3)
    assert asked == []


def test_more_images_than_there_are_repeat():
    made = bench_of()
    made.begin(12, 2.0, 0.05, host=True)
    assert made.backend.batches[-1] == [*range(10), 0, 1]


def test_a_model_for_each_batch_size_has_a_start_of_its_own():
    made = bench_of()
    made.backend.loads_each_batch = True
    ready = made.begin(4, 2.0, 0.05)
    assert (ready.start.load, ready.start.first_call) == (pytest.approx(0.5), pytest.approx(0.02))


def test_it_runs_for_at_least_so_long():
    made = bench_of(seconds=0.02)
    made.begin(4, 2.0, 0.05)
    images, seconds = made.run_for(0.1)
    assert (images, seconds) == (24, pytest.approx(0.12))  # two blocks of three calls


class Watching:
    """A sampler that says whether it watches."""

    def __init__(self, log):
        self.log = log

    def __enter__(self):
        self.log.append("on")
        return self

    def __exit__(self, *_):
        self.log.append("off")

    def telemetry(self):
        self.log.append("told")
        return Telemetry.model_construct(power_w=7.0)


def test_the_device_is_watched_from_begin_to_end():
    made, log = bench_of(), []
    made.backend.sampler = lambda: Watching(log)
    made.begin(4, 2.0, 0.05)
    made.block(1)
    assert log == ["on"]
    assert made.end().telemetry.power_w == 7.0
    assert log == ["on", "off", "told"]


def test_beside_others_the_device_is_not_watched():
    made, log = bench_of(), []
    made.backend.sampler = lambda: Watching(log)
    made.begin(4, 2.0, 0.05, alone=False)
    assert made.end().telemetry is None
    assert log == []


def test_what_a_failed_measurement_left_watching_is_stopped():
    made, log = bench_of(), []
    made.backend.sampler = lambda: Watching(log)
    made.begin(4, 2.0, 0.05)
    made.begin(8, 2.0, 0.05)
    assert log == ["on", "off", "on"]


def test_idle_is_watched_without_a_call(monkeypatch):
    made, log, slept = bench_of(), [], []
    monkeypatch.setattr(bench.time, "sleep", slept.append)
    assert made.idle_for(3.0) is None
    made.backend.sampler = lambda: Watching(log)
    assert made.idle_for(3.0).power_w == 7.0
    assert (slept, made.backend.batches) == ([3.0], [])


def test_memory_is_that_since_begin(monkeypatch):
    made = bench_of()
    peaks = itertools.count(100)
    monkeypatch.setattr(bench.memory, "reset", lambda: next(peaks))
    monkeypatch.setattr(bench.memory, "peak_bytes", lambda: next(peaks))
    made.backend.device_memory_bytes = lambda: next(peaks)
    made.begin(4, 2.0, 0.05)  # reset 100, the device's reset by asking 101
    used = made.end()
    assert (used.peak_memory_bytes, used.peak_device_memory_bytes, used.telemetry) == (102, 103, None)
