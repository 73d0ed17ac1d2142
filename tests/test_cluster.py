"""How workers are asked for: parameters, what each takes, and who may use a Ray that is started here."""

import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from helpers import ROOT, cluster, params
from helpers.errors import ParameterError, UserError
from helpers.params import Accuracy, Workers


@pytest.fixture
def with_ray(monkeypatch):
    """Ray counts as installed, whether it is or not."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: find("json" if name == "ray" else name, package))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"engine": "dask"}, "workers.engine: Input should be 'serial' or 'ray', not 'dask'."),
        ({"address": "somewhere"}, "workers.address: 'somewhere' is neither empty, auto nor host:port, such as 10.0.0.1:6379."),
        ({"address": "ray://host:10001"}, "workers.address: 'ray://host:10001' is neither empty, auto nor host:port"),
        ({"resource": "TPU"}, "workers.resource: Input should be 'CPU', 'GPU' or 'NPU', not 'TPU'."),
        ({"count": 0}, "workers.count: Input should be greater than 0, not 0."),
        ({"cpus_per_worker": 0.5}, "workers.cpus_per_worker: Input should be a valid integer, not 0.5."),
        ({"unit_images": -1}, "workers.unit_images: Input should be greater than 0, not -1."),
        ({"max_retries": -1}, "workers.max_retries: Input should be greater than or equal to 0, not -1."),
        ({"unit_timeout_seconds": 0.0}, "workers.unit_timeout_seconds: Input should be greater than 0, not 0.0."),
        ({"unit_timeout_seconds": float("inf")}, "workers.unit_timeout_seconds: Input should be a finite number, not inf."),
        ({"nodes": 3}, "workers.nodes: no such parameter; there are engine, address, "),
        ({"cpus": 3}, "workers.cpus: no such parameter; there are engine, address, "),
        ({"adress": "auto"}, "workers.adress: no such parameter, did you mean address."),
        ({"address": "host:65536"}, "nor host:port"),
    ],
)
def test_a_wrong_value_is_one_sentence(with_ray, given, said):
    with pytest.raises(ParameterError) as raised:
        params.check(Accuracy, workers={"engine": "ray", **given})
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_workers_without_an_engine_are_no_wish_to_work_alone(with_ray):
    with pytest.raises(ParameterError, match=r"^workers: which engine is not said: add engine: ray, or leave workers out\.$"):
        params.check(Accuracy, workers={"count": 4})
    assert params.check(Accuracy, workers={}).workers.engine == "serial"
    assert params.check(Accuracy, workers={"engine": "serial", "count": 4}).workers.count == 4


def test_a_word_in_the_place_of_the_mapping_is_one_sentence(with_ray):
    with pytest.raises(ParameterError, match=r"^workers: a mapping is needed, such as \{name: value\}, not 'ray'\.$"):
        params.check(Accuracy, workers="ray")


@pytest.mark.parametrize("address", ["", "auto", "10.0.0.1:6379", "head.example-1.org:6379", "[::1]:6379"])
def test_addresses(with_ray, address):
    assert params.check(Accuracy, workers={"engine": "ray", "address": address}).workers.address == address


def test_where_ray_is_missing_it_is_said_how_to_install_it(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None if name == "ray" else find(name, package))
    assert params.check(Accuracy).workers.engine == "serial"
    with pytest.raises(ParameterError, match=r"engine ray is not installed: pip install -e '.\[ray\]', or say engine: serial."):
        params.check(Accuracy, workers={"engine": "ray"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"backend": "null"}, "backend null computes nothing that workers could share: leave workers out."),
        ({"backend": "replay", "provider_options": {"results": "x"}}, "backend replay computes nothing that workers could share"),
        ({"provider_options": {"device_id": 1}}, "with workers Ray chooses the devices: leave device_id out of provider_options."),
        ({"options": [{"provider_options": {"device_id": 1}}]}, "with workers Ray chooses the devices"),
    ],
)
def test_what_workers_can_not_share_is_refused(with_ray, given, said):
    params.check(Accuracy, **given)
    with pytest.raises(ParameterError) as raised:
        params.check(Accuracy, **given, workers={"engine": "ray"})
    assert said in str(raised.value)


def test_what_each_worker_takes():
    assert cluster.demand(Workers(cpus_per_worker=4)) == {"num_cpus": 4}
    assert cluster.demand(Workers(resource="GPU", cpus_per_worker=4)) == {"num_cpus": 0, "num_gpus": 1}
    assert cluster.demand(Workers(resource="NPU")) == {"num_cpus": 0, "resources": {"NPU": 1}}


@pytest.mark.parametrize(("cores", "enough_for"), [([3, 3], 2), ([1, 5], 2), ([1, 1, 1], 0)])
def test_cores_that_only_several_hosts_have_together_are_enough_for_no_worker(monkeypatch, cores, enough_for):
    """Ray would wait for a host that has them."""
    hosts = [{"Alive": True, "Resources": {"CPU": float(number)}} for number in cores]
    known = [*hosts, {"Alive": False, "Resources": {}}]
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True, nodes=lambda: known))
    said = (
        f"workers.count is 3 but Ray has {sum(cores)} CPU, enough for {enough_for} \\(each takes 2 of one host\\): lower it or join more."
    )
    with pytest.raises(ParameterError, match=said), cluster.joined(Workers(count=3, cpus_per_worker=2)):
        pytest.fail("joined")


OWN = """
import os, subprocess, sys
from helpers import cluster
from helpers.params import Workers

with cluster.joined(Workers()):
    import ray

    another = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    for variables in (os.environ, another):
        print(subprocess.run([sys.executable, "-c", sys.argv[1], ray.get_runtime_context().gcs_address], env=variables).returncode)
"""


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[ray]'")
def test_nobody_else_can_use_a_ray_that_is_started_here_and_no_token_stays(tmp_path):
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", OWN, cluster.JOIN]
    said = subprocess.run(command, cwd=ROOT, env={**own, "HOME": str(tmp_path)}, capture_output=True, text=True)
    assert said.stdout == "0\n1\n", said.stderr
    assert list(tmp_path.rglob("auth_token")) == []


def test_a_ray_that_wants_a_token_says_so(monkeypatch):
    late = subprocess.TimeoutExpired("ray", 20, stderr=b"AuthenticationError: InvalidAuthToken: Authentication token is missing")
    monkeypatch.setattr(subprocess, "run", lambda *command, **options: (_ for _ in ()).throw(late))
    with pytest.raises(UserError, match="Ray at 10.0.0.1:6379 wants its token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as it has them."):
        cluster.check_answers("10.0.0.1:6379")
