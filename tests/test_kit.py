"""What a kit holds: the bytes of its images, the lines of its script, nothing left of another kit."""

import json
import shutil
import stat
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import dataset, files, params, run
from helpers.ascend import kit
from helpers.errors import UserError
from helpers.params import Convert
from helpers.preprocess import Preprocess
from helpers.records import Data, Model
from tests.test_om import onnx_stage
from tests.test_records import check_of

HEAD = {
    "run": "r", "step": "s", "created_utc": "t", "git_commit": None, "git_dirty": None,
    "params": {}, "fingerprint": "f", "inputs": {}, "environment": {}, "seconds": 0.0,
}  # fmt: skip
HOW = Preprocess(resize_short=2, crop=2, interpolation="bilinear", mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0])
RED_GREEN_BLUE_WHITE = [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]
NAMES = ["a.JPEG", "b.JPEG", "c.png"]


def run_of(folder, labels=(2, 0, 1), names=NAMES, how=HOW, checks=(), classes=3) -> tuple[Data, Model]:
    """Write a run as notebooks 1 and 2 leave it, of 2 x 2 images of which the last is the first coloured one; return its records."""
    (folder / "artefacts").mkdir(parents=True)
    pixels = np.zeros((len(names), 2, 2, 3), np.uint8)
    pixels[-1] = RED_GREEN_BLUE_WHITE
    np.save(folder / "artefacts" / "tensors.npy", pixels)
    dataset.Manifest(list(names), np.array(labels)).save(folder / "artefacts" / "manifest.csv")
    data = Data(
        **HEAD, source="images", source_sha256="0", images=len(names), classes=classes, class_names=[], labels_source="val_label.txt",
        manifest="artefacts/manifest.csv", manifest_sha256=files.sha256(folder / "artefacts" / "manifest.csv"),
        tensors="artefacts/tensors.npy", tensors_sha256=files.sha256(folder / "artefacts" / "tensors.npy"),
        preprocess=how, preprocess_source="test", preprocess_differs={}, decoder="Pillow", rejected=[], remarks=[], duplicates=[],
        throughput={"images_per_second": 1.0, "seconds": 1.0},
    )  # fmt: skip
    onnx = onnx_stage(folder / "artefacts")
    onnx = onnx.model_copy(update={"input": onnx.input.model_copy(update={"shape": ["batch", 3, 2, 2]})})
    model = Model(**HEAD, name="mine", classes=classes, random_weights=False, stages=[onnx], checks=list(checks))
    (folder / "data.json").write_text(data.model_dump_json(by_alias=True))
    return data, model


def write(tmp_path, atc=None, sizes=(1, 4), batch_size=4, again="params/p.yaml -p seed 3", folder=None, **values):
    """Write a kit of a new run and return its folder."""
    folder = folder or tmp_path / "kit"
    data, model = run_of(tmp_path / "run", **values)
    settings = params.check(Convert, batch_sizes=list(sizes), batch_size=batch_size, atc=atc or {})
    kit.write(folder, tmp_path / "run", data, model, settings, again)
    return folder


def lines(folder):
    """The lines of the script that convert and measure, which are all that differs from kit to kit."""
    return [line for line in (folder / "run.sh").read_text().splitlines() if line.startswith(("convert ", "bench ", "for model in "))]


# the images


def test_each_image_is_a_file_of_floats_by_channel(tmp_path):
    folder = write(tmp_path)
    assert sorted(path.name for path in (folder / "bin").iterdir()) == ["a.bin", "b.bin", "c.bin"]
    red, green, blue = [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]
    assert (folder / "bin" / "c.bin").read_bytes() == np.array([red, green, blue], "<f4").tobytes()
    assert (folder / "bin" / "a.bin").read_bytes() == bytes(48)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_for_aipp_an_image_is_its_rgb_bytes(tmp_path, order):
    folder = write(tmp_path, {"aipp": True}, how=HOW.model_copy(update={"channel_order": order}))
    assert (folder / "bin" / "c.bin").read_bytes() == b"\xff\x00\x00\x00\xff\x00\x00\x00\xff\xff\xff\xff"


def test_more_images_than_are_held_in_memory_are_written_too(tmp_path, monkeypatch):
    monkeypatch.setattr(kit, "CHUNK", 2)
    assert (write(tmp_path) / "bin" / "c.bin").stat().st_size == 48


