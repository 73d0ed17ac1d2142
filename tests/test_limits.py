from types import SimpleNamespace

import pytest

from helpers import limits
from helpers.records import Copies, Latency, Measured, Noise
from tests.test_html import sweep_of
from tests.test_units import done
from tests.test_verdict import series

HERE = {"cpu": "processor", "cores": 4, "memory_bytes": 10_000_000_000}


def sweep(figures, rows=None, threads=4, region="compute", **candidate):
    """Return a sweep of these images per second; `rows`: batch size -> further facts of its row."""
    one = series("candidate", figures, region=region).model_copy(update=candidate)
    for row in one.rows:
        for name, value in (rows or {}).get(row.batch, {}).items():
            setattr(row, name, value)
    return sweep_of().model_copy(update={"series": [one], "region": region, "environment": HERE, "params": {"threads": threads}})


def said(figures, rows=None, prepared=1e6, environment=HERE, units=(), **of_sweep):
    data = SimpleNamespace(throughput=SimpleNamespace(images_per_second=prepared), environment=environment, units=units)
    found = limits.in_words(sweep(figures, rows, **of_sweep), data)
    return found and found.text


def measured(fps, mean=None):
    latency = Latency(mean=mean, p50=1.0, p90=None, p99=None) if mean else None
    return Measured(images_per_second=fps, interval_fps=None, latency_ms=latency, blocks=30, calls=30)


def test_without_a_figure_nothing_is_said():
    assert said({1: None}) is None
    assert said({1: 100, 8: 110}, kind="simulated") is None


# compute


def test_compute_limits_where_larger_batches_gain_little():
    assert said({1: 100, 8: 110, 64: 108}) == (
        "Compute limits: the best batch size, 8, is only 1.10 times as fast as 1; try a lower precision (bf16, int8), or a faster device."
    )


def test_batch_sizes_that_still_gain_are_to_be_gone_on_with():
    assert said({1: 100, 8: 110, 64: 140}).endswith("try larger batches, or a lower precision (bf16, int8), or a faster device.")
    assert "larger" not in said({1: 100, 8: 110, 64: 115})  # 4.5 % more


def test_the_first_batch_size_may_be_the_best():
    assert said({1: 100, 8: 95}).startswith("Compute limits: no batch size is faster than 1; try")


@pytest.mark.parametrize(("precision", "tries"), [("bf16", "try int8, or a"), ("fp16", "try int8, or a"), ("int8", "try a faster device.")])
def test_a_precision_that_it_has_already_is_not_proposed(precision, tries):
    assert tries in said({1: 100, 8: 101}, precision=precision)


def test_cores_that_no_thread_uses_are_proposed():
    busy = {1: {"cores_busy": 1.0}}
    assert "; try more threads (now 1 on 4 cores), or a lower" in said({1: 100, 8: 95}, busy, threads=1)
    assert "more threads" not in said({1: 100, 8: 95}, {1: {"cores_busy": 4.0}}, threads=4)


def test_the_cores_of_this_machine_say_nothing_of_a_recording():
    assert "threads" not in said({1: 100, 8: 95}, kind="replayed", threads=1)


def test_one_batch_size_does_not_tell():
    assert said({4: 100}) == "One batch size alone does not show what limits: try a second in batch_sizes."


# fixed costs


def test_fixed_costs_limit_where_a_larger_call_takes_hardly_longer():
    assert said({1: 100, 4: 380, 64: 390}) == (
        "Fixed costs limit small batches: 64 times the images take only 16.41 times as long, so that most of a call at batch size 1 does "
        "not grow with the batch (launching operations, reading the weights, a device that is not full); use batch size 64."
    )


def test_half_of_the_smallest_call_is_the_limit():
    """Twice the images in 1.5 times the time: a call is one half fixed."""
    assert said({8: 100, 16: 2 / 1.49 * 100}).startswith("Fixed costs limit small batches: 2 times the images take only 1.49 times")
    assert said({8: 100, 16: 2 / 1.51 * 100}).startswith("Compute limits")


