import json
import os
from types import SimpleNamespace

import pytest

from helpers import files, params, records, steps
from helpers.errors import UserError
from helpers.params import Workers
from helpers.records import Data, Model, Throughput


def step_of(tmp_path, **values):
    """The step of notebook 1 on a folder of one text file in the place of images: records do not look inside."""
    images = tmp_path / "source"
    images.mkdir(exist_ok=True)
    (images / "a.png").write_text("pixels")
    settings = params.check(params.PrepareData, run=str(tmp_path / "run"), images=str(images), labels="", **values)
    return steps.Step(Data, settings)


def save(step):
    for name in ("manifest.csv", "tensors.npy"):
        files.write_text(step.artefacts / name, name)
    how = {"resize_short": 8, "crop": 8, "interpolation": "bilinear", "mean": (0.0,) * 3, "std": (1.0,) * 3}
    return step.save(
        source="source", source_sha256="0", images=1, classes=2, class_names=[], labels_source="",
        manifest="artefacts/manifest.csv", manifest_sha256=files.sha256(step.artefacts / "manifest.csv"),
        tensors="artefacts/tensors.npy", tensors_sha256=files.sha256(step.artefacts / "tensors.npy"),
        preprocess=how, preprocess_source="test", preprocess_differs={}, decoder="Pillow", rejected=[], remarks=[], duplicates=[],
        throughput=Throughput(images_per_second=1.0, seconds=1.0),
    )  # fmt: skip


def test_a_record_comes_back_as_it_was_saved(tmp_path):
    saved = save(step_of(tmp_path))
    assert steps.load(Data, tmp_path / "run") == saved
    content = json.loads((tmp_path / "run" / "data.json").read_text())
    assert content["schema"] == 1
    assert content["step"] == "1_prepare_data"
    assert str(tmp_path) not in json.dumps({key: value for key, value in content.items() if key != "params"})


def test_a_missing_or_foreign_record_says_which_notebook_to_run(tmp_path):
    with pytest.raises(UserError, match="data.json is not in run run: run 1_prepare_data first"):
        steps.load(Data, tmp_path / "run")
    files.write_text(tmp_path / "run" / "data.json", "{}")
    with pytest.raises(UserError, match="another version's form: run 1_prepare_data again"):
        steps.load(Data, tmp_path / "run")


def test_a_record_with_nan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="finite"):
        Throughput(images_per_second=float("nan"), seconds=1.0)


def test_a_step_is_current_until_anything_it_depends_on_changes(tmp_path, monkeypatch):
    step = step_of(tmp_path)
    save(step)
    folder = tmp_path / "run"
    assert steps.is_current(Data, step.settings, folder)
    assert not steps.is_current(Data, step_of(tmp_path, seed=1).settings, folder)

    monkeypatch.setattr(steps.environment, "versions", lambda packages: {"numpy": "0"})
    assert not steps.is_current(Data, step.settings, folder)
    monkeypatch.undo()
    assert steps.is_current(Data, step.settings, folder)

    image = tmp_path / "source" / "a.png"
    before = image.stat()
    image.write_text("pixelz")  # same size: content decides
    assert not steps.is_current(Data, step.settings, folder)
    image.write_text("pixels")
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert steps.is_current(Data, step.settings, folder)

    (folder / "artefacts" / "tensors.npy").write_text("damaged.npy")
    assert not steps.is_current(Data, step.settings, folder)
    (folder / "artefacts" / "tensors.npy").unlink()
    assert not steps.is_current(Data, step.settings, folder)


def test_who_prepares_decides_nothing_and_who_evaluates_may(tmp_path):
    save(step_of(tmp_path))
    data = [step_of(tmp_path).settings.model_copy(update={"workers": Workers(count=count)}) for count in (1, 8)]
    assert len({steps.fingerprint(Data, settings, ()) for settings in data}) == 1
    inputs = steps.load_inputs(Model, tmp_path / "run")
    accuracy = [params.check(params.Accuracy).model_copy(update={"workers": Workers(count=count)}) for count in (1, 8)]
    assert len({steps.fingerprint(records.Accuracy, settings, inputs) for settings in accuracy}) == 2


