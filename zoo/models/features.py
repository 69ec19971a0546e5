"""Compute the features that a backbone gives to its last layer."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.errors import ZooError


class FeatureExtractor(nn.Module):
    """A backbone without its last layer: float images [B, 3, H, W] to float features [B, D]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the input of the last layer."""
        return self.model.forward_head(self.model.forward_features(images), pre_logits=True)  # type: ignore[operator]


def last_layer(model: nn.Module, where: str) -> nn.Linear:
    """Return the layer that a linear probe fits.

    Args:
        model: the backbone with its head.
        where: the key or flag that an error names.

    Raises:
        ZooError: the model does not end in a single linear layer.
    """
    head = model.get_classifier() if hasattr(model, "get_classifier") else None  # type: ignore[operator]
    if not isinstance(head, nn.Linear):
        what = f"{type(model).__name__} does not end in one linear layer, which a probe needs"
        raise ZooError(where, what, "choose another backbone, or fit no probe")
    return head
