"""The two sides of a worker, without Ray."""

import platform

from helpers import steps
from helpers.crew import Actor, Loaded, Worker


class Busy:
    def load(self):
        raise RuntimeError("device busy.\nat 0x1")


def test_what_goes_wrong_is_one_sentence_that_says_on_which_host():
    answer = Actor(steps.helpers_hash(), Busy).ask("load")
    assert (answer.error, answer.host, answer.lost) == ("device busy", platform.node(), "")
    other = Actor("of another commit", Busy).ask("load")
    assert other.host == platform.node()
    assert other.error == f"{platform.node()} has other helpers than this host: have the same commit on all hosts"


def test_a_worker_is_called_by_what_is_known_of_it():
    worker = Worker(3, None, 1.0)
    assert str(worker) == "worker 3"
    worker.host = "npu-a"
    assert str(worker) == "worker 3 on npu-a"
    worker.loaded = Loaded("npu-a", "card 1, chip 0, process 7", {}, None, None)
    assert str(worker) == "worker 3 on npu-a (card 1, chip 0, process 7)"
