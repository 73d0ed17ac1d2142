"""Who is asked for what, and what is done again, with workers that are played: no Ray, no time."""

from collections import deque

import pytest

from helpers import crew, work
from helpers.crew import Answer, Loaded
from helpers.errors import UserError
from helpers.kinds import Kind
from helpers.params import Workers
from helpers.units import Kept, Unit, cut
from tests.test_units import answered

IMAGES, RIGHT = 24, "right"
DIED, HUNG = Answer(error="its process or its host died", lost="died"), Answer(error="gave no answer in 1 s", lost="hung")
KIND = Kind(
    notebook="3_accuracy",
    name="accuracy",
    getting_ready="loading the model",
    on_device=True,
    otherwise="answers the first images otherwise than it should",
    ask=lambda unit: ("evaluate", unit),
    believed=lambda alike: RIGHT,
    agree=lambda right, found: right.probe == found,
)


class Played(crew.Worker):
    """A worker that answers as a right one does, but for the answers that are given in their order; None among them is a right one."""

    def __init__(self, number, *given):
        super().__init__(number, None, 1.0)
        self._given, self.asked = deque(given), []

    def ask(self, doing, method, *arguments):
        self.asked.append(doing)
        super().ask(doing, method, *arguments)

    def _begin(self, method, *arguments):
        return (self._given.popleft() if self._given else None) or Answer(getattr(self, method)(*arguments))

    def load(self):
        return Loaded("h", f"process {self.number}", {"backend": "b", "device": "d"}, None, RIGHT)

    def probe(self):
        return RIGHT

    def evaluate(self, unit):
        return answered(*unit), 1.0

    def kill(self):
        pass


@pytest.fixture
def do(tmp_path, monkeypatch):
    """Return a function that has workers evaluate units of 4 images; it returns the work and what was kept."""

    def told(workers):
        busy = [(worker, worker.task) for worker in workers if worker.handed]
        return [(worker, worker.done(), answer) for worker, answer in busy]

    monkeypatch.setattr(crew, "answered", told)

    def run(*workers, count=None, **limits):
        kept, left = Kept(tmp_path, "key", cut(IMAGES, 4, 4)), iter(workers)
        done = work.Work(KIND, kept, Workers(count=count or len(workers), **limits), lambda number: next(left))
        done.start()
        done.run()
        return done, kept

    return run


def places(kept):
    return [done.place for done in kept.joined()[1]]


def test_all_is_done_in_turns_and_every_worker_has_answered_the_first_images_at_the_end(do):
    first, second = Played(1), Played(2)
    done, kept = do(first, second)
    assert places(kept) == ["process 1", "process 2"] * 3
    assert first.asked == ["load", Unit(0, 4), Unit(8, 4), Unit(16, 4), "probe"]
    assert done.remarks == []


@pytest.mark.parametrize(
    ("given", "remark"),
    [
        ([None, None, None, DIED], "worker 1 on h (process 1) left at images 16 to 19: its process or its host died"),
        ([None, None, None, None, DIED], "worker 1 on h (process 1) left at the first images: its process or its host died"),
        ([None, None, None, None, HUNG], "worker 1 on h (process 1) left at the first images: gave no answer in 1 s"),
        (
            [None, None, None, None, Answer(error="no memory")],
            "worker 1 on h (process 1) failed at the first images (no memory): it was put aside",
        ),
        (
            [None, None, None, None, Answer("wrong")],
            "worker 1 on h (process 1) answers the first images otherwise than it should: it was put aside",
        ),
    ],
)
def test_what_a_worker_did_since_it_last_answered_right_is_done_again_however_it_leaves(do, given, remark):
    """It may have gone wrong before it died, and can't be asked any more."""
    done, kept = do(Played(1, *given), Played(2), Played(3), count=2)
    assert "process 1" not in places(kept)
    assert kept.images == IMAGES
    assert [one.partition("; done again: ")[0] for one in done.remarks] == [remark]
    assert done.remarks[0].endswith(" units that it did.")


def test_what_a_worker_did_before_it_last_answered_right_stays(do, monkeypatch):
    monkeypatch.setattr(work, "PROVE_UNITS", 2)
    done, kept = do(Played(1, None, None, None, None, None, DIED), Played(2), Played(3), count=2)
    assert places(kept).count("process 1") == 2
    assert done.remarks == [
        "worker 1 on h (process 1) left at the first images: its process or its host died; done again: 1 unit that it did."
    ]


def test_a_worker_whose_unit_failed_is_not_asked_for_it_again_while_there_are_others(do):
    first, second = Played(1, None, Answer(error="busy")), Played(2)
    done, kept = do(first, second)
    assert places(kept)[0] == "process 2"
    assert [one.tries for one in kept.joined()[1]] == [2, 1, 1, 1, 1, 1]
    assert done.remarks == []


def test_a_worker_has_a_unit_ahead_while_there_are_more_than_workers(do):
    first, second = Played(1), Played(2)
    handed = []
    first._begin = lambda method, *arguments: handed.append(len(first.handed)) or Played._begin(first, method, *arguments)
    do(first, second)
    assert handed == [0, 0, 1, 0, 0]  # to load, a unit and one ahead, the last one only when it is idle, the first images


def test_what_a_lost_worker_had_ahead_is_no_failure_of_that(do):
    _, kept = do(Played(1, None, DIED), Played(2), Played(3), count=2)
    assert "process 1" not in places(kept)
    assert [one.tries for one in kept.joined()[1]] == [2, 1, 1, 1, 1, 1]


def test_when_the_last_worker_leaves_it_is_said_what_is_done(do):
    expected = (
        r"^no worker is left, worker 1 on h \(process 1\) answers the first images otherwise than it should: it was put aside; "
        r"done again: 6 units that it did; correct that and run 3_accuracy again: it goes on from what is done, 0 images.$"
    )
    with pytest.raises(UserError, match=expected):
        do(Played(1, *[None] * 7, Answer("wrong")))