def test_the_labels_are_those_of_the_images_by_the_names_in_the_kit(tmp_path):
    assert (write(tmp_path) / "val_label.txt").read_text() == "a.JPEG 2\nb.JPEG 0\nc.png 1\n"


def test_images_of_one_name_are_numbered_in_the_labels_too(tmp_path):
    folder = write(tmp_path, names=["x/a.JPEG", "y/a.png"], labels=(2, 0))
    assert (folder / "val_label.txt").read_text() == "image_00000001.JPEG 2\nimage_00000002.png 0\n"


def test_images_without_labels_have_no_line(tmp_path):
    assert (write(tmp_path, labels=(2, -1, 1)) / "val_label.txt").read_text() == "a.JPEG 2\nc.png 1\n"


def test_a_few_images_lie_apart_for_comparing_at_every_batch_size(tmp_path):
    names = [f"{number:02d}.png" for number in range(20)]
    folder = write(tmp_path, names=names, labels=[0] * 20)
    assert sorted(path.name for path in (folder / "check").iterdir()) == [f"{number:02d}.bin" for number in range(16)]
    assert len(list((folder / "bin").iterdir())) == 20


def test_they_fill_the_largest_batch(tmp_path):
    names = [f"{number:02d}.png" for number in range(20)]
    folder = write(tmp_path, names=names, labels=[0] * 20, sizes=(1, 18))
    assert len(list((folder / "check").iterdir())) == 18
    assert (folder / "check" / "17.bin").read_bytes() == (folder / "bin" / "17.bin").read_bytes()


# the other files


def test_the_onnx_file_lies_in_the_kit_as_it_is(tmp_path):
    assert (write(tmp_path) / "m_dynamicbs.onnx").read_text() == "onnx"


def test_a_kit_has_these_files_which_others_can_not_read(tmp_path):
    folder = write(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.txt",
        "bin",
        "check",
        "kit.json",
        "m_dynamicbs.onnx",
        "run.sh",
        "val_label.txt",
    ]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert (modes.pop("bin"), modes.pop("check")) == (0o750, 0o750)
    assert set(modes.values()) == {0o640}


def test_its_size_is_that_of_its_files(tmp_path):
    data, model = run_of(tmp_path / "run")
    size = kit.write(tmp_path / "kit", tmp_path / "run", data, model, Convert(), "p.yaml")
    assert size == sum(path.stat().st_size for path in (tmp_path / "kit").rglob("*") if path.is_file())


def test_the_normalisation_of_aipp_is_in_the_kit(tmp_path):
    text = (write(tmp_path, {"aipp": True}) / "aipp.cfg").read_text()
    assert "  src_image_size_w: 2\n" in text
    assert "  var_reci_chn_0: 0.00392156862745098\n" in text


def test_the_list_of_nodes_in_fp32_is_in_the_kit(tmp_path):
    (tmp_path / "nodes.txt").write_text("Softmax_1\n")
    folder = write(tmp_path, {"keep_dtype": str(tmp_path / "nodes.txt")})
    assert (folder / "nodes.txt").read_text() == "Softmax_1\n"
    assert lines(folder)[0].endswith(" --log=error --keep_dtype=nodes.txt")
    assert str(tmp_path) not in (folder / "run.sh").read_text()


def test_a_kit_says_what_it_was_made_from(tmp_path):
    folder = write(tmp_path, {"precision_mode": "allow_mix_precision"}, sizes=(8, 1))
    assert json.loads((folder / "kit.json").read_text()) == {
        "schema": 1,
        "manifest_sha256": files.sha256(tmp_path / "run" / "artefacts" / "manifest.csv"),
        "tensors_sha256": files.sha256(tmp_path / "run" / "artefacts" / "tensors.npy"),
        "onnx_sha256": files.sha256(tmp_path / "run" / "artefacts" / "m_dynamicbs.onnx"),
        "batch_sizes": [1, 4, 8],
        "precision": "mixed",
        "aipp": False,
        "preprocess": HOW.model_dump(mode="json"),
        "flags": ["--log=error", "--precision_mode=allow_mix_precision"],
        "files": {},
    }


