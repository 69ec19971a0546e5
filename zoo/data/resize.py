"""Crop, flip and resize a whole batch, with a separate box for each image.

An image is resized by two products with small matrices, one for the rows and one for the columns. The crop box and the flip
are part of the matrices, so that two calls resize a batch of images from 32 px to 224 px. The kernels are Pillow's
(`Resample.c`), which are widened by the scale when an image gets smaller.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.system.device import exact_products, memory_format

# Largest scale, in sides of the result, to which a whole image is resized before its box is cut out. An image of 2,000 x 1
# pixels would take gigabytes: beyond this, its box is rounded to whole stored pixels.
LARGEST = 64
# Half width of each kernel, in source pixels.
SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}


def _kernel(x: Tensor, name: str) -> Tensor:
    """Return the value of a kernel at distances x >= 0, of any shape."""
    if name == "bilinear":
        return (1 - x).clamp(min=0)
    if name == "lanczos":
        return torch.where(x < 3, torch.sinc(x) * torch.sinc(x / 3), 0)
    a = -0.5  # Pillow's bicubic; torch's own uses -0.75
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))


def resize_matrices(start: Tensor, stop: Tensor, source: int, target: int, kernel: str) -> Tensor:
    """Return the resampling matrices of one axis.

    Args:
        start, stop: float [B], where the crop begins and ends, from 0 to 1; swapped ends mirror the image.
            Beyond 0 and 1 the image is reflected at its edge (the edge pixel is not repeated).
        source, target: side in pixels before and after.
        kernel: bilinear, bicubic or lanczos.

    Returns:
        float32 [B, target, source]; every row adds up to one.
    """
    device = start.device
    begin, span = (start * source).unsqueeze(1), ((stop - start) * source / target).unsqueeze(1)  # [B, 1] each
    scale = span.abs().clamp(min=1)  # [B, 1]
    center = begin + (torch.arange(target, device=device) + 0.5) * span  # [B, target]
    # Only the pixels under the filter are computed: the rest of a row is zeros. No crop is wider than the image.
    radius = SUPPORT[kernel] * scale
    # As many taps as for the whole image, the most that any crop needs: a constant, so that the CPU does not wait for a GPU.
    taps = torch.arange(2 * math.ceil(SUPPORT[kernel] * max(1.0, source / target)) + 1, device=device)
    index = torch.floor(center - radius).long().unsqueeze(2) + taps  # [B, target, taps]
    values = _kernel((index + 0.5 - center.unsqueeze(2)).abs() / scale.unsqueeze(2), kernel)  # [B, target, taps]
    # How far each crop reaches beyond an edge. Its filter is cut there, so that it does not depend on other crops of the batch.
    low, high = torch.minimum(start, stop) * source, torch.maximum(start, stop) * source
    reach = torch.maximum(-low, high - source).clamp(0, source - 1).ceil().long().view(-1, 1, 1)  # [B, 1, 1]
    values = values.masked_fill_((index < -reach) | (index >= source + reach), 0)
    mirrored = (source - 1 - (source - 1 - index.abs()).abs()).clamp(0, source - 1)  # [B, target, taps]
    matrix = torch.zeros(len(start), target, source, dtype=values.dtype, device=device)
    return matrix.scatter_add_(2, mirrored, values / values.sum(2, keepdim=True))


def bounded_matrices(start: Tensor, stop: Tensor, source: int, target: int, kernel: str) -> Tensor:
    """Return the resampling matrices of one axis, for crops that may be wider than the image, without reflection at its edges.

    Arguments and result are as for `resize_matrices`, except that the rows of pixels beyond 0 and 1 are zeros.
    """
    begin, span = (start * source).unsqueeze(1), ((stop - start) * source / target).unsqueeze(1)  # [B, 1] each
    center = begin + (torch.arange(target, device=start.device) + 0.5) * span  # [B, target]
    # All pixels of the image: the number under the filter depends on the widest crop, and a CPU would wait for a GPU's answer.
    index = torch.arange(source, device=start.device) + 0.5
    values = _kernel((index - center.unsqueeze(2)).abs() / span.abs().clamp(min=1).unsqueeze(2), kernel)  # [B, target, source]
    inside = ((center > 0) & (center < source)).unsqueeze(2)
    return torch.where(inside, values / values.sum(2, keepdim=True), 0.0)


@functools.lru_cache(maxsize=64)
def column(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return one value per channel, float32 [1, C, 1, 1]; cached for each device, as a GPU waits for a copy from the CPU."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=torch.float32).view(1, -1, 1, 1)


@dataclass(frozen=True)
class Normalize:
    """Mean and standard deviation of the pixels that a backbone was trained on, as shares of 255; one value per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, images: Tensor) -> Tensor:
        """Convert pixels from 0 to 255 to the backbone's input: [B, C, H, W] to float32 [B, C, H, W]."""
        scale = column(tuple(1 / (255 * std) for std in self.std), images.device)
        shift = column(tuple(-mean / std for mean, std in zip(self.mean, self.std, strict=True)), images.device)
        return torch.addcmul(shift, images.float(), scale)

    @property
    def fill(self) -> tuple[int, ...]:
        """Return the mean color in whole numbers from 0 to 255, which timm uses for the border around an image."""
        return tuple(round(255 * mean) for mean in self.mean)

    def invert(self, images: Tensor) -> Tensor:
        """Convert the backbone's input back to shares of 255: [B, C, H, W] from 0 to 1."""
        return torch.addcmul(column(self.mean, images.device), images, column(self.std, images.device))


