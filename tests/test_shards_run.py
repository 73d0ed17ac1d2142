"""The demo's accuracy by three hosts of which one dies half-way: the bytes of the serial run, and a report that says who did what."""

import importlib.util
import re
import threading
import time

import pytest

from helpers import run, steps
from helpers.records import Accuracy
from tests import ray_cluster
from tests.test_shards import nodes  # noqa: F401, a fixture

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[ray]'")
UNITS = 157  # of 64 images, of 10,000


def test_the_demo_by_three_hosts_of_which_one_dies_half_way(nodes, run_file, tmp_path):  # noqa: F811
    folder, few = tmp_path / "run", {"batch_sizes": [1, 64], "baseline": "none", "other_ways": 0}
    notebooks(run_file("serial", **few, run=str(folder)), "1", "2", "3")
    scores = folder / steps.load(Accuracy, folder).results[0].scores_file
    serial = scores.read_bytes()
    scores.unlink()

    workers = {"engine": "ray", "address": nodes.address, "resource": "NPU", "count": 3, "unit_images": 64}
    killer = threading.Thread(target=kill_half_way, args=(nodes, folder))
    killer.start()
    shared = run_file("shared", **few, run=str(folder), workers=workers)
    notebooks(shared, "3")
    killer.join()
    result = steps.load(Accuracy, folder).results[0]
    assert scores.read_bytes() == serial
    assert sum(unit.count for unit in result.units) == 10000
    assert len({unit.place for unit in result.units}) == 3
    [remark] = result.remarks
    again = r"(; done again: \d+ units? that it did)?"
    assert re.fullmatch(rf"worker \d on .* left at images \d+ to \d+: its process or its host died{again}\.", remark)

    nodes.add_node(**ray_cluster.NODE)
    notebooks(shared, "4", "5")
    page = (folder / "report.html").read_text()
    assert "Who evaluated the images;" in page
    assert "its process or its host died" in page
    assert all(unit.place in page for unit in result.units)


def notebooks(params, *numbers):
    """Run some of a run's notebooks, whatever the verdict is."""
    for number in numbers:
        assert run.main([str(params), "--only", number]) in (0, 1)


def kill_half_way(nodes, folder):  # noqa: F811
    """Kill a host once half of the units are done."""
    host = next(iter(nodes.worker_nodes))
    for _ in range(6000):
        if len(ray_cluster.kept(folder)) >= UNITS // 2:
            return nodes.remove_node(host, allow_graceful=False)
        time.sleep(0.02)
    return None
