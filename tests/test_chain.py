import pytest

from helpers import chain as chains
from helpers.records import Model
from tests.test_html import sweep_of
from tests.test_kit import HEAD
from tests.test_om import onnx_stage
from tests.test_records import save, step_of
from tests.test_report import Stand


def chain(tmp_path, stages, **recording):
    """Return the links of a run with these stages: link -> (what, made from, hash)."""
    model = Model(**{**HEAD, "step": "2_convert"}, name="m", classes=2, random_weights=False, stages=stages, checks=[], **recording)
    sweep = sweep_of()
    accuracy = Stand(
        file_name=lambda: "accuracy.json", STEP="3_accuracy", inputs={"data": "d" * 64, "model": "m" * 64}, fingerprint="a" * 64
    )
    rows = chains.links(save(step_of(tmp_path)), model, accuracy, sweep).rows
    return {link: tuple(rest) for link, *rest in rows}


@pytest.fixture
def stages(tmp_path):
    """Weights, the ONNX file that was made from them and two offline models."""
    (tmp_path / "artefacts").mkdir()
    onnx = onnx_stage(tmp_path / "artefacts").model_copy(update={"sha256": "1" * 64})
    weights = onnx.model_copy(update={"name": "pytorch", "format": "pytorch", "file": "m.pth", "sha256": None})
    oms = [
        onnx.model_copy(
            update={"name": f"om, batch {batch}", "format": "om", "file": f"artefacts/m_bs{batch}.om", "sha256": f"{batch}" * 64}
        )
        for batch in (4, 8)
    ]
    return [weights, onnx, *oms]


def test_each_offline_model_is_made_from_the_onnx_file(tmp_path, stages):
    links = chain(tmp_path, stages)
    assert links["model: pytorch"] == ("m.pth", None, None)
    assert links["model: onnx"] == ("artefacts/m_dynamicbs.onnx", "model: pytorch", "111111111111")
    assert links["model: om, batch 4"] == ("artefacts/m_bs4.om", "model: onnx", "444444444444")
    assert links["model: om, batch 8"] == ("artefacts/m_bs8.om", "model: onnx", "888888888888")


def test_what_was_recorded_is_a_link_with_its_hash(tmp_path, stages):
    links = chain(tmp_path, stages, recording="results.tar.gz", recording_sha256="abc" * 20)
    assert links["recorded results"] == ("results.tar.gz", "model: onnx, tensors", "abcabcabcabc")


def test_a_measured_run_has_no_such_link(tmp_path, stages):
    assert "recorded results" not in chain(tmp_path, stages)


def test_a_record_is_a_link_with_what_it_was_made_from(tmp_path, stages):
    links = chain(tmp_path, stages)
    assert links["accuracy.json"] == ("3_accuracy", f"data {'d' * 12} + model {'m' * 12}", "a" * 12)
    assert links["model.json"] == ("2_convert", "", "f")
    assert links["images"] == ("source", None, "0")