def test_speed_is_never_reused_on_another_machine(tmp_path, monkeypatch):
    save(step_of(tmp_path))
    settings = params.check(params.Convert, run=str(tmp_path / "run"))
    inputs = steps.load_inputs(Model, tmp_path / "run")
    here = steps.fingerprint(Model, settings, inputs)
    assert here == steps.fingerprint(Model, settings, inputs)
    monkeypatch.setattr(steps.environment, "machine", lambda: {"cpu": "another"})
    assert here != steps.fingerprint(Model, settings, inputs)


def test_records_that_were_not_made_from_each_other_are_refused(tmp_path):
    data = save(step_of(tmp_path))
    settings = params.check(params.Convert, run=str(tmp_path / "run"))
    steps.Step(Model, settings).save(name="m", classes=2, random_weights=True, stages=[], checks=[])
    assert steps.load_inputs(records.Accuracy, tmp_path / "run")[0] == data
    save(step_of(tmp_path, seed=5))
    with pytest.raises(UserError, match=r"model.json was made from another data.json: run 2_convert again"):
        steps.load_inputs(records.Accuracy, tmp_path / "run")


def test_a_file_that_was_swapped_after_its_record_is_refused(tmp_path):
    save(step_of(tmp_path))
    settings = params.check(params.Convert, run=str(tmp_path / "run"))
    steps.Step(Model, settings)
    store = tmp_path / "run" / "artefacts" / "tensors.npy"
    store.write_text("another one")
    with pytest.raises(UserError, match="tensors.npy is not the file that data.json was written for: run 1_prepare_data again"):
        steps.Step(Model, settings)
    store.unlink()
    with pytest.raises(UserError, match="tensors.npy is not the file"):
        steps.Step(Model, settings)


def check_of(candidate, batch, passed=True):
    unknown = dict.fromkeys(("max_abs_diff", "cosine_min", "top1_agree_pct", "spread"))
    reason = "" if passed else f"wrong at {batch}"
    return records.Check(reference="r", candidate=candidate, batch=batch, images=16, passed=passed, reason=reason, **unknown)


def test_what_was_never_compared_is_refused(tmp_path):
    save(step_of(tmp_path))
    step = steps.Step(Model, params.check(params.Convert, run=str(tmp_path / "run")))
    checks = [check_of("onnxruntime fp32", batch) for batch in (1, 3, 8)]
    model = step.record(name="m", classes=2, random_weights=True, stages=[], checks=checks)
    assert model.refusal() is None
    assert model.refusal("onnxruntime fp32", (1, 8)) is None
    assert "was not compared at batch 6, 7: run 2_convert" in model.refusal("onnxruntime fp32", (6, 7, 8))
    assert "openvino bf16 was not compared with the original" in model.refusal("openvino bf16", (1,))
    wrong = step.record(name="m", classes=2, random_weights=True, stages=[], checks=[*checks, check_of("openvino fp32", 4, False)])
    assert wrong.refusal("onnxruntime fp32", (1,)) == "wrong at 4"


def test_a_failed_option_refuses_itself_alone(tmp_path):
    save(step_of(tmp_path))
    step = steps.Step(Model, params.check(params.Convert, run=str(tmp_path / "run")))
    failed = check_of("openvino int8", 1, False).model_copy(update={"option": True})
    checks = [check_of("onnxruntime fp32", 1), failed]
    model = step.record(name="m", classes=2, random_weights=True, stages=[], checks=checks)
    assert model.refusal() is None
    assert model.refusal("onnxruntime fp32", (1,)) is None
    assert model.refusal("openvino int8", (1,)) == "wrong at 1"


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.whole(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_folder_that_can_not_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="can't write .*; free space or choose another run folder"):
        files.write_text(tmp_path / "file" / "x.json", "{}")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="No space left on device"), files.whole(tmp_path / "x"):
        open("/dev/full", "w").write("x" * 100_000)


# the accelerator is part of what a result depends on


@pytest.fixture
def npu(monkeypatch):
    """A machine with two NPUs; return what it says of itself, to be changed."""
    told = {"soc": {0: "Ascend310P3", 1: "Ascend310P1"}, "driver": "23.0.0", "cann": "5.1.RC2"}
    monkeypatch.setattr(steps.npu_smi, "chip", lambda device: SimpleNamespace(soc_version=told["soc"][device]))
    monkeypatch.setattr(steps.npu_smi, "version", lambda: told["driver"])
    monkeypatch.setattr(steps.atc, "cann_version", lambda: told["cann"])
    return told


