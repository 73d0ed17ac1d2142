"""Results that come back: unpacked without harm, tied to their run, and what they tell of where they were made."""

import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.ascend import kit_results
from helpers.ascend.kit_results import Identity
from helpers.errors import UserError
from helpers.records import TensorSpec
from tests.test_kit import HOW
from tests.test_om import onnx_stage
from tests.test_recorded import write

KIT = {
    "schema": 1, "manifest_sha256": "m", "tensors_sha256": "t", "onnx_sha256": "o",
    "batch_sizes": [1, 8], "precision": "fp16", "aipp": False, "flags": ["--log=error", "--enable_small_channel=1"],
    "preprocess": HOW.model_dump(mode="json"), "files": {"nodes.txt": "n"},
}  # fmt: skip
ENVIRONMENT = """\
2026-11-24T16:06:38Z
Linux 5.10.0-60.18.0.50.oe2203.aarch64 aarch64
+-----------------------------------------------------------------------+
| npu-smi 23.0.0                   Version: 23.0.0                      |
+-------------------+-----------------+---------------------------------+
package_name=Ascend-cann-toolkit
version=5.1.RC2
innerversion=V100R001C79B219
aclruntime        0.0.2
"""
ABC, DEF = "abc1" * 16, "def2" * 16


# the archive


def member(name, content=b"x", link=None):
    """Return the header and content of a file in an archive, or of a symbolic link."""
    info = tarfile.TarInfo(name)
    info.size = 0 if link else len(content)
    info.type, info.linkname = (tarfile.SYMTYPE, str(link)) if link else (tarfile.REGTYPE, "")
    return info, io.BytesIO(content)


def archive(tmp_path, *members) -> Path:
    path = tmp_path / "results.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            tar.addfile(info, content)
    return path


@pytest.fixture
def artefacts(tmp_path) -> Path:
    (tmp_path / "artefacts").mkdir()
    return tmp_path / "artefacts"


def test_a_folder_is_taken_where_it_lies(tmp_path, artefacts):
    assert kit_results.unpack(tmp_path, artefacts) == tmp_path


def test_an_archive_is_unpacked_among_the_artefacts(tmp_path, artefacts):
    folder = kit_results.unpack(archive(tmp_path, member("results/bs1/a.txt", b"one"), member("results/soc.txt", b"two")), artefacts)
    assert folder.parent == artefacts
    assert folder.name.startswith("recorded_")
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.txt")} == {
        "results/bs1/a.txt": b"one",
        "results/soc.txt": b"two",
    }


def test_it_is_unpacked_once(tmp_path, artefacts):
    path = archive(tmp_path, member("a.txt"))
    (kit_results.unpack(path, artefacts) / "mark").write_text("")
    assert (kit_results.unpack(path, artefacts) / "mark").is_file()


def test_another_archive_of_the_same_name_is_unpacked_beside_it(tmp_path, artefacts):
    first = kit_results.unpack(archive(tmp_path, member("a.txt", b"one")), artefacts)
    second = kit_results.unpack(archive(tmp_path, member("a.txt", b"two")), artefacts)
    assert [(folder / "a.txt").read_bytes() for folder in (first, second)] == [b"one", b"two"]


@pytest.mark.parametrize("name", ["../evil", "results/../../evil", "{}/evil"])
def test_nothing_is_written_outside_of_the_folder(tmp_path, artefacts, name):
    path = archive(tmp_path, member(name.format(tmp_path)))
    with pytest.raises(UserError, match=r"^results.tar.gz holds .*evil, which lies outside of it: it is not from a kit\.$"):
        kit_results.unpack(path, artefacts)
    assert list(tmp_path.rglob("evil")) == []


def test_links_are_left_out_and_nothing_is_written_through_them(tmp_path, artefacts):
    (tmp_path / "outside").mkdir()
    path = archive(tmp_path, member("log.txt", link="/etc/passwd"), member("d", link=tmp_path / "outside"), member("d/a.txt", b"in"))
    folder = kit_results.unpack(path, artefacts)
    assert list((tmp_path / "outside").iterdir()) == []
    assert [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))] == ["d", "d/a.txt"]


def test_what_is_no_archive_is_one_sentence(tmp_path, artefacts):
    path = write_text(tmp_path / "results.tar.gz", "no archive")
    with pytest.raises(
        UserError, match=r"(?s)^results.tar.gz is neither a folder nor a whole .tar.gz of results \(.*\): fetch it again\.$"
    ):
        kit_results.unpack(path, artefacts)