# Side in pixels above which a CPU resizes image by image with torch's own kernel. Measured on 2 CPU cores, to 224 px, images/s
# with matrix products and with that kernel: 3,415 and 2,736 from 32 px, 2,530 and 2,760 from 64 px, 449 and 1,994 from 256 px.
# On a GPU the products take little time at any size.
NATIVE_ABOVE = 64
# Bytes of the result that are computed at a time, so that they stay in a CPU core's cache: 4,533 images/s at 224 px, against
# 4,122 in one piece.
CHUNK_BYTES = 4_000_000


def resample(
    images: Tensor,
    boxes: Tensor,
    size: int,
    kernel: str,
    normalize: Normalize,
    *,
    channels_last: bool = False,
    exact: bool = False,
    fill: tuple[int, ...] | None = None,
) -> Tensor:
    """Crop each image to its box, resize it to size x size and normalize it.

    Args:
        images: uint8 [B, C, S, S].
        boxes: float32 [B, 4] as (x0, y0, x1, y1), from 0 to 1; x0 > x1 mirrors, y0 > y1 flips top to bottom.
        size: output side in pixels.
        kernel: bilinear, bicubic or lanczos.
        normalize: the normalization of the pixels.
        channels_last: the memory format of the result.
        exact: keep the box to a fraction of a stored pixel, where the native kernel would round it to whole ones.
        fill: the color beyond the edges of the image, from 0 to 255; None to reflect the image there.

    Returns:
        float32 [B, C, size, size], normalized; no value is outside the range of normalized pixels.
    """
    layout = memory_format(channels_last)
    if images.device.type == "cpu" and images.shape[-1] > NATIVE_ABOVE and kernel != "lanczos":
        return normalize.apply(_native(images, boxes, size, kernel, exact, fill)).contiguous(memory_format=layout)
    out = torch.empty(*images.shape[:2], size, size, device=images.device, memory_format=layout)
    with exact_products(images.device):
        matrices = resize_matrices if fill is None else bounded_matrices
        _products(images, boxes, size, kernel, normalize, out, matrices)
    if fill is None:
        return out
    color = normalize.apply(column(fill, images.device))
    return torch.where(_seen(boxes, size), out, color).contiguous(memory_format=layout)


