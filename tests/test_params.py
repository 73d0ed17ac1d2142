import onnx
import papermill
import pytest
import yaml

from helpers import ROOT, params, sources
from helpers.errors import ParameterError
from helpers.params import STEPS, Run
from tests import models


def read(tmp_path, text, **overrides):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    return params.read(path, overrides)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch_sizes: [0]", "greater than 0, not 0"),
        ("batch_sizes: [-4]", "greater than 0, not -4"),
        ("batch_sizes: [1, 1]", "given twice"),
        ("batch_sizes: []", "at least 1 item"),
        ("batch_sizes: 4", "valid list, not 4"),
        ("paired_margin_points: 100", "less than 100, not 100"),
        ("backend: tvm", "'torch', 'ascend', 'replay' or 'null', not 'tvm'"),
        ("precision: bf16", "bf16 needs backend: openvino"),
        ("batchsizes: [1]", "no such parameter, did you mean batch_sizes"),
        ("threads: '2'", "valid integer, not '2'"),
        ("run: 5", "valid string, not 5"),
        ("seed: 011", "does not read 011 as it looks"),
        ("tolerance_pct: 1e-3", "does not read 1e-3 as it looks"),
        ("strict: on", "does not read on as it looks"),
        ("run: 2024-01-01", "does not read 2024-01-01 as it looks"),
        ("seed: 1:30", "does not read 1:30 as it looks"),
        ("seed: 1\nseed: 2", "seed is given twice"),
        ("checkpoint: random", "random:<seed>"),
        ("checkpoint: nowhere.pth", "checkpoint: nowhere.pth does not exist"),
        ("images: nowhere", "images: nowhere does not exist"),
        ("model: resnet9000", "nor a config that mmcls ships"),
        ("baseline: nobody", "neither none, a live backend"),
        ("reference: {top1_pct: 80.0}", "reference.name: Field required"),
        ("preprocess: {crop: 224}", "preprocess.resize_short: Field required"),
        ("onnx: {opset: 9}", "onnx.opset: Input should be greater than or equal to 11, not 9"),
        ("backend: null", "does not read null as it looks"),
        ("images: photographs:abc", "photographs:<number>"),
        ("images: ''", "at least 1 character"),
        ("checkpoint: ''", "at least 1 character"),
        ("seed: -1", "greater than or equal to 0, not -1"),
        ("run: a/../b", "neither a name without spaces, for a folder below reports/"),
        ("run: a//b", "neither a name without spaces, for a folder below reports/"),
        ("run: a/", "neither a name without spaces, for a folder below reports/"),
        ("run: ..", "neither a name without spaces, for a folder below reports/"),
        (f"labels: {'x' * 300}", "does not exist"),
        ("1: 2", "1: no such parameter"),
        ("&a [*a]", "refers to itself"),
        ("- a\n- b", "lines of the form name: value"),
        ("a: [1", "is not valid YAML"),
    ],
)
def test_a_wrong_parameter_is_one_sentence(tmp_path, text, said):
    with pytest.raises(ParameterError, match="^[^\n]*$") as raised:
        read(tmp_path, text)
    assert said in str(raised.value)


def test_a_parameter_file_in_another_encoding_is_one_sentence(tmp_path):
    (tmp_path / "x.yaml").write_bytes("title: né".encode("latin-1"))
    with pytest.raises(ParameterError, match="x.yaml is not UTF-8 text"):
        params.read(tmp_path / "x.yaml", {})


@pytest.mark.parametrize("name", ["a", "acme/2026-03", "acme/line_2/a.b", "/somewhere/with a space/a"])
def test_a_run_is_a_folder_below_reports_maybe_in_others_or_an_absolute_path(tmp_path, name):
    assert read(tmp_path, "", run=name).run == name


def test_a_word_that_yaml_would_read_otherwise_is_taken_from_the_command_line_as_it_is(tmp_path):
    assert read(tmp_path, "run: a", backend="null").backend == "null"


def test_the_files_of_a_config_are_its_bases_too(tmp_path):
    (tmp_path / "a.py").write_text("_base_ = ['b.py']\n")
    (tmp_path / "b.py").write_text("_base_ = 'c.py'\n")
    (tmp_path / "c.py").write_text("x = 1\n")
    assert [path.name for path in sources.model_files(str(tmp_path / "a.py"))] == ["a.py", "b.py", "c.py"]
    assert len(sources.model_files("conformer-base-p16_8xb128_in1k")) > 4


def test_the_files_of_an_onnx_are_its_external_weights_too(tmp_path):
    path = models.write_onnx(tmp_path / "m.onnx")
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert [file.name for file in sources.model_files(str(path))] == ["m.onnx", "weights.bin"]


def test_an_onnx_model_without_preprocess_lists_the_keys(tmp_path):
    with pytest.raises(ParameterError, match="resize_short, crop, interpolation, mean, std"):
        read(tmp_path, "model: some.onnx")


def test_crop_larger_than_the_resize_is_refused(tmp_path):
    text = "preprocess: {resize_short: 100, crop: 224, interpolation: bicubic, mean: [0, 0, 0], std: [1, 1, 1]}"
    with pytest.raises(ParameterError, match="^preprocess: crop 224 is larger than resize_short 100.$"):
        read(tmp_path, text)


def test_command_line_values_are_read_by_the_type_of_the_parameter(tmp_path):
    settings = read(tmp_path, "run: a", run="7", batch_sizes="[2, 3]", tolerance_pct="2.5", strict="true")
    assert (settings.run, settings.batch_sizes, settings.tolerance_pct, settings.strict) == ("7", [2, 3], 2.5, True)


def test_a_mapping_can_be_given_on_the_command_line(tmp_path):
    settings = read(tmp_path, "backend: 'null'", provider_options="{call_ms: 2}", reference="{name: a, top1_pct: 80, source: b}")
    assert settings.provider_options == {"call_ms": 2}
    assert settings.reference.top1_pct == 80


def test_a_checkpoint_may_be_called_random_something(tmp_path):
    (tmp_path / "random_init.pth").write_bytes(b"")
    assert read(tmp_path, f"checkpoint: {tmp_path / 'random_init.pth'}").checkpoint.endswith("random_init.pth")


def test_an_unknown_command_line_name_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="-p speed: no such parameter"):
        read(tmp_path, "run: a", speed="1")


@pytest.mark.parametrize("name", STEPS)
def test_the_parameters_cell_of_a_notebook_is_its_settings_class(name):
    cell = papermill.inspect_notebook(str(ROOT / "notebooks" / f"{name}.ipynb"))
    defaults = {key: yaml.safe_load(entry["default"].replace("False", "false")) for key, entry in cell.items()}
    assert params.check(STEPS[name], **defaults) == STEPS[name]()
    assert next(iter(cell)) == "run"
    assert set(cell) == set(STEPS[name].model_fields)
    assert all(entry["help"] for entry in cell.values())
    assert {entry["inferred_type_name"] for entry in cell.values()} <= {"str", "int", "float", "bool", "list", "dict"}


@pytest.mark.parametrize("path", sorted((ROOT / "params").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_parameter_files_are_valid_but_for_data_the_user_brings(path, ascend):
    values = yaml.safe_load(path.read_text())
    settings = params.check(Run, **values)
    assert settings.run == path.stem
    if "data/" not in path.read_text():
        assert settings.files()