def test_that_sentence_has_one_line(tmp_path, artefacts):
    with pytest.raises(UserError) as raised:
        kit_results.unpack(write_text(tmp_path / "results.tar.gz", "no archive"), artefacts)
    assert "\n" not in str(raised.value)


def noisy(tmp_path) -> tuple[Path, bytes]:
    """Return an archive of 200 kB that can't be compressed, and its bytes."""
    noise = np.random.default_rng(0).bytes(100_000)
    path = archive(tmp_path, member("a.bin", noise), member("b.bin", noise))
    return path, path.read_bytes()


def test_an_archive_that_was_cut_off_is_one_sentence_and_leaves_nothing_to_go_on_with(tmp_path, artefacts):
    path, content = noisy(tmp_path)
    path.write_bytes(content[:120_000])
    with pytest.raises(UserError, match=r"nor a whole .tar.gz of results"):
        kit_results.unpack(path, artefacts)
    assert list(artefacts.glob("recorded_*")) == []


def test_an_archive_whose_content_was_damaged_is_not_taken(tmp_path, artefacts):
    path, content = noisy(tmp_path)
    path.write_bytes(content[:50_000] + bytes([content[50_000] ^ 255]) + content[50_001:])
    with pytest.raises(UserError, match=r"nor a whole .tar.gz of results"):
        kit_results.unpack(path, artefacts)


def test_an_archive_without_files_is_an_empty_folder(tmp_path, artefacts):
    assert list(kit_results.unpack(archive(tmp_path), artefacts).iterdir()) == []


def test_what_an_interrupted_unpacking_left_is_not_taken(tmp_path, artefacts):
    path = archive(tmp_path, member("a.txt"))
    folder = kit_results.unpack(path, artefacts)
    folder.rename(folder.with_name(f".{folder.name}"))
    (artefacts / f".{folder.name}" / "half.txt").write_text("")
    assert [path.name for path in kit_results.unpack(path, artefacts).iterdir()] == ["a.txt"]


def write_text(path, text) -> Path:
    path.write_text(text)
    return path


# what ties them to a run


def test_a_kit_tells_what_it_was_made_from(tmp_path):
    write(tmp_path / "results" / "kit.json", KIT)
    assert kit_results.identity(tmp_path) == Identity(
        manifest_sha256="m", tensors_sha256="t", onnx_sha256="o",
        batch_sizes=[1, 8], precision="fp16", aipp=False, flags=["--log=error", "--enable_small_channel=1"],
        preprocess=HOW, files={"nodes.txt": "n"},
    )  # fmt: skip


def test_what_was_recorded_by_hand_tells_nothing(tmp_path):
    assert kit_results.identity(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", json.dumps({**KIT, "schema": 2}), json.dumps({**KIT, "more": 1}), json.dumps({"schema": 1}), "\udcff"],
    ids=["empty", "cut off", "no mapping", "later", "another's key", "incomplete", "no UTF-8"],
)
def test_a_damaged_kit_json_is_one_sentence(tmp_path, content):
    (tmp_path / "kit.json").write_text(content, errors="surrogateescape")
    with pytest.raises(
        UserError, match=r"^kit.json of the recorded results is damaged or another version's: write the kit anew and run it\.$"
    ):
        kit_results.identity(tmp_path)


def check_same(**told):
    data, onnx = SimpleNamespace(manifest_sha256="m", tensors_sha256="t", preprocess=HOW), SimpleNamespace(sha256="o")
    kit_results.check_same(Identity(**{**KIT, **told}), data, onnx)


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ({"manifest_sha256": "x"}, "for other images"),
        ({"tensors_sha256": "x"}, "for images prepared otherwise"),
        ({"preprocess": HOW.model_copy(update={"channel_order": "BGR"})}, "for images prepared otherwise"),
        ({"onnx_sha256": "x"}, "from another ONNX file"),
    ],
)
def test_results_of_something_else_are_refused(told, what):
    said = f"^the recorded results were made {what} than this run's: write the kit anew with these parameters and run it\\.$"
    with pytest.raises(UserError, match=said):
        check_same(**told)


def test_results_of_this_run_are_not():
    check_same()


def test_results_that_were_recorded_by_hand_can_not_be_told_from_others():
    kit_results.check_same(None, SimpleNamespace(manifest_sha256="m", tensors_sha256="t", preprocess=HOW), SimpleNamespace(sha256="o"))


