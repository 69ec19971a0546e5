"""Compute some gradients of convolutions faster than PyTorch's own backward pass does on a CPU.

Measured on 2 cores of an AMD EPYC (Zen 3), float32, channels_last, batches of 16:

- The weight gradient of a depthwise convolution with a kernel of 5 or 7 on a small map, or with a kernel larger than the
  map: oneDNN (PyTorch's library) has no fast kernel for those and takes 9.4 ms for 1,152 channels of 3 x 3 pixels and a
  kernel of 5, over fifty times the forward pass. The gradient is itself a depthwise convolution, of each image's channel
  with the gradient of its output (0.8 ms), summed over the batch.
- The gradient of a folded BatchNorm's shift, which is a bias, is a plain sum, and oneDNN takes longer for it.
- An activation that works in place first copies its input for autograd: a ReLU6 over 96 channels of 48 x 48 pixels takes
  8.0 ms forward and backward with the copy, 6.0 without.

`python benchmarks/training.py gradients` times the layers of any backbone both ways.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Conv2dSame, pad_same
from torch import Tensor, nn

Pair = tuple[int, int]
# The own weight gradient was always faster up to this map, in pixels a side, ...
SMALL_MAP = 7
# ... from this kernel on, in pixels a side.
LARGE_KERNEL = 5


def conv2d(
    images: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Tensor:
    """Convolve as `torch.nn.functional.conv2d` does, with the faster gradients where there are any.

    Args:
        images: float [B, C, H, W].
        weight: float [K, C / groups, h, w].
        bias: float [K], or None.
        stride: of rows and columns, in pixels, as are `padding` and `dilation`.
        padding: zeros on each side.
        dilation: distance of the kernel's rows and columns.
        groups: groups of channels that are convolved apart.

    Returns:
        float [B, K, H', W'].
    """
    arguments = (images, weight, bias, stride, padding, dilation, groups)
    plain = images.device.type != "cpu" or torch.is_autocast_enabled("cpu") or not torch.is_grad_enabled()
    # A compiler makes its own kernels.
    if plain or torch.compiler.is_compiling() or images.dtype != torch.float32:
        return nn.functional.conv2d(*arguments)
    learns_bias = bias is not None and bias.requires_grad
    if learns_bias or (weight.requires_grad and _pays(images, weight, stride, padding, dilation, groups)):
        return _Convolution.apply(*arguments)
    return nn.functional.conv2d(*arguments)


def _pays(images: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> bool:
    """Return whether the weight gradient is faster as a convolution of its own."""
    if not groups == images.shape[1] == weight.shape[0] or dilation != (1, 1):
        return False
    kernel = weight.shape[2:]
    sides = [  # H', W'
        (side + 2 * pad - size) // step + 1
        for side, pad, size, step in zip(images.shape[2:], padding, kernel, stride, strict=True)
    ]
    return (min(kernel) >= LARGE_KERNEL and max(sides) <= SMALL_MAP) or min(kernel) > max(sides)


class _Convolution(torch.autograd.Function):
    """A convolution with its own backward pass."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        """Convolve, with the arguments of `conv2d`."""
        images, weight, _bias, *shape = arguments
        ctx.save_for_backward(images, weight)
        ctx.shape = shape
        return nn.functional.conv2d(*arguments)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Return a gradient for each argument of `conv2d`: of the images, the weight and the bias, and four times None."""
        (gradient,) = gradients  # [B, K, H', W']
        images, weight = ctx.saved_tensors  # [B, C, H, W], [K, C / groups, h, w]
        stride, padding, dilation, groups = ctx.shape
        wants_images, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        own = wants_weight and _pays(images, weight, *ctx.shape)
        of_images = of_weight = None
        mask = [wants_images, wants_weight and not own, False]
        if any(mask):
            of_images, of_weight, _ = torch.ops.aten.convolution_backward(
                gradient, images, weight, None, stride, padding, dilation, False, (0, 0), groups, mask
            )
        if own:
            of_weight = _weight_gradient(images, weight, gradient, stride, padding)
        of_bias = gradient.sum((0, 2, 3)) if wants_bias else None  # [K]
        return of_images, of_weight, of_bias, None, None, None, None


