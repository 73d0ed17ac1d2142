from types import SimpleNamespace

import pytest

from helpers import convert, params
from helpers.backends import Backend
from helpers.records import Check, Model


def check(candidate, batch=1, passed=True, difference=1e-6, **values):
    reason = "" if passed else f"at batch {batch} {candidate} is wrong"
    told = {"max_abs_diff": difference, "cosine_min": 1.0, "top1_agree_pct": 100.0, "spread": 9.0}
    return Check(reference="PyTorch", candidate=candidate, batch=batch, images=16, passed=passed, reason=reason, **told, **values)


def said(*checks):
    return convert.in_words(Model.model_construct(checks=list(checks)))


def test_fp32_is_the_same_model_and_reduced_precision_points_the_same_way():
    sentence = said(check("onnxruntime fp32"), check("onnxruntime fp32", 8, difference=2e-6), check("openvino bf16", exact=False))
    assert sentence.text == (
        "At batch sizes 1, 8, fp32 is the same model: log-probabilities differ by 2.0e-06 at most, where two images differ by 9. "
        "openvino bf16 points the same way (cosine); only its accuracy can tell whether it is as good."
    )
    assert sentence.level == "pass"


def test_a_failed_option_is_named_and_not_called_the_same():
    failed = check("openvino fp32", 64, passed=False, difference=None, option=True)
    sentence = said(check("onnxruntime fp32"), failed)
    assert "differ by 1.0e-06 at most" in sentence.text
    assert sentence.text.endswith("Refused, and it alone: at batch 64 openvino fp32 is wrong.")


def test_a_failed_candidate_is_refused():
    sentence = said(check("onnxruntime fp32", passed=False))
    assert sentence.text.startswith("REFUSED: at batch 1 onnxruntime fp32 is wrong.")
    assert sentence.level == "fail"


class Loaded(Backend):
    """Stands for a loaded target: nothing runs."""

    threads = 1

    def __init__(self, target):
        self.name, self.provider = target.backend, "CPU" if target.provider == "auto" else target.provider
        self.precision = "fp32" if target.precision == "auto" else target.precision
        self.mode = "CUDA" if target.provider == "cuda" else ""
        self.options = target.provider_options

    @staticmethod
    def check(target):
        pass

    def __call__(self, batch):
        raise AssertionError("not called here")


@pytest.fixture
def compared(monkeypatch):
    """Return a function: settings -> what is compared, with (is an option, least cosine of reduced precision)."""
    monkeypatch.setattr(convert.backends, "load", lambda folder, model, target: Loaded(target))

    def compare(name, reference, backend, images, sizes, rough):
        return [check(backend.identity).model_copy(update={"cosine_min": rough})]

    monkeypatch.setattr(convert, "_compare", compare)

    def checks(labels_source="labels", random_weights=False, **values):
        settings = params.Convert.model_construct(**{**params.Convert().__dict__, **values})
        step = SimpleNamespace(settings=settings, folder=None, record=lambda **_: None)
        converted = SimpleNamespace(body=dict, reference_name="PyTorch", reference=None, random_weights=random_weights)
        found = convert.checks(step, converted, SimpleNamespace(labels_source=labels_source), SimpleNamespace(how=None))
        return {one.candidate: (one.option, one.cosine_min) for one in found}

    monkeypatch.setattr(Loaded, "expects", lambda self, how: how)
    return checks


def target(**values):
    return params.Target.model_construct(**{**params.Target().__dict__, **values})


def test_everything_that_will_be_measured_is_compared_once(compared):
    options = [target(backend="openvino", precision="bf16"), target(), target(backend="torch", precision="bf16")]
    assert compared(options=options) == {
        "onnxruntime fp32 on CPU": (False, 0.8),
        "openvino bf16 on CPU": (True, 0.8),
        "torch bf16 on CPU": (True, 0.8),
    }


def test_pytorch_on_another_device_is_compared_too(compared):
    assert compared(options=[target(backend="torch", provider="cuda")]) == {
        "onnxruntime fp32 on CPU": (False, 0.8),
        "torch fp32 CUDA on cuda": (True, 0.8),
    }


@pytest.mark.parametrize(("told", "least"), [({}, 0.8), ({"labels_source": ""}, 0.99), ({"random_weights": True}, 0.99)])
def test_reduced_precision_is_held_closer_where_no_accuracy_will_judge_it(compared, told, least):
    assert compared(**told)["onnxruntime fp32 on CPU"] == (False, least)
