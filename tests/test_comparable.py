import pytest

from helpers import comparable, embedded
from tests import runs
from tests.runs import HOW, model_of
from tests.test_verdict import series


@pytest.fixture
def unlike(tmp_path):
    """Return a function that says what stands against comparing a plain run A with a run B that is otherwise."""

    def said(**otherwise):
        a, b = runs.write(tmp_path / "a"), runs.write(tmp_path / "b", **otherwise)
        return comparable.of(embedded.of(a), embedded.of(b))

    return said


def test_another_device_runtime_and_precision_are_what_one_compares(unlike):
    found = unlike(line={"device": "an NPU"}, result={"backend": "c", "precision": "int8"}, environment={"cpu": "another"})
    assert (found.in_accuracy, found.in_speed) == ([], [])


@pytest.mark.parametrize(
    ("otherwise", "said"),
    [
        ({"model": {"refused": "at batch 8 it differs"}}, "the model of B was refused (at batch 8 it differs)"),
        (
            {"model": {"weights": "x" * 64, "onnx": "y" * 64}},
            "other model weights (m, m.pth wwwwwwwwwwww in A; m, m.pth xxxxxxxxxxxx in B)",
        ),
    ],
)
def test_other_weights_and_a_refused_model_stand_against_everything(unlike, otherwise, said):
    found = unlike(**otherwise)
    assert found.in_accuracy == found.in_speed == [said]


def test_an_onnx_file_that_the_other_run_made_is_the_same_model(unlike):
    assert unlike(model={"onnx": "y" * 64}).whole == []
    assert unlike(model={"weights": "x" * 64}).whole == []


def test_random_weights_are_known_by_model_and_seed():
    spec = {"name": "x", "shape": [1], "dtype": "float32"}

    def made(seed):
        stage = {
            "name": "pytorch",
            "format": "pytorch",
            "file": f"random:{seed}",
            "sha256": None,
            "bytes": None,
            "command": "",
            "seconds": 0,
        }
        return model_of("r", runs.data_of("r", [0]), stages=[{**stage, "input": spec, "output": spec}])

    assert comparable._weights(made(0), made(0)) == []
    assert comparable._weights(made(0), made(1)) == ["other model weights (m, random:0 in A; m, random:1 in B)"]


@pytest.mark.parametrize(
    ("otherwise", "said"),
    [
        ({"data": {"classes": 3}}, "other classes (2 in A, 3 in B)"),
        ({"data": {"class_names": ["cat", "cow"]}}, "other classes (1 is dog in A and cow in B)"),
        ({"data": {"class_names": ["cat", "dog", "cow"]}}, "other classes (2 names in A, 3 in B)"),
        ({"result": {"evaluated": False, "reason": "random weights"}}, "B was not evaluated (random weights)"),
        ({"result": {"simulated": True}}, "a simulator answered in B"),
        ({"labels": [0, 1, 0], "answers": [0, 1, 0]}, "other images or pixels: 4 images in A and 3 in B"),
        (
            {"data": {"preprocess": HOW.model_copy(update={"interpolation": "bilinear"})}},
            "other images or pixels: interpolation is bicubic in A and bilinear in B",
        ),
    ],
)
def test_what_stands_against_comparing_accuracies_alone(unlike, otherwise, said):
    found = unlike(**otherwise)
    assert found.in_accuracy == [said]
    assert found.in_speed == []


def test_classes_without_names_are_known_by_their_number(unlike):
    assert unlike(data={"class_names": []}).accuracy == []


@pytest.mark.parametrize(
    ("otherwise", "said"),
    [
        ({"line": {"kind": "simulated"}}, "B ran on a simulated device"),
        ({"fps": {1: None, 8: None}}, "B has no figure (out of memory)"),
        ({"fps": {64: 1.0}}, "no batch size in common (1, 8 in A; 64 in B)"),
        ({"line": {"region": "device"}, "sweep": {"region": "device"}}, "other region (compute time in A, device time in B)"),
        (
            {"sweep": {"series": [series("candidate", {1: 1}).model_copy(update={"unproven": "another model's, maybe"})]}},
            "B: another model's, maybe",
        ),
    ],
)
def test_what_stands_against_comparing_speeds_alone(unlike, otherwise, said):
    found = unlike(**otherwise)
    assert found.in_speed == [said]
    assert found.in_accuracy == []


def test_another_input_size_is_another_amount_of_work(unlike):
    how = HOW.model_copy(update={"crop": 4, "resize_short": 4})
    assert unlike(data={"preprocess": how, "seen": []}).in_speed == ["other input size (8 pixels in A, 4 in B)"]


def both_regions(headline, *regions):
    """A run's record as far as regions go."""
    line = series("candidate", {1: 1.0})
    line.rows[0].regions = dict.fromkeys(regions, line.rows[0].regions["compute"])
    sweep = runs.sweep_of("r", [], [line], region=headline)
    return embedded.Run({type(sweep): sweep}, {})


def test_the_region_of_both_headlines_goes_before_one_that_both_measured():
    cpu, gpu = both_regions("compute", "compute", "host"), both_regions("device", "host", "device", "compute")
    assert comparable.region(gpu, gpu) == "device"
    assert comparable.region(cpu, gpu) == comparable.region(gpu, cpu) == "compute"
    assert comparable.region(both_regions("compute", "compute"), both_regions("device", "device")) is None


def test_files_called_here_and_there_keep_their_names():
    assert comparable._lettered("here.png is 1 here, 2 there; 3 there") == "here.png is 1 in A, 2 in B; 3 in B"
