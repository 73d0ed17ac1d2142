import pytest

from helpers import changes, embedded
from helpers.records import Data, Model
from tests import runs
from tests.runs import model_of


@pytest.fixture
def run(tmp_path):
    return lambda name, **otherwise: embedded.of(runs.write(tmp_path / name, **otherwise))


def test_only_differences_are_in_the_table(run):
    a, b = run("a"), run("b", environment={"cpu": "another", "numpy": "2.1", "memory_bytes": 8_000_000_000})
    a.records[Model].params["onnx"] = {"opset": 17, "simplify": True}
    b.records[Model].params["onnx"] = {"opset": 11, "simplify": True}
    b.records[Data].git_dirty = True
    assert changes.table(a, b).rows == [
        ["parameter", "onnx.opset", "17", "11"],
        ["machine", "cpu", "a processor", "another"],
        ["machine", "memory", None, "8.0 GB"],
        ["package", "numpy", "2.0", "2.1"],
        ["code", "git commit", "cccccccccccc", "cccccccccccc with uncommitted changes; cccccccccccc"],
    ]


def test_runs_without_a_difference_say_so(run):
    assert changes.table(run("a"), run("b")).text == "Parameters, machine, packages and code are the same."


def test_other_machines_are_told(run):
    assert changes.machines(run("a"), run("b", environment={"cpu": "another", "cores": 4})) == (
        "They were measured on different machines (other cpu, cores): a ratio is of machine and configuration together."
    )
    assert changes.machines(run("a"), run("b")).startswith("They were measured at different times on machines that look the same")


def links(a, b):
    sentence, table = changes.links(a, b).elements
    return sentence.text, {name: verdict for name, *_, verdict in table.rows}


def test_the_same_chain_is_the_same_model(run):
    said, verdicts = links(run("a"), run("b"))
    assert said == "It is the same model: every file of the chain is the same."
    assert set(verdicts.values()) == {"same"}


def test_the_first_link_of_the_model_that_differs_is_named_with_how_it_was_made(run):
    otherwise = model_of("b", run("b").records[Data], onnx="p" * 64).stages
    made = [otherwise[0], otherwise[1].model_copy(update={"command": "exporter <dynamo>", "opset": 20})]
    later = made[1].model_copy(update={"name": "om", "format": "om", "sha256": None, "file": "m.om"})
    said, verdicts = links(run("a"), run("b", model={"stages": [*made, later]}, labels=[1, 1, 1, 1]))
    assert said == "The first link that differs is onnx (A: fp32; B: exporter <dynamo>, opset 20, fp32)."
    assert verdicts == {
        "images": "same",
        "manifest": "differs",
        "tensors": "same",
        "model: pytorch": "same",
        "model: onnx": "differs",
        "model: om": "only in B",
    }