def test_larger_batches_are_proposed_while_they_gain():
    assert said({1: 100, 8: 500}).endswith("; use batch size 8, or try larger ones.")
    assert said({1: 100, 8: 500, 16: 400}).endswith("; use batch size 8.")


def test_the_order_of_the_rows_does_not_matter():
    assert said({64: 390, 1: 100, 4: 380}) == said({1: 100, 4: 380, 64: 390})


# large batches


def test_a_fall_at_large_batches_is_told_with_its_usual_cause():
    assert said({1: 100, 8: 120, 64: 90}) == (
        "Large batches are slower: 64 reaches 0.750 times the speed of 8, most often because what one layer hands to the next no longer "
        "fits the caches; use batch size 8."
    )
    assert said({1: 100, 8: 120, 64: 109}).startswith("Compute limits")


# memory


@pytest.mark.parametrize(
    "error",
    [
        "CUDA out of memory. Tried to allocate 2 GiB",
        "out of device memory",
        "Failed to allocate memory for requested buffer",
        "std::bad_alloc",
    ],
)
def test_memory_limits_where_the_next_batch_size_did_not_fit(error):
    assert said({1: 100, 8: 120, 64: None}, {64: {"error": error}}) == (
        "Memory limits: batch size 64 did not fit, and 8 is the fastest of those that did; "
        "try a lower precision (bf16, int8) or more memory."
    )


def test_a_process_that_died_is_no_proof():
    error = "its process died, most often for want of memory: try smaller batch_sizes, batch_size or a subset."
    assert said({1: 100, 64: None}, {64: {"error": error}}, precision="int8") == (
        "Memory limits, most probably: at batch size 64 the process died, and 1 is the fastest of those that ran; try more memory."
    )


@pytest.mark.parametrize(
    "error", ["an illegal memory access was encountered", "execute model failed: see npu-smi info for the chip's health and memory"]
)
def test_an_error_that_only_names_memory_is_another(error):
    assert said({1: 100, 8: 120, 64: None}, {64: {"error": error}}).startswith("Compute limits")


def test_memory_does_not_limit_where_larger_batches_gained_nothing_before():
    assert said({1: 100, 8: 120, 16: 121, 64: None}).startswith("Compute limits")
    assert said({1: 100, 8: None, 16: 120}).startswith("Compute limits")  # what failed was no larger one


def test_memory_that_is_nearly_full_limits():
    assert said({1: 100, 8: 120}, {8: {"peak_memory_bytes": 8_100_000_000}}) == (
        "Memory limits: batch size 8, the largest and the fastest, takes 8.1 GB of 10.0 GB; "
        "try a lower precision (bf16, int8) or more memory."
    )
    assert said({1: 100, 8: 120}, {8: {"peak_memory_bytes": 7_900_000_000}}).startswith("Compute limits")


# copies


def copying(to_device, to_host, **regions):
    return {8: {"copies": Copies(to_device_ms=to_device, to_host_ms=to_host), "regions": {k: measured(v) for k, v in regions.items()}}}


def test_copies_limit_where_they_take_longer_than_the_execution():
    rows = copying(3.0, 1.5, compute=2000.0, device=940.0)
    expected = (
        "Copies limit whole calls: at batch size 8 they take 4.50 ms and the execution 4.00 ms; try to copy one batch while another is "
        "computed, or uint8 inputs that are normalised on the device where they are not yet."
    )
    assert said({8: 1}, rows) == said({8: 1}, rows, region="device") == expected
    assert "Copies" not in said({8: 1}, copying(2.0, 1.9, compute=2000.0, device=1000.0))


def test_copies_that_were_not_recorded_limit_nothing():
    assert "Copies" not in said({8: 1}, copying(None, 9.0, compute=2000.0))
    assert "Copies" not in said({8: 1}, copying(9.0, 9.0, device=100.0), region="device")
    assert "they take 4.10 ms" in said({8: 1}, copying(4.1, None, compute=2000.0), kind="replayed")