def test_a_file_that_a_further_flag_names_is_in_the_kit_and_in_what_it_says(tmp_path):
    (tmp_path / "mixlist.json").write_text("{}")
    folder = write(tmp_path, {"extra": [f"--modify_mixlist={tmp_path}/mixlist.json"]})
    assert (folder / "mixlist.json").read_text() == "{}"
    assert lines(folder)[0].endswith(" --log=error --modify_mixlist=mixlist.json")
    told = json.loads((folder / "kit.json").read_text())
    assert told["files"] == {"mixlist.json": files.sha256(tmp_path / "mixlist.json")}
    assert told["precision"] == "mixed"


def test_a_folder_of_the_other_machine_stays_as_it_was_given(tmp_path):
    assert lines(write(tmp_path, {"extra": ["--debug_dir=/var/log/atc"]}))[0].endswith(" --log=error --debug_dir=/var/log/atc")


# the script


def test_each_batch_size_is_converted_and_measured(tmp_path):
    assert lines(write(tmp_path)) == [
        "convert m_bs1 --model=m_dynamicbs.onnx --framework=5 --output=m_bs1 --input_shape=input:1,3,2,2 --log=error",
        "convert m_bs4 --model=m_dynamicbs.onnx --framework=5 --output=m_bs4 --input_shape=input:4,3,2,2 --log=error",
        "for model in m_bs1 m_bs4; do",
        "bench answers_bs4 m_bs4 --input ./bin --batchsize 4",
        "bench check_bs1 m_bs1 --input ./check --batchsize 1",
        'bench bs1 m_bs1 --loop "$LOOP" --batchsize 1',
        'bench bs4 m_bs4 --loop "$LOOP" --batchsize 4',
    ]


def test_the_batch_size_of_accuracy_is_converted_but_not_measured(tmp_path):
    assert lines(write(tmp_path, sizes=(2, 1), batch_size=8))[2:] == [
        "convert m_bs8 --model=m_dynamicbs.onnx --framework=5 --output=m_bs8 --input_shape=input:8,3,2,2 --log=error",
        "for model in m_bs1 m_bs2 m_bs8; do",
        "bench answers_bs8 m_bs8 --input ./bin --batchsize 8",
        "bench check_bs1 m_bs1 --input ./check --batchsize 1",
        "bench check_bs2 m_bs2 --input ./check --batchsize 2",
        'bench bs1 m_bs1 --loop "$LOOP" --batchsize 1',
        'bench bs2 m_bs2 --loop "$LOOP" --batchsize 2',
    ]


def test_gears_are_one_model_that_is_told_its_batch_size(tmp_path):
    assert lines(write(tmp_path, {"gears": True})) == [
        "convert m_gears --model=m_dynamicbs.onnx --framework=5 --output=m_gears --input_shape=input:-1,3,2,2 "
        "--dynamic_batch_size=1,4 --log=error",
        "for model in m_gears; do",
        "bench answers_bs4 m_gears --input ./bin --batchsize 4 --dymBatch 4",
        "bench check_bs1 m_gears --input ./check --batchsize 1 --dymBatch 1",
        'bench bs1 m_gears --loop "$LOOP" --batchsize 1 --dymBatch 1',
        'bench bs4 m_gears --loop "$LOOP" --batchsize 4 --dymBatch 4',
    ]


def test_with_aipp_there_is_no_model_without_it(tmp_path):
    assert lines(write(tmp_path, {"aipp": True}, sizes=(4,))) == [
        "convert m_aipp_bs4 --model=m_dynamicbs.onnx --framework=5 --output=m_aipp_bs4 --input_shape=input:4,3,2,2 "
        "--log=error --insert_op_conf=aipp.cfg",
        "for model in m_aipp_bs4; do",
        "bench answers_bs4 m_aipp_bs4 --input ./bin --batchsize 4",
        'bench bs4 m_aipp_bs4 --loop "$LOOP" --batchsize 4',
    ]


def test_a_flag_that_the_shell_would_read_is_quoted(tmp_path):
    assert lines(write(tmp_path, {"extra": ["--x=a;b"]}))[0].endswith(" --log=error '--x=a;b'")


def test_a_chip_that_was_named_is_still_the_scripts_to_find(tmp_path):
    assert "Ascend310P1" not in "".join(lines(write(tmp_path, {"soc_version": "Ascend310P1"})))