def test_models_that_were_made_with_other_flags_are_refused():
    said = r"^the recorded models were made with atc --log=error --enable_small_channel=1: give this run the same atc, or write the kit"
    with pytest.raises(UserError, match=said):
        kit_results.check_flags(Identity(**KIT), ["--log=error"])


def test_models_that_were_made_with_these_are_not():
    kit_results.check_flags(Identity(**KIT), ["--log=error", "--enable_small_channel=1"])


def test_by_hand_the_flags_are_not_told():
    kit_results.check_flags(None, ["--log=error"])


# where they were made


def test_the_chip_is_the_one_that_the_kit_found(tmp_path):
    write(tmp_path / "results" / "soc.txt", "Ascend310P3\n")
    assert kit_results.chip(tmp_path) == "Ascend310P3"


def test_by_hand_no_chip_is_told(tmp_path):
    assert kit_results.chip(tmp_path) == ""


def test_the_place_is_day_driver_and_cann(tmp_path):
    write(tmp_path / "results" / "environment.txt", ENVIRONMENT)
    assert kit_results.place(tmp_path) == "on 2026-11-24T16:06:38Z, driver 23.0.0, CANN 5.1.RC2"


def test_what_the_machine_did_not_tell_of_itself_is_left_out(tmp_path):
    write(tmp_path / "environment.txt", "2026-11-24T16:06:38Z\nnpu-smi: not found\ncat: no such file\n")
    assert kit_results.place(tmp_path) == "on 2026-11-24T16:06:38Z"


def test_without_its_file_the_place_is_unknown(tmp_path):
    assert kit_results.place(tmp_path) == ""


# the offline models


def models(tmp_path, listed, **told):
    (tmp_path / "artefacts").mkdir()
    write(tmp_path / "results" / "kit.json", {**KIT, **told})
    write(tmp_path / "results" / "om.txt", listed)
    write(tmp_path / "results" / "soc.txt", "Ascend310P3\n")
    return kit_results.models(tmp_path / "results", onnx_stage(tmp_path / "artefacts"))


def test_each_model_that_the_kit_made_is_a_stage(tmp_path):
    first, second = models(tmp_path, f"{ABC} 1234 m_bs1.om\n{DEF} 5678 m_bs8.om\n")
    assert (first.name, first.batch, first.gears, first.file, first.sha256, first.bytes) == ("om, batch 1", 1, [], "m_bs1.om", ABC, 1234)
    assert (second.name, second.batch, second.file, second.sha256, second.bytes) == ("om, batch 8", 8, "m_bs8.om", DEF, 5678)
    assert (first.format, first.soc, first.precision, first.aipp, first.seconds) == ("om", "Ascend310P3", "fp16", False, None)
    assert first.command == "atc --log=error --enable_small_channel=1 (by the kit's run.sh)"
    assert second.input == TensorSpec(name="input", shape=[8, 3, 8, 8], dtype="float32")
    assert second.output == TensorSpec(name="probs", shape=[8, 10], dtype="float32")


def test_a_model_with_gears_has_those_of_the_kit(tmp_path):
    [stage] = models(tmp_path, f"{ABC} 1234 m_gears.om\n")
    assert (stage.name, stage.batch, stage.gears) == ("om, gears", None, [1, 8])
    assert stage.input.shape == ["batch", 3, 8, 8]


def test_a_model_with_aipp_takes_bytes(tmp_path):
    [stage] = models(tmp_path, f"{ABC} 1234 m_aipp_bs8.om\n", aipp=True)
    assert (stage.name, stage.batch, stage.aipp) == ("om, batch 8", 8, True)
    assert stage.input == TensorSpec(name="input", shape=[8, 8, 8, 3], dtype="uint8")


def test_results_without_a_kit_tell_of_no_models(tmp_path):
    write(tmp_path / "om.txt", f"{ABC} 1234 m_bs1.om\n")
    assert kit_results.models(tmp_path, None) == []


def test_neither_does_a_kit_that_came_to_none(tmp_path):
    write(tmp_path / "kit.json", KIT)
    assert kit_results.models(tmp_path, None) == []


def test_the_batch_size_is_the_last_in_the_name(tmp_path):
    [stage] = models(tmp_path, f"{ABC} 1234 mine_bs1_bs8.om\n")
    assert stage.batch == 8


def test_a_line_without_a_hash_is_no_model(tmp_path):
    stages = models(tmp_path, f"sh: sha256sum: not found\n 1234 m_bs1.om\n{DEF} 5678 m_bs8.om\n")
    assert [stage.file for stage in stages] == ["m_bs8.om"]
