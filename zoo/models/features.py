"""Compute the features that a backbone passes to its last layer, and find that layer."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

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
        raise ZooError(where, what, "choose another backbone, or use no probe")
    return head


@contextmanager
def watched_inputs(head: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the inputs of a layer in a list while its model runs."""
    seen: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()


@torch.no_grad()
def separable_head(model: nn.Module, fixed: Sequence[nn.Module], example: Tensor) -> nn.Module | None:
    """Return the last layer if it alone makes logits of features [B, D] that are equal in training and evaluation.

    Args:
        model: the backbone with its head; left in training mode.
        fixed: modules that stay in evaluation mode during training.
        example: images for trial forward passes, float32 [B, 3, H, W].

    Returns:
        The layer; None if the logits need more than the last layer, or if dropout or the like makes the features random.
    """
    head = model.get_classifier() if hasattr(model, "get_classifier") else None  # type: ignore[operator]
    if not isinstance(head, nn.Module):
        return None
    inside = set(head.modules())
    if any(_draws(module) for module in model.modules() if module not in inside):
        return None
    made: list[Any] = []
    handle = head.register_forward_hook(lambda _module, _inputs, output: made.append(output))
    try:
        with watched_inputs(head) as seen:
            logits = model.eval()(example)
            model.train()
            for module in fixed:
                module.eval()
            model(example)
    finally:
        handle.remove()
    if len(seen) != 2 or seen[0].ndim != 2 or not isinstance(logits, Tensor):
        return None
    # The logits must be the head's own tensor. Equal values would prove nothing: a head of zeros gives zeros for any features.
    own = logits.shape == made[0].shape and logits.data_ptr() == made[0].data_ptr()
    return head if own and torch.allclose(seen[0], seen[1]) else None


def _draws(module: nn.Module) -> bool:
    """Check whether a module is random during training: dropout of torch or timm, or a rate that timm's own code uses."""
    if isinstance(module, _DropoutNd):
        return module.p > 0
    rates = (getattr(module, name, None) for name in ("drop_prob", "prob", "drop_rate"))
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def backbone_digest(model: nn.Module, head: Container[str]) -> bytes:
    """Return the SHA-256 of the names and values of a model's parameters and buffers, except those of its head."""
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        if key not in head:
            digest.update(key.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.digest()