def _products(
    images: Tensor,
    boxes: Tensor,
    size: int,
    kernel: str,
    normalize: Normalize,
    out: Tensor,
    matrices: Callable[[Tensor, Tensor, int, int, str], Tensor] = resize_matrices,
) -> Tensor:
    """Resize by two products: first the columns, all channels at once, then the rows, directly into `out`.

    The rows of the matrices add up to one, so it is enough to normalize the source, which has fewer pixels than the result.
    """
    count, channels, side, _ = images.shape
    x0, y0, x1, y1 = boxes.unbind(1)
    rows = matrices(y0, y1, side, size, kernel)  # [B, size, S]
    columns = matrices(x0, x1, side, size, kernel).transpose(1, 2)  # [B, S, size]
    interleaved = out.stride(1) == 1  # channels_last
    lines = normalize.apply(images).transpose(1, 2) if interleaved else normalize.apply(images)
    lines = lines.reshape(count, channels * side, side)  # [B, C * S, S], or [B, S * C, S] where interleaved
    limits = [normalize.apply(torch.full((1, channels, 1, 1), edge, device=images.device)) for edge in (0.0, 255.0)]
    if interleaved:
        flat = out.permute(0, 2, 3, 1).view(count, size, size * channels)
        # As long as a line of the result: if three values were repeated, pixels would be clamped one by one.
        limits = [limit.flatten().repeat(size) for limit in limits]
    else:
        flat = out.view(count * channels, size, size)
        limits = [limit.flatten().repeat(count).view(-1, 1, 1) for limit in limits]
        rows = rows.repeat_interleave(channels, dim=0)
    step = count if out.is_cuda else max(1, CHUNK_BYTES // (4 * channels * size * size))
    for first in range(0, count, step):
        part = slice(first, first + step)
        wide = torch.bmm(lines[part], columns[part])  # [b, C * S, size]
        if interleaved:
            wide = wide.view(-1, side, channels, size).transpose(2, 3).reshape(-1, side, size * channels)
            into, bounds = part, limits
        else:
            wide = wide.view(-1, side, size)
            into = slice(first * channels, (first + step) * channels)
            bounds = [limit[into] for limit in limits]
        torch.bmm(rows[into], wide, out=flat[into])
        if kernel != "bilinear":  # bilinear does not overshoot
            torch.clamp(flat[into], *bounds, out=flat[into])
    return out


def _native(images: Tensor, boxes: Tensor, size: int, kernel: str, exact: bool, fill: tuple[int, ...] | None = None) -> Tensor:
    """Resize image by image with torch's uint8 kernel, which reads only the pixels it needs; uint8 [B, C, size, size]."""
    count, channels = images.shape[:2]
    out = torch.empty(count, channels, size, size, dtype=torch.uint8)
    for row, (image, (x0, y0, x1, y1)) in enumerate(zip(images, boxes.tolist(), strict=True)):
        mirrored, (x0, x1) = x0 > x1, sorted((x0, x1))
        upside_down, (y0, y1) = y0 > y1, sorted((y0, y1))
        if fill is not None:
            crop = _bordered(image, (x0, y0, x1, y1), size, kernel, exact, fill)
        elif exact and min(x1 - x0, y1 - y0) * LARGEST >= 1:
            # Resize the whole image to the scale of the box, then cut out the box, as Resize and CenterCrop do.
            wide, high = round(size / (x1 - x0)), round(size / (y1 - y0))
            left, top = round(x0 * wide), round(y0 * high)
            left, top = min(max(left, 0), wide - size), min(max(top, 0), high - size)
            whole = _interpolate(image, (high, wide), kernel)
            crop = whole[:, top : top + size, left : left + size]
        else:
            crop = _interpolate(_cut(_cut(image, y0, y1, 1), x0, x1, 2), (size, size), kernel)
        flipped = [axis for axis, wanted in ((1, upside_down), (2, mirrored)) if wanted]
        out[row] = crop.flip(flipped) if flipped else crop
    return out


def _bordered(
    image: Tensor, box: tuple[float, float, float, float], size: int, kernel: str, exact: bool, fill: tuple[int, ...]
) -> Tensor:
    """Resize the part of an image in a box, uint8 [C, H, W], into a square of the color `fill`, uint8 [C, size, size]."""
    x0, y0, x1, y1 = box
    out = torch.tensor(fill, dtype=torch.uint8).view(-1, 1, 1).repeat(1, size, size)
    if exact:
        # Resize the whole image to the scale of the box, then cut out the part that is in the box.
        wide, high = max(1, round(size / (x1 - x0))), max(1, round(size / (y1 - y0)))
        left, top = round(x0 * wide), round(y0 * high)
        across, down = _overlap(-left, wide - left, size), _overlap(-top, high - top, size)
        whole = _interpolate(image, (high, wide), kernel)
        inside = whole[:, down.start + top : down.stop + top, across.start + left : across.stop + left]
    else:
        across = _overlap(round(-x0 / (x1 - x0) * size), round((1 - x0) / (x1 - x0) * size), size)
        down = _overlap(round(-y0 / (y1 - y0) * size), round((1 - y0) / (y1 - y0) * size), size)
        part = _cut(_cut(image, max(y0, 0.0), min(y1, 1.0), 1), max(x0, 0.0), min(x1, 1.0), 2)
        inside = _interpolate(part, (down.stop - down.start, across.stop - across.start), kernel)
    out[:, down, across] = inside
    return out


def _overlap(start: int, stop: int, size: int) -> slice:
    """Return the pixels from start to stop that are in the range from 0 to `size`; at least one."""
    first = min(max(start, 0), size - 1)
    return slice(first, max(min(stop, size), first + 1))


def _seen(boxes: Tensor, size: int) -> Tensor:
    """Mark the pixels of the result whose center is inside the image: boxes float [B, 4] to bool [B, 1, size, size]."""
    share = (torch.arange(size, device=boxes.device) + 0.5) / size
    x0, y0, x1, y1 = boxes.unsqueeze(2).unbind(1)  # [B, 1] each
    across, down = torch.lerp(x0, x1, share), torch.lerp(y0, y1, share)  # [B, size] each
    across, down = (across > 0) & (across < 1), (down > 0) & (down < 1)
    return (down.unsqueeze(2) & across.unsqueeze(1)).unsqueeze(1)


def _cut(image: Tensor, start: float, stop: float, axis: int) -> Tensor:
    """Cut [C, H, W] along an axis from start to stop (shares of the side, rounded to pixels), reflected beyond the edges."""
    side = image.shape[axis]
    first = round(start * side)
    last = max(round(stop * side), first + 1)
    if first >= 0 and last <= side:
        return image.narrow(axis, first, last - first)
    around = torch.arange(first, last).remainder(2 * side - 2)
    return image.index_select(axis, torch.minimum(around, 2 * side - 2 - around))


def _interpolate(image: Tensor, size: tuple[int, int], kernel: str) -> Tensor:
    """Resize one image: uint8 [C, H, W] to uint8 [C, *size]."""
    batch = image.unsqueeze(0).contiguous(memory_format=torch.channels_last)
    return torch.nn.functional.interpolate(batch, size=size, mode=kernel, antialias=True)[0]
