"""Fold frozen BatchNorm into the convolution before it while a model trains.

With frozen statistics, BatchNorm is an affine map of each channel: y = scale * x + shift. One convolution with the weights
scale * W and the bias shift computes both layers (as for inference in Jacob et al. 2018, section 3.2), which saves a pass
over the activations in each direction. Each forward pass computes scale * W from the current parameters, so gradients and
suitable learning rates are the same as for the separate layers. No tensor is renamed or changed: checkpoints and exported
models have timm's own tensors. Convolutions with more weights than activations, such as the last ones of a ResNet, are not
folded: the product would cost more than the pass it saves.

A convolution W with a low-rank update (`lora.py`) computes W x + B A x. To fold it, B is scaled like W, but has no shift.
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

# Largest difference of features that counts as rounding, as a fraction of the largest feature.
TOLERANCE = 1e-2
# Images of a micro-batch. A convolution is folded if it has fewer weights than activations for this many images.
MICRO_BATCH = 16


class FoldedConv2d(FastConv2d):
    """A convolution and the frozen BatchNorm after it. `fold_batchnorm` turns layers into this class; it is never constructed."""

    # In a list, so that the norm is not registered as a submodule of the convolution; a deep copy still copies it.
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
    """A `FoldedConv2d` for timm's convolution with TensorFlow's padding."""


class FoldedUpdate(FastConv2d):
    """The second matrix of a folded convolution's low-rank update: a 1x1 convolution, which is never constructed either."""

    norm: list[Any]

    def forward(self, input: Tensor) -> Tensor:
        """Convolve and scale: float [B, rank, H, W] to [B, K, H, W]."""
        norm = self.norm[0]
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # [K]
        return self.convolve(input, self.weight * scale.view(-1, 1, 1, 1), None)  # [K, rank, 1, 1]


class FoldedNorm(nn.Module):
    """The rest of a folded BatchNorm: the dropout and activation of timm's norm. `fold_batchnorm` turns layers into it."""

    act: Any
    drop: Any
    # Set if the convolution applies the activation.
    fused: bool = False

    def forward(self, images: Tensor) -> Tensor:
        """Apply the dropout and activation of timm's norm, if it has them: float [B, K, H, W] to the same shape."""
        return self.act(self.drop(images)) if hasattr(self, "act") and not self.fused else images


def fold_batchnorm(model: nn.Module, norms: list[nn.Module], example: Tensor) -> int:
    """Fold frozen BatchNorm layers into the convolutions before them, where nothing else reads the convolution's output.

    Args:
        model: changed in place, except for its parameters and buffers.
        norms: the layers whose statistics are frozen.
        example: images float32 [B, 3, H, W], whose features are compared before and after.

    Returns:
        The number of folded layers; 0 if folding would change the features, or if they are not finite.
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
        # Another layer reads a convolution's output too, or the weights are not finite, which `fast_conv` might hide.
        for layer, kind in changed:
            layer.__class__ = kind
            for name in ("norm", "activation", "fused"):
                layer.__dict__.pop(name, None)
        pairs = []
    elif not _learns(model, example):
        # Another layer overwrites an activation's output, which the backward pass now needs.
        for conv, norm in pairs:
            conv.activation, norm.fused = None, False
    model.train(was_training)
    return len(pairs)


def _learns(model: nn.Module, example: Tensor) -> bool:
    """Return whether a backward pass works, with BatchNorm in evaluation mode and dropout in training mode."""
    for layer in model.modules():
        if isinstance(layer, _DropoutNd):
            layer.train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        with torch.enable_grad():
            features = head_inputs(model, example)
            # If only the head is trained, the layers before it have no backward pass.
            if features.requires_grad:
                torch.autograd.grad(features.sum(), learned, allow_unused=True)
    except RuntimeError as error:
        if "inplace operation" not in str(error):
            raise
        return False
    return True


def _fold(model: nn.Module, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, type[nn.Module]]]:
    """Fold pairs of a convolution and its norm; return each changed layer with its original class."""
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
    """Return the last layer's input, flat: float [N]. Logits would tell nothing: a head of zeros gives zeros for any input."""
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
    """Return pairs of a plain convolution and the BatchNorm that reads its output, if both are called exactly once.

    Args:
        model: in evaluation mode.
        example: images for a trial forward pass, float32 [B, 3, H, W].
        micro_batch: keep only convolutions with fewer weights than activations for this many images; None keeps all.
    """
    # The tensor is kept alive, so that no other tensor gets its id.
    made: dict[int, tuple[_ConvNd, Tensor]] = {}
    calls: dict[nn.Module, int] = {}
    pairs: list[tuple[Any, Any]] = []

    def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Record a convolution's output, or pair a BatchNorm with the convolution that made its input."""
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, _ConvNd):
            made[id(output)] = (module, output)
        elif id(module) in updated:
            # The sum of a convolution and its update counts as one output.
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
