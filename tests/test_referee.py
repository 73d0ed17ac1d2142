"""LoadGen drives backends that only sleep: counts and words are asserted, never how long anything took."""

import subprocess
import sys
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import ROOT, loadgen, referee
from helpers.errors import UserError
from helpers.loadgen import Heard
from helpers.timing import Block

lg = pytest.importorskip("mlperf_loadgen")
IMAGES = np.arange(21, dtype=np.float32).reshape(21, 1)  # each is known by its number
WHOLE = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18, 19]]


class Sleeper:
    """A backend that takes about a millisecond a call and remembers which images it saw."""

    requests = 1

    def __init__(self, fails_at=None, error=ValueError):
        self.seen, self._fails_at, self._error = [], fails_at, error

    def __call__(self, batch):
        self.seen.append(batch.ravel().astype(int).tolist())
        if len(self.seen) == self._fails_at:
            raise self._error("out of memory")
        time.sleep(0.001)


class Flooded(Sleeper):
    """One that keeps three calls in flight."""

    requests = 3
    floods = 0

    def flood(self, batches, calls):
        self.floods += 1
        for given in batches:
            self(given)
        assert len(self.seen) == calls
        return [0.001] * calls


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """An empty folder that temporary files go to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_offline_gives_whole_batches_in_rotation():
    backend = Sleeper()
    heard = loadgen.offline(backend, IMAGES, 4, seconds=0.03125, images_per_second=3200)
    assert backend.seen == WHOLE * 5  # 3,200 x 0.03125 = 100 images, and the one left over is never run in a smaller batch
    assert 0 < heard.images_per_second < 4000  # no call is shorter than its sleep
    assert heard.latency_p90_ms is None


def test_every_sample_is_answered_once_and_is_one_image(monkeypatch):
    answered, complete = [], lg.QuerySamplesComplete

    def listen(responses):
        answered.extend(response.id for response in responses)
        complete(responses)

    monkeypatch.setattr(lg, "QuerySamplesComplete", listen)
    backend = Sleeper()
    loadgen.offline(backend, IMAGES, 4, seconds=0.003, images_per_second=3601)
    assert backend.seen == WHOLE[:3]  # 10.8 images are 12 in whole batches
    assert len(answered) == len(set(answered)) == 12
    answered.clear()
    loadgen.single_stream(backend, IMAGES, 4, seconds=0.02, call_seconds=0.001)
    assert len(answered) == len(set(answered)) == len(backend.seen) - 3


def test_a_batch_larger_than_the_pool_repeats_images():
    backend = Sleeper()
    loadgen.offline(backend, IMAGES[:3], 5, seconds=0.001, images_per_second=3200)
    assert backend.seen == [[0, 1, 2, 0, 1]]


def test_several_requests_get_all_batches_in_one_flood():
    backend = Flooded()
    loadgen.offline(backend, IMAGES, 4, seconds=0.03125, images_per_second=3200)
    assert (backend.floods, backend.seen) == (1, WHOLE * 5)


def test_single_stream_gives_one_whole_batch_a_query():
    backend = Sleeper()
    heard = loadgen.single_stream(backend, IMAGES, 4, seconds=0.3, call_seconds=0.001)
    assert {tuple(batch) for batch in backend.seen} == {tuple(batch) for batch in WHOLE}  # drawn at random from all of them
    assert 0 < heard.images_per_second < 4000
    assert heard.images_per_second == pytest.approx(4 * len(backend.seen) / 0.3, rel=0.3)  # images, not queries
    assert heard.latency_p90_ms >= 1


def test_too_few_calls_leave_the_rate_without_a_percentile():
    backend = Sleeper()
    heard = loadgen.single_stream(backend, IMAGES, 1, seconds=0.01, call_seconds=0.001)
    assert len(backend.seen) < 64
    assert heard.images_per_second > 0
    assert heard.latency_p90_ms is None


@pytest.mark.parametrize("run", [lambda b: loadgen.offline(b, IMAGES, 1, 1.0, 10), lambda b: loadgen.single_stream(b, IMAGES, 1, 1.0, 0.1)])
def test_an_invalid_run_is_no_number(run):
    with pytest.raises(UserError, match=r"INVALID \(Min duration"):
        run(Sleeper())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_call_is_raised_and_the_next_test_runs(error):
    backend = Sleeper(fails_at=3, error=error)
    with pytest.raises(error, match="out of memory"):
        loadgen.single_stream(backend, IMAGES, 1, seconds=0.05, call_seconds=0.001)
    assert len(backend.seen) == 3  # the queries that follow are answered without a call
    with pytest.raises(error, match="out of memory"):
        loadgen.offline(Sleeper(fails_at=2, error=error), IMAGES, 4, seconds=0.03125, images_per_second=3200)
    assert loadgen.offline(Sleeper(), IMAGES, 4, seconds=0.01, images_per_second=3200).images_per_second > 0


def test_nothing_is_printed_or_left_behind(temporary, capfd):
    loadgen.offline(Sleeper(), IMAGES, 4, seconds=0.01, images_per_second=3200)
    loadgen.single_stream(Sleeper(), IMAGES, 4, seconds=0.01, call_seconds=0.001)
    assert list(temporary.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_file_of_settings_in_the_working_folder_is_not_obeyed(temporary):
    (temporary / "audit.config").write_text("*.SingleStream.performance_issue_same = 1\n")
    backend = Sleeper()
    loadgen.single_stream(backend, IMAGES, 4, seconds=0.1, call_seconds=0.001)
    assert len({tuple(batch) for batch in backend.seen}) == len(WHOLE)


def test_without_loadgen_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[referee\]'"):
        loadgen.offline(Sleeper(), IMAGES, 1, 0.01, 1000)


def test_helpers_are_imported_without_loadgen():
    code = "import sys; sys.modules['mlperf_loadgen'] = None; from helpers import referee"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


class Benched:
    """A bench whose block says 1 ms a call."""

    def __init__(self, backend):
        self.backend, self.images, self.log = backend, IMAGES, []

    def begin(self, batch, warm_up_seconds, block_seconds):
        return SimpleNamespace(calls_per_block=10)

    def block(self, calls):
        self.log.append(("ours", calls))
        return Block(0.001 * calls, [0.001] * calls)

    def end(self):
        self.log.append("end")


@pytest.mark.parametrize(("scenario", "name", "expected"), [("Offline", "offline", 4000), ("SingleStream", "single_stream", 0.001)])
def test_both_take_turns(monkeypatch, scenario, name, expected):
    bench = Benched(Sleeper())

    def hear(backend, images, batch, seconds, expected_is):
        bench.log.append("theirs")
        assert (backend, len(images), batch, seconds) == (bench.backend, 21, 4, 0.5)
        assert expected_is == pytest.approx(expected)
        return Heard(3000.0, 7.0)

    monkeypatch.setattr(loadgen, name, hear)
    found = referee.compare(bench, scenario, 4, 0.5, 3)
    ours = ("ours", 500)
    assert bench.log == [("ours", 10), ours, "theirs", "theirs", ours, ours, "theirs", "end"]
    assert (found.scenario, found.batch, found.pairs, found.latency_p90_ms) == (scenario, 4, 3, 7.0)
    assert found.images_per_second == pytest.approx(3000)
    assert found.ours == pytest.approx(4000)
    assert found.disagreement_pct == pytest.approx(-25)


def test_a_real_comparison_is_whole():
    found = referee.compare(Benched(Sleeper()), "SingleStream", 2, 0.1, 2)
    assert found.latency_p90_ms >= 1
    assert found.images_per_second < 2000
    assert found.interval_pct[0] <= found.disagreement_pct <= found.interval_pct[1]


def test_a_comparison_that_fails_ends_the_bench():
    bench = Benched(Sleeper(fails_at=1))
    with pytest.raises(ValueError, match="out of memory"):
        referee.compare(bench, "SingleStream", 1, 0.01, 1)
    assert bench.log[-1] == "end"


def test_single_stream_with_several_in_flight_is_refused():
    with pytest.raises(UserError, match="compare it in Offline"):
        referee.compare(Benched(Flooded()), "SingleStream", 1, 0.1, 1)


def test_agreement_of_pairs():
    found = referee.judge("Offline", 8, [(110.0, 100.0), (90.0, 100.0)])
    assert found.images_per_second == pytest.approx(99.49874)  # the root of 110 x 90
    assert found.ours == pytest.approx(100)
    assert found.disagreement_pct == pytest.approx(-0.5012563)
    # log ratios 0.0953102 and -0.1053605: mean -0.0050252, standard error 0.1003353, t of one degree of freedom 12.7062047
    assert found.interval_pct == pytest.approx((-72.19367, 256.03409), rel=1e-6)
    assert (found.pairs, found.latency_p90_ms) == (2, None)


def test_one_pair_has_no_interval():
    found = referee.judge("SingleStream", 1, [(98.0, 100.0)], 11.5)
    assert found.disagreement_pct == pytest.approx(-2)
    assert (found.interval_pct, found.pairs, found.latency_p90_ms) == (None, 1, 11.5)


def test_turns_are_paired():
    log = []

    def take(name):
        log.append(name)
        return float(len(log))

    pairs = referee.take_turns(lambda: take("theirs"), lambda: take("ours"), 3)
    assert log == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert pairs == [(2.0, 1.0), (3.0, 4.0), (6.0, 5.0)]
