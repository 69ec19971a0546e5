"""Count multiply-adds and activations of a forward pass like fvcore, which timm's published costs were computed with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten
# Operators whose output values count as activations.
COUNTED = (aten.convolution, aten.addmm, aten.mm, aten.bmm, aten.baddbmm)


def _normalization(operations: int) -> Callable[..., int]:
    """Return a formula for torch's counter, which has none for normalizations: `operations` multiply-adds for each value."""

    def count(shape: Any, *_rest: Any, **_more: Any) -> int:
        return 2 * operations * math.prod(shape)

    return count


FORMULAS = {
    # BatchNorm with fixed statistics (on any device, and on a CPU), and with batch statistics.
    aten._native_batch_norm_legit_no_training: _normalization(2),
    aten.native_batch_norm: _normalization(2),
    aten._native_batch_norm_legit: _normalization(5),
    aten.native_layer_norm: _normalization(5),
    aten.native_group_norm: _normalization(5),
}


class _Activations(TorchDispatchMode):
    """A counter of the values that convolutions and matrix products return."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in COUNTED:
            self.total += result.numel()
        return result


def count_costs(model: nn.Module, image: Tensor) -> tuple[float, float]:
    """Return the multiply-adds of one image's forward pass in billions, and its activations in millions.

    Attention is counted as its separate matrix products, because torch's counter does not know the fused kernel for CPUs.

    Args:
        model: in evaluation mode. On the meta device, its parameters must not require gradients, or the counter's hooks fail.
        image: float32 [1, 3, H, W] on the model's device.
    """
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _Activations() as outputs, counter:
        model(image)
    # torch counts a multiply-add as two operations.
    return counter.get_total_flops() / 2e9, outputs.total / 1e6
