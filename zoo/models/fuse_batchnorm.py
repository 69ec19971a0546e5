"""Fuse BatchNorm, with its ReLU, permanently into the convolution before it, in a copy of a model that is used for prediction.

The computation is that of `fold_batchnorm`, but the weights are multiplied only once: the copy has fewer layers and
different tensors, and is never trained or saved as timm's model.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from zoo.models.fast_conv import FAST, activation_of
from zoo.models.fold_batchnorm import FoldedNorm, conv_norm_pairs, head_inputs

# Largest difference of features that counts as rounding, as a fraction of the largest feature.
TOLERANCE = 1e-3


@torch.no_grad()
def fused_copy(model: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy of a model with BatchNorm fused into convolutions, or a plain copy if that would change its features.

    Args:
        model: in evaluation mode; unchanged.
        example: images float32 [B, 3, H, W] on the model's device, whose features are compared before and after.
    """
    fused = copy.deepcopy(model)
    before = head_inputs(fused, example)
    for conv, norm in conv_norm_pairs(fused, example):
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        conv.weight, conv.bias = weight, bias
        norm.__class__ = FoldedNorm
        activation = activation_of(norm)
        if activation is not None and conv.weight.device.type == "cpu":
            conv.__class__, conv.activation, norm.fused = FAST.get(type(conv), type(conv)), activation, True
    difference = float((head_inputs(fused, example) - before).abs().max())
    # A larger difference: another layer reads a convolution's output too, or the features are not finite.
    return fused if difference <= TOLERANCE * float(before.abs().max()) else copy.deepcopy(model)
