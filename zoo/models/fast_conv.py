"""Compute convolutions, and some of their gradients, faster than PyTorch's own layers do on a CPU.

Measured on 2 cores of an AMD EPYC (Zen 3), float32, channels_last, batches of 16:

- The weight gradient of a depthwise convolution with a kernel of 5 or 7 on a small map, or with a kernel larger than the
  map: oneDNN (PyTorch's library) has no fast code for these and takes 9.4 ms for 1,152 channels of 3 x 3 pixels and a
  kernel of 5, over fifty times the forward pass. The gradient is itself a depthwise convolution, of each image's channel
  with the gradient of its output (0.8 ms), summed over the batch.
- The gradient of a folded BatchNorm's shift, which is a bias, is a plain sum. oneDNN takes longer for it than `sum`.
- An activation that works in place first copies its input for autograd: a ReLU6 over 96 channels of 48 x 48 pixels takes
  8.0 ms forward and backward with the copy, 6.0 without.

Measured on 2 cores of an Intel Xeon with AMX, otherwise the same, forward and backward:

- Depthwise convolutions in bfloat16: oneDNN has no fast image gradient with a stride (96 channels of 48 x 48 pixels, stride 2:
  23.3 ms, here 7.4), and no fast weight gradient with a kernel of 5 (240 channels of 12 x 12 pixels: 15.4 ms, here 3.6). This
  made bfloat16 slower than float32: EfficientNet-Lite0 took 314 ms, here 126 (float32: 199 ms, here 158).
- A ReLU6 within oneDNN's kernel saves a pass over the activations and stores one tensor less.
- A sum over large maps is faster if each image is summed first.

`python benchmarks/gradients.py` times the layers of any backbone both ways.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, cast

import torch
from timm.layers import Conv2dSame, pad_same
from torch import Tensor, nn

Pair = tuple[int, int]
# Largest map, in pixels a side, for which `_weight_gradient` was always faster than oneDNN, ...
SMALL_MAP = 7
# ... given a kernel of at least this size, in pixels a side.
LARGE_KERNEL = 5
# Smallest map, in pixels, that is summed per image first.
LARGE_MAP = 144
# Largest map, in pixels, for which the weight gradient of a 1x1 convolution in bfloat16 is faster as a matrix product.
PRODUCT_MAP = 144
# Dtypes that the backward pass of `_Convolution` supports.
DTYPES = (torch.float32, torch.bfloat16)
# Activations that clamp their input, with their minimum and maximum. Their gradient is a function of their output.
ACTIVATIONS: dict[type[nn.Module], tuple[float, float]] = {nn.ReLU: (0.0, math.inf), nn.ReLU6: (0.0, 6.0)}


class Geometry(NamedTuple):
    """The geometry of a convolution, in the order of PyTorch's own arguments; pairs are for rows and columns, in pixels.

    Attributes:
        stride: distance between two positions of the kernel.
        padding: zeros on each side.
        dilation: distance between the kernel's rows and columns.
        groups: number of channel groups that are convolved separately.
    """

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


def conv2d(
    images: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, activation: type[nn.Module] | None = None
) -> Tensor:
    """Convolve as `torch.nn.functional.conv2d` does, with faster gradients where there are any.

    Args:
        images: float [B, C, H, W].
        weight: float [K, C / groups, h, w].
        bias: float [K], or None.
        geometry: stride, padding, dilation and groups.
        activation: one of `ACTIVATIONS`, applied to the output; None for no activation.

    Returns:
        float [B, K, H', W'].
    """
    # torch.compile generates its own kernels.
    if images.device.type != "cpu" or torch.compiler.is_compiling():
        return _activated(nn.functional.conv2d(images, weight, bias, *geometry), activation)
    if torch.is_autocast_enabled("cpu") and images.dtype != torch.float64:
        dtype = torch.get_autocast_dtype("cpu")
        images, weight, bias = images.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    if not torch.is_grad_enabled():
        return _convolved(images, weight, bias, geometry, activation)
    learns_bias = bias is not None and bias.requires_grad
    learns = weight.requires_grad or images.requires_grad
    own = learns and (images.dtype == torch.bfloat16 or _pays(images, weight, geometry))
    if images.dtype in DTYPES and (own or learns_bias or activation):
        return _Convolution.apply(images, weight, bias, geometry, activation)
    return _activated(nn.functional.conv2d(images, weight, bias, *geometry), activation)


def _activated(outputs: Tensor, activation: type[nn.Module] | None) -> Tensor:
    """Apply an activation with PyTorch's own operation: float [B, K, H, W] to the same shape."""
    return nn.functional.hardtanh(outputs, *ACTIVATIONS[activation]) if activation else outputs