# threads


def quiet(others_pct):
    return Noise(verdict="STABLE", reasons=[], variation_pct=1, iqr_pct=1, windows_pct=1, drift_pct=0, outliers=0, others_pct=others_pct)


def test_threads_limit_where_they_wait_for_each_other():
    assert said({1: 100, 8: 120}, {8: {"cores_busy": 2.9}}) == (
        "Threads limit: 4 of them keep 2.9 cores busy at batch size 8; "
        "try several requests in flight (OpenVINO's throughput hint) or larger batches."
    )
    assert said({1: 100, 8: 120}, {8: {"cores_busy": 3.1}}).startswith("Compute limits")


def test_nought_threads_are_one_for_each_core():
    assert said({1: 100, 8: 120}, {8: {"cores_busy": 2.9}}, threads=0).startswith("Threads limit: 4 of them")


def test_one_thread_waits_for_no_other():
    assert said({1: 100, 8: 120}, {8: {"cores_busy": 0.5}}, threads=1).startswith("Compute limits")


def test_with_several_requests_in_flight_more_of_them_are_proposed():
    rows = {1: {"cores_busy": 2.0, "regions": {"compute": measured(100.0, mean=30.0)}}}
    assert said({1: 100, 8: 95}, rows).endswith("at batch size 1; try more requests in flight.")


def test_threads_that_others_push_aside_do_not_wait():
    busy = {"cores_busy": 2.0}
    assert said({1: 100, 8: 120}, {8: {**busy, "noise": quiet(5.1)}}).startswith("Compute limits")
    assert said({1: 100, 8: 120}, {8: {**busy, "noise": quiet(4.9)}}).startswith("Threads limit")
    assert said({1: 100, 8: 120}, {8: {**busy, "noise": quiet(None)}}).startswith("Threads limit")


@pytest.mark.parametrize("device", [{"copies": Copies(to_device_ms=0.1, to_host_ms=0.1)}, {"regions": {"device": measured(120.0)}}])
def test_a_device_of_its_own_has_no_threads_here(device):
    region = "device" if "regions" in device else "compute"
    assert "hreads" not in said({1: 100, 8: 120}, {8: {"cores_busy": 0.5, **device}}, region=region)


def test_figures_that_vary_too_much_are_said_to():
    noisy, unstable = (quiet(0.0).model_copy(update={"verdict": verdict}) for verdict in ("NOISY", "UNSTABLE"))
    assert said({1: 100, 8: 110, 64: 112}, {1: {"noise": unstable}, 8: {"noise": noisy}, 64: {"noise": unstable}}).endswith(
        "or a faster device; this may change in a quieter run: UNSTABLE at batch size 1, 64."
    )
    assert "UNSTABLE" not in said({1: 100, 8: 110}, {8: {"noise": noisy}})


# preparation


def test_a_slower_preparation_is_told():
    assert said({4: 100.04}, prepared=60.0).endswith(
        "; from image files on, preparation would limit: one process prepared 60.0 images a second, and 100.0 were computed."
    )
    assert "prepared" not in said({4: 100}, prepared=100.0)


def test_a_slower_preparation_by_workers_is_theirs():
    shared = [done(0, 4, place="process 1"), done(4, 4, place="process 2"), done(8, 2, place="process 1")]
    assert "preparation would limit: 2 workers prepared 60.0 images a second, and 100.0 " in said({4: 100}, prepared=60.0, units=shared)
    assert "prepared" not in said({4: 100}, prepared=60.0, units=[*shared, done(10, 1, host="another")])


def test_what_two_machines_did_is_not_compared():
    assert "prepared" not in said({4: 100}, prepared=60.0, environment={**HERE, "cpu": "another"})
    assert "prepared" not in said({4: 100}, prepared=60.0, kind="replayed")
