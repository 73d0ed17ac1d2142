"""Other mmcls families convert as the demo does: a plain CNN whose images OpenCV resizes, and a vision transformer."""

import numpy as np
import pytest

from helpers import classifier, export, parity
from helpers.params import Onnx


@pytest.mark.parametrize("name", ["resnet18_8xb32_in1k", "deit-tiny_pt-4xb256_in1k"])
def test_onnx_equals_pytorch(name, tmp_path):
    import onnxruntime
    import torch

    module = classifier.load(name, "random:0")
    stage = export.to_onnx(module, tmp_path / "m.onnx", (3, 64, 64) if "resnet" in name else (3, 224, 224), Onnx())
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).standard_normal((16, *stage.input.shape[1:])).astype(np.float32)

    def reference(batch):
        with torch.inference_mode():
            return module(torch.from_numpy(batch)).numpy()

    checks = parity.compare("PyTorch", reference, "ONNX", lambda batch: session.run(None, {"input": batch})[0], images, [1, 3])
    assert [check.reason for check in checks] == ["", ""]
