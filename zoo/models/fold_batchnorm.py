"""Frozen BatchNorm folded into the convolution before it, for as long as a model trains.

With its statistics frozen, BatchNorm is an affine map of each channel: y = scale * x + shift. A convolution with the
weights scale * W and the bias shift does both at once (as for inference in Jacob et al. 2018, section 3.2), which saves
a pass over the activations in each direction. The product is made in each forward pass, from the parameters as they
are: the gradients are those of the separate layers, and so are the learning rates that suit them. No tensor is
renamed or changed: a checkpoint or an exported model has timm's own. Where a convolution has more weights than
activations, as the last ones of a ResNet, the product would cost more than the pass it saves: those are left alone.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from zoo.models.fast_conv import FastConv2d, FastConv2dSame, replaceable

# Features may differ by so much of the largest before a fold is taken to be wrong.
TOLERANCE = 1e-2
# Images of a micro-batch, by which weights and activations are compared.
MICRO_BATCH = 16


class FoldedConv2d(FastConv2d):
    """A convolution that does the work of the frozen BatchNorm after it too. Made by `fold`, never constructed."""

    # In a list, so that the layer is not registered as a part of the convolution; a deep copy follows it all the same.
    norm: list[Any]

    def forward(self, input: Tensor) -> Tensor:
        """Convolve and normalize: float [B, C, H, W] to [B, K, H', W']."""
        norm = self.norm[0]
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        start = -norm.running_mean if self.bias is None else self.bias - norm.running_mean
        return self.convolve(input, self.weight * scale.view(-1, 1, 1, 1), torch.addcmul(norm.bias, start, scale))


class FoldedConv2dSame(FoldedConv2d, FastConv2dSame):
    """The same for timm's convolution with TensorFlow's padding."""


class FoldedNorm(nn.Module):
    """What is left of a folded BatchNorm: timm's has a dropout and an activation in it. Made by `fold`."""

    act: Any
    drop: Any

    def forward(self, images: Tensor) -> Tensor:
        """Apply what follows the norm, if anything does."""
        return self.act(self.drop(images)) if hasattr(self, "act") else images


def fold_batchnorm(model: nn.Module, norms: list[nn.Module], example: Tensor) -> int:
    """Fold frozen BatchNorm layers into the convolutions whose output they alone read.

    Args:
        model: changed in place, its parameters and buffers are not.
        norms: the layers whose statistics are frozen.
        example: float [B, 3, H, W]; the model's features of it are compared before and after.

    Returns:
        How many were folded; 0 too where folding would change the features.
    """
    was_training = model.training
    model.eval()
    frozen = {id(norm) for norm in norms}
    with torch.no_grad():
        before = _features(model, example)
        pairs = [(conv, norm) for conv, norm in _pairs(model, example) if id(norm) in frozen]
        kinds = [(type(conv), type(norm)) for conv, norm in pairs]
        for conv, norm in pairs:
            conv.norm = [norm]
            folded: Any = FoldedConv2dSame if isinstance(conv, Conv2dSame | FastConv2dSame) else FoldedConv2d
            conv.__class__ = folded
            norm.__class__ = FoldedNorm
        difference = float((_features(model, example) - before).abs().max())
    if difference > TOLERANCE * float(before.abs().max()):
        # Something else reads a convolution's output too.
        for (conv, norm), (conv_kind, norm_kind) in zip(pairs, kinds, strict=True):
            conv.__class__, norm.__class__ = conv_kind, norm_kind
            del conv.norm
        pairs = []
    model.train(was_training)
    return len(pairs)


def _features(model: nn.Module, example: Tensor) -> Tensor:
    """What the last layer gets, flat. Not the logits: a head that starts at zero gives the same ones whatever it gets."""
    heads = getattr(model, "get_classifier", tuple)()
    seen: list[Tensor] = []
    handles = [
        head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        for head in (heads if isinstance(heads, tuple | list) else (heads,))
        if isinstance(head, nn.Module)
    ]
    try:
        logits = model(example)
    finally:
        for handle in handles:
            handle.remove()
    return torch.cat([features.flatten() for features in seen or [logits]])


def _pairs(model: nn.Module, example: Tensor) -> list[tuple[Any, Any]]:
    """Plain convolutions worth folding and the BatchNorm that gets the very tensor they return, each used once."""
    made: dict[int, tuple[_ConvNd, Tensor]] = {}  # the tensor is kept, so that its id is not given to another
    calls: dict[nn.Module, int] = {}
    pairs: list[tuple[Any, Any]] = []

    def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, _ConvNd):
            made[id(output)] = (module, output)
        elif id(inputs[0]) in made:
            conv = made[id(inputs[0])][0]
            if conv.weight.numel() < inputs[0][0].numel() * MICRO_BATCH:
                pairs.append((conv, module))

    watched = [module for module in model.modules() if isinstance(module, _ConvNd | _BatchNorm)]
    handles = [module.register_forward_hook(after) for module in watched]
    try:
        model(example)
    finally:
        for handle in handles:
            handle.remove()
    return [
        (conv, norm)
        for conv, norm in pairs
        if calls[conv] == calls[norm] == 1 and replaceable(conv) and norm.affine and norm.track_running_stats
    ]
