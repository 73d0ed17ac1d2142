"""Which value of an ONNX file each PyTorch module gives, by what exporters and onnxslim leave of its name."""

import numpy as np
import onnx
import pytest
import torch

from helpers import classifier, depth, export, layers, torch_layers
from helpers.params import Onnx, Target

IMAGES = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


class Small(torch.nn.Module):
    """A convolution whose BatchNorm is folded into it, one activation used twice that writes in place, and a Linear."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, bias=False)
        self.norm = torch.nn.BatchNorm2d(4)
        self.act = torch.nn.ReLU(inplace=True)
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3), torch.nn.Flatten(), torch.nn.Linear(64, 3))
        self.norm.running_mean.normal_()
        torch.nn.init.normal_(self.norm.bias)

    def forward(self, input):
        return self.layers(self.act(self.act(self.norm(self.conv(input))) - 1)).softmax(1)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return Small().eval()


def exported(module, folder, **settings):
    export.to_onnx(module, folder / "m.onnx", IMAGES.shape[1:], Onnx(**settings))
    return export.read(folder / "m.onnx")


@pytest.mark.parametrize(
    ("settings", "modules"),
    [
        ({"simplify": True}, ["conv", "act", "act_1", "layers.0", "layers.1", "layers.2"]),
        ({"simplify": False}, ["conv", "act", "act_1", "layers.0", "layers.1", "layers.2"]),
        ({"exporter": "dynamo", "opset": 20, "simplify": True}, ["conv", "layers.0", "layers.2"]),
        ({"exporter": "dynamo", "opset": 20, "simplify": False}, ["conv", "layers.0", "layers.1", "layers.2"]),
    ],
    ids=["legacy, onnxslim", "legacy", "dynamo, onnxslim", "dynamo"],
)
def test_every_module_that_has_kept_its_name_gives_what_the_onnx_file_gives(small, tmp_path, settings, modules):
    model = exported(small, tmp_path, **settings)
    found = depth.compare(torch_layers.of_torch(small, model), layers.of_onnx(model, Target(threads=1)), IMAGES)
    assert [layer.module for layer in found][:-1] == modules
    assert found[-1].name == "probs"
    assert max(layer.relative_error for layer in found) < 1e-5


def test_no_hook_stays_on_the_module(small, tmp_path):
    list(torch_layers.of_torch(small, exported(small, tmp_path)).run(IMAGES))
    assert not any(part._forward_hooks for part in small.modules())


def test_bf16_is_as_far_off_as_its_digits_say(small, tmp_path):
    model = exported(small, tmp_path)
    found = depth.compare(torch_layers.of_torch(small, model), torch_layers.of_torch(small, model, "bf16"), IMAGES)
    assert 1e-4 < max(layer.relative_error for layer in found) < 0.03
    assert depth.parting(found, exact=False) is None


@pytest.mark.parametrize("name", ["resnet18_8xb32_in1k", "mobilenet-v2_8xb32_in1k"])
def test_every_convolution_of_other_families_has_its_module(name, tmp_path):
    module = classifier.load(name, "random:0")
    export.to_onnx(module, tmp_path / "m.onnx", (3, 64, 64), Onnx())
    model = onnx.load(tmp_path / "m.onnx")
    images = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    found = depth.compare(torch_layers.of_torch(module, model), layers.of_onnx(model, Target(threads=1)), images)
    assert depth.parting(found, exact=True) is None
    made = {layer.module for layer in found if layer.operator == "Conv"}
    assert made == {part.removeprefix("classifier.") for part, kind in module.named_modules() if isinstance(kind, torch.nn.Conv2d)}