def _convolved(
    images: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, activation: type[nn.Module] | None
) -> Tensor:
    """Convolve and apply the activation, in one kernel if oneDNN has it; nothing is saved for a backward pass.

    That kernel turns NaN into the activation's minimum, so the loss may be finite although weights are not. Weights are
    therefore checked when they are loaded or saved, and a step with a gradient that is not finite does not change them.
    """
    if activation is None or not images.numel() or not _fuses(images.dtype):
        return _activated(nn.functional.conv2d(images, weight, bias, *geometry), activation)
    fused = torch.ops.mkldnn._convolution_pointwise
    stride, padding, dilation, groups = geometry
    return fused(images, weight, bias, padding, stride, dilation, groups, "hardtanh", ACTIVATIONS[activation], "")


@functools.cache
def _fuses(dtype: torch.dtype) -> bool:
    """Return whether PyTorch and the CPU support the fused convolution and activation, which torch.compile also uses."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _depthwise(images: Tensor, weight: Tensor, groups: int) -> bool:
    """Return whether a convolution has one kernel per channel."""
    return groups == images.shape[1] == weight.shape[0]


def _pays(images: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Return whether `_weight_gradient` is faster than PyTorch's weight gradient."""
    if not (weight.requires_grad and _depthwise(images, weight, geometry.groups)) or geometry.dilation != (1, 1):
        return False
    kernel = weight.shape[2:]
    sides = [  # H', W'
        (side + 2 * pad - size) // step + 1
        for side, pad, size, step in zip(images.shape[2:], geometry.padding, kernel, geometry.stride, strict=True)
    ]
    small = max(sides) <= SMALL_MAP or images.dtype == torch.bfloat16
    return (min(kernel) >= LARGE_KERNEL and small) or min(kernel) > max(sides)


class _Convolution(torch.autograd.Function):
    """A convolution and its activation, with a custom backward pass."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        """Convolve, with the arguments of `conv2d`."""
        images, weight, _bias, ctx.geometry, ctx.activation = arguments
        output = _convolved(*arguments)
        # Saving the output takes no extra memory, because the next layer saves it too.
        ctx.save_for_backward(images, weight, *([output] if ctx.activation else []))
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Return the gradients of the images, the weight and the bias, and None for the other two arguments of `conv2d`."""
        (gradient,) = gradients  # [B, K, H', W']
        images, weight, *outputs = ctx.saved_tensors  # [B, C, H, W], [K, C / groups, h, w]
        wants_images, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        if ctx.activation:
            gradient = torch.ops.aten.hardtanh_backward(gradient, *outputs, *ACTIVATIONS[ctx.activation])
        of_images = of_weight = None
        if images.dtype == torch.bfloat16:
            of_images, of_weight = _in_bf16(gradient, images, weight, ctx.geometry, (wants_images, wants_weight))
        elif wants_weight and _pays(images, weight, ctx.geometry):
            of_weight = _weight_gradient(images, weight, gradient, ctx.geometry)
        left = (wants_images and of_images is None, wants_weight and of_weight is None)
        if any(left):
            found = _gradients(gradient, images, weight, ctx.geometry, left)
            of_images, of_weight = found[0] if left[0] else of_images, found[1] if left[1] else of_weight
        of_bias = _channel_sums(gradient) if wants_bias else None
        return of_images, of_weight, of_bias, None, None


def _gradients(gradient: Tensor, images: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, bool]) -> Any:
    """Return PyTorch's own gradients of the images and the weight; None for a gradient that is not wanted."""
    stride, padding, dilation, groups = geometry
    return torch.ops.aten.convolution_backward(
        gradient, images, weight, None, stride, padding, dilation, False, (0, 0), groups, (*wanted, False)
    )


def _in_bf16(
    gradient: Tensor, images: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the wanted gradients of the images and the weight that are slow in oneDNN with bfloat16, and None for the others."""
    of_images = of_weight = None
    if _pointwise(gradient, images, weight, geometry):
        # [B, K, H, W] and [B, C, H, W] in channels_last memory are matrices [B * H * W, K] and [B * H * W, C].
        pixels, values = (tensor.permute(0, 2, 3, 1).flatten(0, 2) for tensor in (gradient, images))
        if wanted[0]:
            of_images = (pixels @ weight.flatten(1)).view(images.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
        if wanted[1] and math.prod(images.shape[2:]) <= PRODUCT_MAP:
            of_weight = (pixels.T @ values).view(weight.shape)
    if wanted[0] and max(geometry.stride) > 1 and _depthwise(images, weight, geometry.groups):
        # Only the shape of the images matters here.
        unread = torch.empty_like(images, dtype=torch.float32)
        of_images = _gradients(gradient.float(), unread, weight.float(), geometry, (True, False))[0].bfloat16()
    if wanted[1] and _pays(images, weight, geometry):
        of_weight = _weight_gradient(images, weight, gradient, geometry)
    return of_images, of_weight


def _pointwise(gradient: Tensor, images: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Return whether a convolution is a matrix product of the pixels' channels with the weight."""
    plain = geometry == ((1, 1), (0, 0), (1, 1), 1) and tuple(weight.shape[2:]) == (1, 1)
    return plain and all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (gradient, images))