def _weight_gradient(images: Tensor, weight: Tensor, gradient: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Return the gradient of a depthwise convolution's weight.

    Each image's channel is convolved with the gradient of its output, which the stride spreads out as a dilation.

    Args:
        images: float [B, C, H, W].
        weight: float [C, 1, h, w].
        gradient: of the output, float [B, C, H', W'].
        stride: of the convolution.
        padding: of the convolution.

    Returns:
        float [C, 1, h, w].
    """
    batch, channels, *sides = images.shape
    # [B, C, H, W] -> [1, B * C, H, W], in channels_last memory.
    flat = images.permute(2, 3, 0, 1).reshape(1, *sides, batch * channels).permute(0, 3, 1, 2)
    kernels = gradient.reshape(batch * channels, 1, *gradient.shape[2:])  # [B * C, 1, H', W']
    found = nn.functional.conv2d(flat, kernels, None, 1, padding, stride, batch * channels)  # [1, B * C, >= h, >= w]
    high, wide = weight.shape[2:]
    # A stride that does not divide the map leaves rows that no output saw.
    # [1, B * C, h, w] -> [B, C, h, w] -> [C, 1, h, w]
    return found[..., :high, :wide].reshape(batch, channels, high, wide).sum(0).unsqueeze(1)


# Activations whose gradient is a function of their input. ReLU's is a function of its output, which may replace the input.
INPLACE_COPIES_INPUT = (nn.Hardtanh, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Mish)


class FastConv2d(nn.Conv2d):
    """A convolution with the faster gradients. `use_fast_convs` turns layers into it; it is never constructed."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve: float [B, C, H, W] to [B, K, H', W']."""
        return self.convolve(input, self.weight, self.bias)

    def convolve(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with the given weights: [B, C, H, W] with [K, C / groups, h, w] to [B, K, H', W']."""
        return conv2d(images, weight, bias, self.stride, self.padding, self.dilation, self.groups)  # type: ignore[arg-type]


class FastConv2dSame(FastConv2d):
    """A `FastConv2d` of timm's convolution with TensorFlow's padding."""

    def convolve(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Pad the images and convolve them with the given weights."""
        padded = pad_same(images, list(weight.shape[-2:]), list(self.stride), list(self.dilation))
        return conv2d(padded, weight, bias, self.stride, (0, 0), self.dilation, self.groups)  # type: ignore[arg-type]


# Other subclasses, such as weight-standardized convolutions, compute their weights and are left as they are.
FAST: dict[type[nn.Module], type[FastConv2d]] = {nn.Conv2d: FastConv2d, Conv2dSame: FastConv2dSame}


def replaceable(layer: nn.Module) -> bool:
    """Return whether a layer is a plain convolution that pads with a number of zeros."""
    plain = type(layer) in FAST or type(layer) in FAST.values()
    return plain and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def use_fast_convs(model: nn.Module) -> int:
    """Make a model train faster on a CPU; no tensor is changed or renamed, and results differ by rounding only.

    Depthwise convolutions get the faster gradients. Activations that would overwrite their input return a new tensor,
    as autograd would copy that input first.

    Returns:
        The number of depthwise convolutions.
    """
    for layer in model.modules():
        if isinstance(layer, INPLACE_COPIES_INPUT):
            layer.inplace = False
    layers: list[Any] = [layer for layer in model.modules() if type(layer) in FAST and replaceable(layer)]
    depthwise = [layer for layer in layers if layer.groups == layer.in_channels == layer.out_channels > 1]
    for layer in depthwise:
        layer.__class__ = FAST[type(layer)]
    return len(depthwise)
