"""Ray, joined where it runs or started here: within bounds of time, without a word in the notebook, and none of it at work afterwards."""

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

from helpers.errors import ParameterError, UserError, first_line
from helpers.params import Workers

ANSWER_SECONDS = 20  # then an address is taken for dead; Ray itself would try for minutes and then end the process
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # its default by now; where it is not said, Ray warns
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # found in every line: else the log of a host that died is printed, whatever `log_to_driver` says
}
SILENT = {"log_to_driver": False, "logging_level": "CRITICAL"}
JOIN = f"import sys, ray; ray.init(sys.argv[1], **{SILENT})"


@contextlib.contextmanager
def joined(workers: Workers) -> Iterator[None]:
    """Hold a connection to Ray while the block runs; what was started for it ends with it, one that was there before stays.

    UserError when the address does not answer or Ray can't be started, ParameterError when it has fewer devices than workers are asked for.
    """
    for name, value in {**QUIET, **_secret(workers)}.items():
        os.environ.setdefault(name, value)
    import ray  # takes a second, and is not always installed

    if ray.is_initialized():
        _check_enough(workers)
        yield
        return
    if workers.address:
        check_answers(workers.address)
    try:
        _connect(workers)
        _check_enough(workers)
        yield
    finally:
        ray.shutdown()


def demand(workers: Workers) -> dict:
    """Return what one worker takes of Ray, as its options; an accelerator comes with whatever cores its host has."""
    own = {"CPU": {"num_cpus": workers.cpus_per_worker}, "GPU": {"num_gpus": 1}, "NPU": {"resources": {"NPU": 1}}}[workers.resource]
    return {"num_cpus": 0, **own}


def for_cores(workers: Workers) -> Workers:
    """Return the workers for what needs no accelerator: as many as there are cores for, where the others are one for each accelerator.

    Ray must be joined.
    """
    if workers.resource == "CPU":
        return workers
    count = sum(number // workers.cpus_per_worker for number in _by_host("CPU"))
    if not count:
        raise ParameterError(
            f"no host that Ray has joined has {workers.cpus_per_worker} cores for a worker: lower workers.cpus_per_worker."
        )
    return workers.model_copy(update={"resource": "CPU", "count": count})


def _secret(workers: Workers) -> dict[str, str]:
    """Return the variables without which nobody can use the Ray that is started here: it listens to all the network.

    Ray would write a token of its own into the home directory, and clusters that are started by hand there would ask for it from then on.
    """
    if workers.address or "ray" in sys.modules:  # it has read them by then
        return {}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex()}


def _connect(workers: Workers) -> None:
    import ray

    all_of_them = {"num_cpus": workers.count * workers.cpus_per_worker} if workers.resource == "CPU" else {}
    all_of_them |= {"GPU": {"num_gpus": workers.count}, "NPU": {"resources": {"NPU": workers.count}}}.get(workers.resource, {})
    here = {"include_dashboard": False, "_node_ip_address": "127.0.0.1", **all_of_them}
    try:
        ray.init(workers.address or "local", **SILENT, **({} if workers.address else here))
    except (RuntimeError, ValueError, OSError) as error:
        where = f"joined at {workers.address}" if workers.address else "started here"
        raise UserError(f"Ray can't be {where} ({first_line(error)}): see the logs below /tmp/ray/session_latest.") from error


def check_answers(address: str) -> None:
    """Raise UserError when Ray can't be joined at an address.

    It is tried in another process, which can be ended: where nobody answers, or not Ray, this one would be kept for minutes.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", JOIN, address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        if b"InvalidAuthToken" in (error.stderr or b""):  # bytes, although text was asked for
            raise UserError(f"Ray at {address} wants its token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as it has them.") from error
        raise UserError(
            f"no Ray answers at {address} within {ANSWER_SECONDS} s: check address and firewall, and that ray start --head runs there."
        ) from error
    if done.returncode:
        said = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise UserError(f"Ray at {address} can't be joined ({said.rstrip('.')}): start it there, or leave workers.address empty.")


def _check_enough(workers: Workers) -> None:
    there, each = _by_host(workers.resource), workers.cpus_per_worker if workers.resource == "CPU" else 1
    enough_for = sum(number // each for number in there)  # a worker lives on one host
    if enough_for < workers.count:
        raise ParameterError(
            f"workers.count is {workers.count} but Ray has {sum(there)} {workers.resource}, enough for {enough_for} "
            f"(each takes {each} of one host): lower it or join more."
        )


def _by_host(resource: str) -> list[int]:
    """Return how many of a resource each host has that is alive."""
    import ray

    return [int(node["Resources"].get(resource, 0)) for node in ray.nodes() if node["Alive"]]
