"""An mmcls config and a checkpoint -> a PyTorch module in eval mode that returns probabilities."""

from helpers import model_config, sources
from helpers.errors import UserError


def load(name: str, checkpoint: str):
    """Return the module: float32 [N, 3, H, W] -> probabilities float32 [N, classes], in eval mode on the CPU.

    `checkpoint` is a file, or `random:<seed>` for weights that serve for throughput only.
    """
    import torch

    model_config.import_mmcls()
    from mmcls.models import build_classifier

    config = model_config.read(name)
    if checkpoint.startswith("random:"):
        torch.manual_seed(int(checkpoint.removeprefix("random:")))
    try:
        model = build_classifier(config.model)
    except Exception as error:  # mmcls builds from names in the config: anything can be raised
        raise UserError(f"mmcls can't build the model of {name} ({error}): correct the config.") from error
    if not checkpoint.startswith("random:"):
        _load_weights(model, checkpoint)

    class Probabilities(torch.nn.Module):
        """What is exported: the classifier with its head's softmax (Conformer: of the sum of both heads)."""

        def __init__(self):
            super().__init__()
            self.classifier = model

        def forward(self, input):
            return self.classifier.simple_test(input, None, softmax=True, post_process=False)

    return Probabilities().eval()  # the wrapper too: the exporter restores its mode on the way out


def _load_weights(model, checkpoint: str) -> None:
    """Copy a checkpoint's weights into the model; every tensor must find its place."""
    import torch

    path = sources.existing("checkpoint", checkpoint)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises anything
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            raise UserError(
                f"{path.name} holds more than tensors and is not loaded, since that would run its code: if you trust it, "
                "save torch.load(...)['state_dict'] to a new file and use that."
            ) from error
        raise UserError(f"{path.name} is truncated or not a PyTorch checkpoint: fetch it again and compare its sha256.") from error
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = isinstance(weights, dict) and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in weights.items())
    if not weights or not tensors:
        raise UserError(f"{path.name} has no state_dict of tensors: give a checkpoint saved by mmcls.")
    weights = {key.removeprefix("module."): value for key, value in weights.items()}
    own = model.state_dict()
    optional = {key for key in own if key.endswith("num_batches_tracked")}
    wrong = [
        key
        for key in sorted(set(own) - optional | set(weights))
        if getattr(weights.get(key), "shape", 0) != getattr(own.get(key), "shape", 1)
    ]
    if wrong:
        raise UserError(
            f"{path.name} is of another architecture: {len(wrong)} of {len(own)} tensors are missing, unknown or of "
            f"another shape (first: {wrong[0]}); give the config it was trained with as model."
        )
    model.load_state_dict(weights, strict=False)
