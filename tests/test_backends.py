from types import SimpleNamespace

import pytest

from helpers import backends, files, sources
from helpers.errors import UserError
from helpers.params import Target

CHECKPOINT = "demo/conformer_fmnist.pth"


def model_of(sha256):
    """As much of model.json as the torch backend reads."""
    parameters = {"model": "demo/conformer_fmnist.py", "checkpoint": CHECKPOINT}
    return SimpleNamespace(params=parameters, stage=lambda format: SimpleNamespace(sha256=sha256))


def test_pytorch_runs_only_the_checkpoint_that_was_converted(tmp_path):
    target = Target(backend="torch", threads=1)
    backends.load(tmp_path, model_of(files.sha256(sources.existing("checkpoint", CHECKPOINT))), target)
    with pytest.raises(UserError, match="conformer_fmnist.pth is not the file that was converted: run 2_convert again"):
        backends.load(tmp_path, model_of("another"), target)