def test_the_readme_has_the_command_that_makes_the_report(tmp_path):
    text = (write(tmp_path, sizes=(8, 1)) / "README.txt").read_text()
    assert text.startswith("mine for an Ascend machine")
    assert "It converts m_dynamicbs.onnx for the chip in the machine, runs 3 images and batch sizes 1, 8, and" in text
    assert text.endswith(
        "\n    python -m helpers.run params/p.yaml -p seed 3"
        " -p backend replay -p provider auto -p provider_options '{results: results.tar.gz}'\n"
    )


# where no kit is written, and what is left of another


def test_of_a_refused_model_there_is_no_kit(tmp_path):
    with pytest.raises(UserError, match=r"^no kit was written: the ONNX file is refused, since wrong at 3\.$"):
        write(tmp_path, checks=[check_of("onnxruntime fp32", 3, passed=False)])
    assert not (tmp_path / "kit").exists()


def test_a_kit_that_does_not_fit_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(kit.shutil, "disk_usage", lambda _: SimpleNamespace(free=291))  # 3 images of 48 bytes, twice, and an ONNX file of 4
    with pytest.raises(UserError, match="kit needs 0.0 GB, more than is free there: choose another folder or a subset"):
        write(tmp_path)
    assert list((tmp_path / "kit").iterdir()) == []


def test_a_kit_may_take_all_that_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(kit.shutil, "disk_usage", lambda _: SimpleNamespace(free=292))
    assert (write(tmp_path) / "run.sh").is_file()


def test_with_aipp_a_quarter_of_the_space_is_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(kit.shutil, "disk_usage", lambda _: SimpleNamespace(free=76))
    assert (write(tmp_path, {"aipp": True}) / "run.sh").is_file()


def test_a_file_is_no_place_for_a_kit(tmp_path):
    (tmp_path / "kit").write_text("mine")
    with pytest.raises(UserError, match="exists and is no kit"):
        write(tmp_path)
    assert (tmp_path / "kit").read_text() == "mine"


def test_an_empty_folder_is(tmp_path):
    (tmp_path / "kit").mkdir()
    assert (write(tmp_path) / "run.sh").is_file()


def test_images_and_results_of_an_older_kit_are_gone(tmp_path):
    folder = write(tmp_path)
    (folder / "bin" / "old.bin").write_text("")
    (folder / "check" / "old.bin").write_text("")
    (folder / "results").mkdir()
    (folder / "results" / "soc.txt").write_text("Ascend310")
    (folder / "results.tar.gz").write_text("")
    shutil.rmtree(tmp_path / "run")
    write(tmp_path)
    assert sorted(path.name for path in (folder / "bin").iterdir()) == ["a.bin", "b.bin", "c.bin"]
    assert not (folder / "check" / "old.bin").exists()
    assert not (folder / "results").exists()
    assert not (folder / "results.tar.gz").exists()


# the parameters


def test_for_a_kit_all_that_is_of_the_device_is_left_out(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("backend: ascend\nprovider: npu\nprecision: fp16\nprovider_options: {device_id: 1}\n")
    settings = params.read(path, run.AWAY, run.NAMES[:2])
    assert (settings.backend, settings.provider, settings.precision, settings.provider_options) == ("onnxruntime", "auto", "auto", {})
    run.backends.check(settings)


def test_a_kit_that_could_not_be_finished_can_not_be_run_and_its_folder_can_be_used_again(tmp_path, monkeypatch):
    folder = write(tmp_path)
    monkeypatch.setattr(kit, "CHUNK", 0)  # range() refuses it, in the place of a full disk
    with pytest.raises(ValueError, match="must not be zero"):
        write(tmp_path / "again", folder=folder)
    assert not (folder / "run.sh").exists()
    kit.check_folder(folder)


def test_two_named_files_of_one_name_are_refused_before_anything_large_is_written(tmp_path):
    (tmp_path / "run.sh").write_text("a file of the user's")
    with pytest.raises(UserError, match="atc names two files called run.sh, or one that a kit has itself: rename it"):
        write(tmp_path, atc={"keep_dtype": str(tmp_path / "run.sh")})
    assert not (tmp_path / "kit" / "bin").exists()