def on(backend="ascend", provider="auto", **options):
    return SimpleNamespace(backend=backend, provider=provider, provider_options=options)


def test_an_npu_its_driver_and_its_toolkit_decide_a_result(npu):
    assert steps._accelerator(Model, on()) == {"npu": "Ascend310P3", "npu_driver": "23.0.0", "cann": "5.1.RC2"}


def test_the_chip_is_that_of_the_device(npu):
    assert steps._accelerator(Model, on(device_id=1))["npu"] == "Ascend310P1"


def test_onnx_runtime_on_an_npu_has_one_too(npu):
    assert steps._accelerator(Model, on("onnxruntime", "CANNExecutionProvider"))["npu_driver"] == "23.0.0"


@pytest.mark.parametrize(
    ("kind", "settings"), [(Model, on("onnxruntime")), (Model, on("replay")), (Data, SimpleNamespace()), (records.Report, on())]
)
def test_what_runs_on_none_does_not_ask_for_it(kind, settings):
    assert steps._accelerator(kind, settings) == {}


@pytest.mark.parametrize(("fact", "value"), [("soc", {0: "Ascend310"}), ("driver", "24.1"), ("cann", "8.0.RC1")])
def test_a_result_of_another_accelerator_is_not_current(tmp_path, npu, fact, value):
    save(step_of(tmp_path))
    settings = params.check(params.Convert, run=str(tmp_path / "run")).model_copy(update={"backend": "ascend"})
    inputs = steps.load_inputs(Model, tmp_path / "run")
    before = steps.fingerprint(Model, settings, inputs)
    assert steps.fingerprint(Model, settings, inputs) == before
    npu[fact] = value
    assert steps.fingerprint(Model, settings, inputs) != before


# what another machine made


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """The settings of a step whose record was made on another machine, with the run folder."""
    step = step_of(tmp_path)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(steps.environment, "machine", lambda: {"cpu": "another", "memory_bytes": 1})
        save(step)
    return step.settings, tmp_path / "run"


def test_what_another_machine_made_is_taken_as_it_is(brought):
    assert steps.is_brought(Data, *brought)


def test_not_where_its_files_did_not_come_along_whole(brought):
    (brought[1] / "artefacts" / "tensors.npy").write_text("damaged")
    assert not steps.is_brought(Data, *brought)


def test_not_without_them(brought):
    (brought[1] / "artefacts" / "manifest.csv").unlink()
    assert not steps.is_brought(Data, *brought)


def test_not_without_its_record(brought):
    (brought[1] / "data.json").unlink()
    assert not steps.is_brought(Data, *brought)


def test_not_with_other_parameters(brought, tmp_path):
    assert not steps.is_brought(Data, brought[0].model_copy(update={"seed": 1}), brought[1])


def test_whoever_worked_there(brought):
    assert steps.is_brought(Data, brought[0].model_copy(update={"workers": Workers(count=8)}), brought[1])


def test_not_where_it_was_made_here(tmp_path):
    step = step_of(tmp_path)
    save(step)
    assert not steps.is_brought(Data, step.settings, tmp_path / "run")


def test_its_source_need_not_be_here(brought, tmp_path):
    (tmp_path / "source" / "a.png").unlink()
    assert steps.is_brought(Data, *brought)


def test_not_where_its_inputs_were_not_made_from_each_other(brought, tmp_path, monkeypatch):
    settings = params.check(params.Accuracy, run=str(brought[1]))
    monkeypatch.setattr(steps.environment, "machine", lambda: {"cpu": "another", "memory_bytes": 1})
    steps.Step(Model, params.check(params.Convert, run=str(brought[1]))).save(
        name="m", classes=2, random_weights=True, stages=[], checks=[]
    )
    steps.Step(records.Accuracy, settings).save(images=1, results=[], reference=None, comparisons=[], verdict="NONE", sentence="")
    monkeypatch.undo()
    assert steps.is_brought(records.Accuracy, settings, brought[1])
    save(step_of(tmp_path, seed=5))
    assert not steps.is_brought(records.Accuracy, settings, brought[1])