def _channel_sums(gradient: Tensor) -> Tensor:
    """Return the sum of each channel: [B, K, H, W] to [K]."""
    if math.prod(gradient.shape[2:]) < LARGE_MAP:
        return gradient.sum((0, 2, 3))
    return gradient.sum((2, 3)).sum(0)


def _weight_gradient(images: Tensor, weight: Tensor, gradient: Tensor, geometry: Geometry) -> Tensor:
    """Return the gradient of a depthwise convolution's weight.

    Each channel of each image is convolved with the gradient of its output. The stride becomes the dilation.

    Args:
        images: float [B, C, H, W].
        weight: float [C, 1, h, w].
        gradient: of the output, float [B, C, H', W'].
        geometry: of the convolution.

    Returns:
        float [C, 1, h, w].
    """
    batch, channels, *sides = images.shape
    # [B, C, H, W] -> [1, B * C, H, W], in channels_last memory.
    flat = images.permute(2, 3, 0, 1).reshape(1, *sides, batch * channels).permute(0, 3, 1, 2)
    kernels = gradient.reshape(batch * channels, 1, *gradient.shape[2:])  # [B * C, 1, H', W']
    # [1, B * C, >= h, >= w]
    found = nn.functional.conv2d(flat, kernels, None, 1, geometry.padding, geometry.stride, batch * channels)
    high, wide = weight.shape[2:]
    # If the stride does not divide the map, there are rows and columns left that no output used.
    # [1, B * C, h, w] -> [B, C, h, w] -> [C, 1, h, w]
    return found[..., :high, :wide].reshape(batch, channels, high, wide).sum(0).unsqueeze(1)


# Activations whose gradient needs their input. ReLU's gradient needs only the output, so it can overwrite its input.
INPLACE_COPIES_INPUT = (nn.Hardtanh, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Mish)


class FastConv2d(nn.Conv2d):
    """A convolution with faster gradients. `use_fast_convs` turns layers into this class; it is never constructed."""

    # The activation, one of `ACTIVATIONS`, that is fused into the convolution; None for no activation.
    activation: type[nn.Module] | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Convolve, and apply the activation: float [B, C, H, W] to [B, K, H', W']."""
        return self.convolve(input, self.weight, self.bias)

    def convolve(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with the given weights and activate: [B, C, H, W] with [K, C / groups, h, w] to [B, K, H', W']."""
        stride, padding, dilation = cast("tuple[Pair, Pair, Pair]", (self.stride, self.padding, self.dilation))
        return conv2d(images, weight, bias, Geometry(stride, padding, dilation, self.groups), self.activation)


class FastConv2dSame(FastConv2d):
    """A `FastConv2d` for timm's convolution with TensorFlow's padding."""

    def convolve(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Pad the images and convolve them with the given weights."""
        padded = pad_same(images, list(weight.shape[-2:]), list(self.stride), list(self.dilation))
        stride, dilation = cast("tuple[Pair, Pair]", (self.stride, self.dilation))
        return conv2d(padded, weight, bias, Geometry(stride, (0, 0), dilation, self.groups), self.activation)


# Other subclasses, such as weight-standardized convolutions, compute their weights and are left as they are.
FAST: dict[type[nn.Module], type[FastConv2d]] = {nn.Conv2d: FastConv2d, Conv2dSame: FastConv2dSame}


def activation_of(norm: Any) -> type[nn.Module] | None:
    """Return the activation of a timm norm if a convolution can apply it; None if it cannot, or if dropout comes first."""
    kind = type(getattr(norm, "act", None))
    return kind if kind in ACTIVATIONS and isinstance(norm.drop, nn.Identity) else None


def replaceable(layer: nn.Module) -> bool:
    """Return whether a layer is a plain convolution that pads with a given number of zeros."""
    plain = type(layer) in FAST or type(layer) in FAST.values()
    return plain and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def use_fast_convs(model: nn.Module) -> int:
    """Make a model train faster on a CPU; no tensor is changed or renamed, and results differ only by rounding.

    Depthwise and 1x1 convolutions get the faster gradients. Activations that would overwrite their input return a new tensor
    instead, because autograd would copy that input first.

    Returns:
        The number of convolutions that were changed.
    """
    for layer in model.modules():
        if isinstance(layer, INPLACE_COPIES_INPUT):
            layer.inplace = False
    layers: list[Any] = [layer for layer in model.modules() if type(layer) in FAST and replaceable(layer)]
    depthwise = [layer for layer in layers if layer.groups == layer.in_channels == layer.out_channels > 1]
    pointwise = [layer for layer in layers if layer.groups == 1 and tuple(layer.kernel_size) == (1, 1)]
    for layer in (*depthwise, *pointwise):
        layer.__class__ = FAST[type(layer)]
    return len(depthwise) + len(pointwise)
