"""Apply the operations that a policy drew to whole batches, with a separate operation and strength for each image.

The operations are torchvision's on uint8 (`torchvision.transforms.functional`), including rounding. Images are float here, so
that they are not converted between two operations. All operations that move pixels share one bilinear affine resampling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.data.policy import OPERATIONS, Draws
from zoo.data.resize import column

# Luma weights of torchvision (ITU-R 601-2, with one more digit).
LUMA = (0.2989, 0.587, 0.114)
# Indices of the operations that move pixels: these form one group and share one resampling.
MOVES = range(OPERATIONS.index("shear_x"), OPERATIONS.index("rotate") + 1)


@dataclass(frozen=True)
class Turn:
    """One operation for each image of a batch [B], with the images sorted by operation.

    Attributes:
        order: int64 [B], indices of the images, sorted by operation.
        strength: float32 [B], in the same order.
        groups: index of each operation that occurs, and its slice of `order`; all operations that move pixels are one group.
        moves: float32 [n, 2, 3], matrices for the n images of that group: from places in the result to places in the image.
    """

    order: Tensor
    strength: Tensor
    groups: tuple[tuple[int, slice], ...]
    moves: Tensor


@dataclass(frozen=True)
class Turns:
    """All operations of a batch.

    Attributes:
        turns: the operations in order; if chains are mixed, one chain after the other.
        weights: float32 [1 + chains, B], shares of the image and of each chain in the mixture; None if nothing is mixed.
    """

    turns: tuple[Turn, ...]
    weights: Tensor | None

    def tensors(self) -> list[Tensor]:
        """Return all tensors."""
        found = [tensor for turn in self.turns for tensor in (turn.order, turn.strength, turn.moves)]
        return found if self.weights is None else [*found, self.weights]


@dataclass(frozen=True)
class Sorted:
    """The draws of some images, sorted by operation, before they are copied to the device.

    Attributes:
        arrays: the arrays to copy: order, strengths and matrices of each turn, then the weights, if any.
        groups: the groups of each turn.
    """

    arrays: list[np.ndarray]
    groups: list[tuple[tuple[int, slice], ...]]

    def on_device(self, sent: list[Tensor]) -> Turns:
        """Return the operations, given the copies of `arrays` on the device."""
        turns = [Turn(sent[3 * turn], sent[3 * turn + 1], found, sent[3 * turn + 2]) for turn, found in enumerate(self.groups)]
        return Turns(tuple(turns), sent[-1] if len(sent) > 3 * len(turns) else None)


def prepare(draws: Draws | None, rows: np.ndarray) -> Sorted:
    """Sort some images of a global batch by operation.

    Args:
        draws: the draws of the global batch; None for no operations.
        rows: int64 [B], the images as rows of the global batch.
    """
    found = Sorted([], [])
    if draws is None:
        return found
    for operation, strength in zip(draws.operation[:, rows], draws.strength[:, rows], strict=True):
        # All operations that move pixels count as the first of them.
        kind = np.where((operation >= MOVES.start) & (operation < MOVES.stop), MOVES.start, operation)
        order = np.argsort(kind, kind="stable")
        kinds, starts = np.unique(kind[order], return_index=True)
        ends = [*starts[1:], len(rows)]
        groups = [(int(each), slice(int(start), int(end))) for each, start, end in zip(kinds, starts, ends, strict=True)]
        moving = order[next((part for each, part in groups if each == MOVES.start), slice(0, 0))]
        matrices = moves(operation[moving], strength[moving])
        found.arrays.extend((order, strength[order].astype(np.float32), matrices.astype(np.float32)))
        found.groups.append(tuple((each, part) for each, part in groups if each))
    if draws.weights is not None:
        found.arrays.append(draws.weights[:, rows].astype(np.float32))
    return found


def apply(images: Tensor, turns: Turns, fill: tuple[float, ...]) -> Tensor:
    """Apply all operations of a batch.

    Args:
        images: float32 [B, 3, H, W] from 0 to 255, whole numbers.
        turns: the operations.
        fill: the color, 0 to 255, of areas that move in from beyond the edges.

    Returns:
        float32 [B, 3, H, W] from 0 to 255.
    """
    if turns.weights is None:
        return _chain(images, turns.turns, fill)
    depth = len(turns.turns) // (len(turns.weights) - 1)
    shares = turns.weights.view(*turns.weights.shape, 1, 1, 1)  # [1 + chains, B, 1, 1, 1]
    mixed = images * shares[0]
    for chain, share in enumerate(shares[1:]):
        mixed += share * _chain(images, turns.turns[chain * depth : (chain + 1) * depth], fill)
    return mixed


def _chain(images: Tensor, turns: tuple[Turn, ...], fill: tuple[float, ...]) -> Tensor:
    """Apply operations one after the other. See `apply` for the arguments."""
    out = images.clone()
    for turn in turns:
        for operation, part in turn.groups:
            index = turn.order[part]
            some = out.index_select(0, index)
            if operation == MOVES.start:
                done = move(some, turn.moves, fill)
            else:
                done = CHANGES[OPERATIONS[operation]](some, turn.strength[part].view(-1, 1, 1, 1))
            out.index_copy_(0, index, done)
    return out


# ------------------------------------------------------------------------- operations that move pixels


def moves(operation: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Return the matrices of operations that move pixels.

    Args:
        operation: int8 [n].
        strength: float [n]: slopes, shares of the side, or degrees counter-clockwise.

    Returns:
        float64 [n, 2, 3], which map a place (x, y) in the result to the place in the image that it shows; both go from -1 to 1.
    """
    found = np.tile(np.eye(2, 3), (len(operation), 1, 1))
    at = {name: operation == OPERATIONS.index(name) for name in ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")}
    # A shear does not move the upper left corner.
    found[at["shear_x"], 0, 1] = found[at["shear_x"], 0, 2] = strength[at["shear_x"]]
    found[at["shear_y"], 1, 0] = found[at["shear_y"], 1, 2] = strength[at["shear_y"]]
    found[at["translate_x"], 0, 2] = -2 * strength[at["translate_x"]]
    found[at["translate_y"], 1, 2] = -2 * strength[at["translate_y"]]
    angle = np.radians(strength[at["rotate"]])
    cos, sin = np.cos(angle), np.sin(angle)
    found[at["rotate"], :, :2] = np.stack([cos, -sin, sin, cos], axis=1).reshape(-1, 2, 2)
    return found


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Rotate images [B, C, H, W] by angles [B] in degrees counter-clockwise; images are mirrored at their edges."""
    cos, sin, zero = torch.cos(torch.deg2rad(angles)), torch.sin(torch.deg2rad(angles)), torch.zeros_like(angles)
    matrices = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)
    grid = torch.nn.functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def move(images: Tensor, matrices: Tensor, fill: tuple[float, ...]) -> Tensor:
    """Resample images [B, 3, H, W] by matrices [B, 2, 3] of `moves`; areas from beyond an edge get the color `fill`."""
    grid = torch.nn.functional.affine_grid(matrices, list(images.shape), align_corners=False)
    marked = torch.cat([images, torch.ones_like(images[:, :1])], 1)  # [B, 4, H, W]
    moved = torch.nn.functional.grid_sample(marked, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    # At the image's edge, the covered share of a pixel is applied twice (here and by zero padding), as in torchvision.
    return torch.lerp(column(fill, images.device), moved[:, :3], moved[:, 3:]).round_().clamp_(0, 255)


# ----------------------------------------------------------------------- operations that change colors
# Each takes images float32 [B, 3, H, W] from 0 to 255 and strengths [B, 1, 1, 1], and returns images like its input.


def gray(images: Tensor) -> Tensor:
    """Return the luma of images in whole numbers, [B, 1, H, W]."""
    return (images * column(LUMA, images.device)).sum(1, keepdim=True).floor_()


def _blend(other: Tensor, images: Tensor, strength: Tensor) -> Tensor:
    """Return other + (1 + strength) * (images - other), limited to 0 to 255 and rounded down."""
    return torch.lerp(other.expand_as(images), images, 1 + strength).clamp_(0, 255).floor_()


def brightness(images: Tensor, strength: Tensor) -> Tensor:
    """Multiply all pixels by 1 + strength."""
    return (images * (1 + strength)).clamp_(0, 255).floor_()


def color(images: Tensor, strength: Tensor) -> Tensor:
    """Move pixels away from their gray value, or toward it."""
    return _blend(gray(images), images, strength)


def contrast(images: Tensor, strength: Tensor) -> Tensor:
    """Move pixels away from the mean gray value of their image, or toward it."""
    return _blend(gray(images).mean((1, 2, 3), keepdim=True), images, strength)


def sharpness(images: Tensor, strength: Tensor) -> Tensor:
    """Move pixels away from a blurred image, or toward it; pixels at the edge do not change."""
    if min(images.shape[-2:]) <= 2:
        return images
    # The mean of nine pixels, in which the middle one has weight 5: sum over rows, then columns, and add 4 times the middle.
    rows = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    sums = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    blurred = images.clone()
    inner = images[..., 1:-1, 1:-1]
    blurred[..., 1:-1, 1:-1] = torch.add(sums, inner, alpha=4).div_(13).round_()
    return _blend(blurred, images, strength)


def posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Keep the upper `strength` bits of each pixel."""
    step = torch.pow(2.0, 8 - strength)
    return (images / step).floor_().mul_(step)


def solarize(images: Tensor, strength: Tensor) -> Tensor:
    """Invert the pixels that are at least `strength`."""
    return torch.where(images >= strength, 255 - images, images)


def auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel to the range 0 to 255; a channel with a single value does not change."""
    least, most = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = most == least
    scale = torch.where(flat, 1.0, 255 / (most - least).clamp(min=1))
    return ((images - torch.where(flat, 0.0, least)) * scale).clamp_(0, 255).floor_()


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Equalize the histogram of each channel, as Pillow does."""
    flat = images.reshape(images.shape[0] * images.shape[1], -1).long()  # [B * 3, H * W]
    counts = flat.new_zeros(len(flat), 256).scatter_add_(1, flat, torch.ones_like(flat))
    top = counts.gather(1, flat.amax(1, keepdim=True))  # count of the brightest value
    step = (flat.shape[1] - top) // 255  # [B * 3, 1]
    shifted = (counts.cumsum(1) - counts + step // 2) // step.clamp(min=1)
    table = torch.where(step == 0, torch.arange(256, device=flat.device), shifted.clamp_(0, 255))
    return table.gather(1, flat).view(images.shape).to(images.dtype)


def invert(images: Tensor, _: Tensor) -> Tensor:
    """Invert all pixels."""
    return 255 - images


CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    change.__name__: change
    for change in (brightness, color, contrast, sharpness, posterize, solarize, auto_contrast, equalize, invert)
}
assert set(CHANGES) == set(OPERATIONS[MOVES.stop :])
