"""Fold frozen BatchNorm into the convolution before it while a model trains.

With its statistics frozen, BatchNorm is an affine map of each channel: y = scale * x + shift. A convolution with the
weights scale * W and the bias shift does both at once (as for inference in Jacob et al. 2018, section 3.2), which saves
a pass over the activations in each direction. Each forward pass computes the product from the current parameters, so
that gradients, and the learning rates that suit them, are those of the separate layers. No tensor is renamed or changed:
checkpoints and exported models have timm's own. Where a convolution has more weights than activations, as the last ones
of a ResNet, the product would cost more than the pass it saves: those are not folded.

A convolution W with a low-rank update (`lora.py`) computes W x + B A x. Of the update, B is scaled as W is, and has no shift.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from zoo.models.fast_conv import FastConv2d, FastConv2dSame, activation_of, replaceable
from zoo.models.lora import updated_layers

# Largest difference of features, as a share of the largest feature, that is taken for rounding.
TOLERANCE = 1e-2
# Images of a micro-batch: a convolution is folded if it has fewer weights than activations for these.
MICRO_BATCH = 16


class FoldedConv2d(FastConv2d):
    """A convolution and the frozen BatchNorm after it. `fold_batchnorm` turns layers into it; it is never constructed."""

    # In a list, so that the layer is not registered as a part of the convolution; a deep copy still copies it.
    norm: list[Any]

    def forward(self, input: Tensor) -> Tensor:
        """Convolve, normalize and apply the activation: float [B, C, H, W] to [B, K, H', W']."""
        norm = self.norm[0]
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # [K]
        start = -norm.running_mean if self.bias is None else self.bias - norm.running_mean  # [K]
        # [K, C / groups, h, w] * [K, 1, 1, 1], and the shift [K]
        weight, bias = self.weight * scale.view(-1, 1, 1, 1), torch.addcmul(norm.bias, start, scale)
        return self.convolve(input, weight, bias)


class FoldedConv2dSame(FoldedConv2d, FastConv2dSame):
    """A `FoldedConv2d` of timm's convolution with TensorFlow's padding."""


class FoldedUpdate(FastConv2d):
    """The second matrix of a folded convolution's low-rank update, a 1x1 convolution. It is never constructed either."""

    norm: list[Any]

    def forward(self, input: Tensor) -> Tensor:
        """Convolve and scale: float [B, rank, H, W] to [B, K, H, W]."""
        norm = self.norm[0]
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # [K]
        return self.convolve(input, self.weight * scale.view(-1, 1, 1, 1), None)  # [K, rank, 1, 1]


class FoldedNorm(nn.Module):
    """The rest of a folded BatchNorm: timm's has a dropout and an activation in it. `fold_batchnorm` turns layers into it."""

    act: Any
    drop: Any
    # The convolution applies the activation.
    fused: bool = False

    def forward(self, images: Tensor) -> Tensor:
        """Apply the dropout and activation of timm's norm, if it has them: float [B, K, H, W] to the same shape."""
        return self.act(self.drop(images)) if hasattr(self, "act") and not self.fused else images


def fold_batchnorm(model: nn.Module, norms: list[nn.Module], example: Tensor) -> int:
    """Fold frozen BatchNorm layers into the convolutions before them, where nothing else reads the convolution's output.

    Args:
        model: changed in place, but for its parameters and buffers.
        norms: the layers whose statistics are frozen.
        example: float32 [B, 3, H, W]; the model's features of it are compared before and after.

    Returns:
        The number of folded layers; 0 if folding would change the features, or they are not finite.
    """
    was_training = model.training
    model.eval()
    frozen = {id(norm) for norm in norms}
    with torch.no_grad():
        before = head_inputs(model, example)
        pairs = [(conv, norm) for conv, norm in conv_norm_pairs(model, example, MICRO_BATCH) if id(norm) in frozen]
        changed = _fold(model, pairs)
        difference = float((head_inputs(model, example) - before).abs().max())
    if not difference <= TOLERANCE * float(before.abs().max()):
        # Something else reads a convolution's output too, or the weights are not finite, which `fast_conv` might hide.
        for layer, kind in changed:
            layer.__class__ = kind
            for name in ("norm", "activation", "fused"):
                layer.__dict__.pop(name, None)
        pairs = []
    elif not _learns(model, example):
        # Something writes over an activation's output, which the backward pass needs now.
        for conv, norm in pairs:
            conv.activation, norm.fused = None, False
    model.train(was_training)
    return len(pairs)


def _learns(model: nn.Module, example: Tensor) -> bool:
    """Return whether a backward pass finds everything it needs, with the statistics of evaluation and the dropout of training."""
    for layer in model.modules():
        if isinstance(layer, _DropoutNd):
            layer.train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        with torch.enable_grad():
            features = head_inputs(model, example)
            # A head that is trained alone needs nothing of what is before it.
            if features.requires_grad:
                torch.autograd.grad(features.sum(), learned, allow_unused=True)
    except RuntimeError as error:
        if "inplace operation" not in str(error):
            raise
        return False
    return True


def _fold(model: nn.Module, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, type[nn.Module]]]:
    """Fold pairs of a convolution and its norm; return each layer that was changed, with the class it had."""
    updates = {id(layer.base_layer): list(layer.lora_B.values()) for _, layer in updated_layers(model)}
    changed: list[tuple[Any, type[nn.Module]]] = []
    for conv, norm in pairs:
        folded = FoldedConv2dSame if isinstance(conv, Conv2dSame | FastConv2dSame) else FoldedConv2d
        low_rank = updates.get(id(conv), [])
        layers: list[tuple[Any, Any]] = [(conv, folded), *((update, FoldedUpdate) for update in low_rank)]
        # An update's output is added before the activation.
        activation = None if low_rank else activation_of(norm)
        for layer, kind in layers:
            changed.append((layer, type(layer)))
            layer.norm, layer.activation = [norm], activation
            layer.__class__ = kind
        changed.append((norm, type(norm)))
        norm.fused = activation is not None
        norm.__class__ = FoldedNorm
    return changed


def head_inputs(model: nn.Module, example: Tensor) -> Tensor:
    """Return the input of the last layer as float [N]. The logits would not do: a head of zeros gives zeros for any input."""
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


def conv_norm_pairs(model: nn.Module, example: Tensor, micro_batch: int | None = None) -> list[tuple[Any, Any]]:
    """Return the plain convolutions, each with the BatchNorm that reads its output; both are used once.

    Args:
        model: in evaluation mode.
        example: float32 [B, 3, H, W], images to watch a forward pass with.
        micro_batch: leave out convolutions with more weights than activations for so many images; None for all.
    """
    # The tensor is kept, so that no other gets its id.
    made: dict[int, tuple[_ConvNd, Tensor]] = {}
    calls: dict[nn.Module, int] = {}
    pairs: list[tuple[Any, Any]] = []

    def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Note a convolution's output, or pair a BatchNorm with the convolution that made its input."""
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, _ConvNd):
            made[id(output)] = (module, output)
        elif id(module) in updated:
            # The sum of a convolution and its update, as one.
            made[id(output)] = (updated[id(module)], output)
        elif id(inputs[0]) in made:
            conv = made[id(inputs[0])][0]
            activations = inputs[0][0].numel()  # of one image, [K, H, W]
            if micro_batch is None or conv.weight.numel() < activations * micro_batch:
                pairs.append((conv, module))

    updated = {id(layer): layer.base_layer for _, layer in updated_layers(model) if isinstance(layer.base_layer, _ConvNd)}
    watched = [module for module in model.modules() if isinstance(module, _ConvNd | _BatchNorm) or id(module) in updated]
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
