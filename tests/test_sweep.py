from types import SimpleNamespace

import numpy as np

from helpers import params, progress, sweep, timing
from helpers.backends import Backend
from helpers.records import Measured, Row

FIGURE = Measured(images_per_second=10.0, interval_fps=None, latency_ms=None, blocks=1, calls=None)
IMAGES = np.zeros((8, 3), np.float32)
FAST = timing.Profile(blocks=3, seconds=0.0, warm_up_seconds=0.01, limit_seconds=5.0, block_seconds=0.0)


class Picky(Backend):
    """Fails at one batch size, as a device that runs out of memory does."""

    name, provider, device, precision, threads = "picky", "none", "none", "fp32", 1

    def __init__(self, fails_at=None):
        self.fails_at = fails_at

    @staticmethod
    def check(target):
        pass

    def __call__(self, batch):
        if len(batch) == self.fails_at:
            raise OSError("out of device memory\nat 0x1")  # not a RuntimeError: runtimes share no base class
        return batch


def test_a_batch_size_that_fails_is_recorded_and_the_others_go_on():
    candidate, baseline = Picky(fails_at=4), Picky()
    rows = sweep._measure({candidate: IMAGES, baseline: IMAGES}, [4, 2], FAST)
    assert [(row.batch, row.error) for row in rows[candidate]] == [(2, None), (4, "out of device memory")]
    assert [(row.batch, row.error) for row in rows[baseline]] == [(2, None), (4, None)]
    assert rows[candidate][1].regions == {}
    assert rows[baseline][1].regions["compute"].blocks >= 3


def test_a_baseline_that_fails_leaves_the_candidate_its_figure():
    candidate, baseline = Picky(), Picky(fails_at=2)
    rows = sweep._measure({candidate: IMAGES, baseline: IMAGES}, [2], FAST)
    assert rows[baseline][0].error == "out of device memory"
    assert rows[candidate][0].regions["compute"].images_per_second > 0


def test_a_live_baseline_that_was_never_compared_gets_no_figure_and_a_reason(tmp_path, monkeypatch):
    class Known(Picky):
        def refusal(self, model, batches):
            return None

    class Unknown(Picky):
        def refusal(self, model, batches):
            return "it was not compared with the original"

    backends = iter([Known(), Unknown()])
    monkeypatch.setattr(sweep.backends, "load", lambda folder, model, target: next(backends))
    monkeypatch.setattr(sweep.Tensors, "of", lambda folder, data: None)
    monkeypatch.setattr(sweep, "_images", lambda tensors, backend: IMAGES)
    monkeypatch.setitem(timing.PROFILES, "quick", FAST)
    settings = params.check(params.BatchSweep, run=str(tmp_path), batch_sizes=[2], baseline="openvino")
    candidate, baseline = sweep.measure(SimpleNamespace(settings=settings, folder=tmp_path), None, None)
    assert candidate.rows[0].regions["compute"].images_per_second > 0
    assert candidate.rows[0].first_call_ms is not None
    assert (baseline.rows[0].regions, baseline.rows[0].error) == ({}, "refused: it was not compared with the original")

    backends = iter([Unknown(), Known()])
    candidate, baseline = sweep.measure(SimpleNamespace(settings=settings, folder=tmp_path), None, None)
    assert candidate.rows[0].regions == baseline.rows[0].regions == {}


def test_what_takes_longer_than_a_minute_is_announced(capsys):
    progress.announce("comparing", 59)
    assert capsys.readouterr().out == ""
    progress.announce("comparing", 150)
    assert capsys.readouterr().out == "comparing: about 2 minutes\n"


def test_recorded_times_without_answers_are_tied_to_no_model():
    rows = [Row(batch=batch, regions={"compute": FIGURE}) for batch in (1, 8)] + [Row(batch=16, regions={})]
    recorded = SimpleNamespace(recorded=True, identity="recorded fp16 on x")
    model = SimpleNamespace(checks=[SimpleNamespace(candidate="recorded fp16 on x", batch=8)])
    assert sweep._unproven(recorded, model, rows) == "no answers were recorded at batch size 1 to compare"
    assert sweep._unproven(recorded, model, rows[1:]) == ""
    assert sweep._unproven(SimpleNamespace(recorded=None), model, rows) == ""
