"""Do what a policy drew: operations on whole batches, each image with its own operation and strength.

The operations are torchvision's on uint8 (`torchvision.transforms.functional`), rounding included; images are float here, so
that nothing is converted between two of them. What moves pixels is one affine resampling for all of it, bilinear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.data.policy import OPERATIONS, Draws
from zoo.data.resize import column

# Luma as torchvision takes it (ITU-R 601-2, with one more digit).
LUMA = (0.2989, 0.587, 0.114)
# Operations that move pixels, by their place: they are one group, and share one resampling.
MOVES = range(OPERATIONS.index("shear_x"), OPERATIONS.index("rotate") + 1)


@dataclass(frozen=True)
class Turn:
    """One operation of each image of a batch [B], the images sorted by it.

    Attributes:
        order: int64 [B], the images in this order.
        strength: float32 [B], in this order.
        groups: for each operation that happens its place, and the slice of images; all that move pixels are one.
        moves: float32 [n, 2, 3], for the images that move pixels: from places of the result to places of the image.
    """

    order: Tensor
    strength: Tensor
    groups: tuple[tuple[int, slice], ...]
    moves: Tensor


@dataclass(frozen=True)
class Turns:
    """All operations of a batch.

    Attributes:
        turns: one after the other.
        weights: float32 [1 + chains, B], the shares of a mixture; None where nothing is mixed.
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
        arrays: what is to be copied: order, strengths and matrices of each turn, then the weights, if any.
        groups: those of each turn.
    """

    arrays: list[np.ndarray]
    groups: list[tuple[tuple[int, slice], ...]]

    def on_device(self, sent: list[Tensor]) -> Turns:
        """Return the operations, given the arrays on the device."""
        turns = [Turn(sent[3 * turn], sent[3 * turn + 1], found, sent[3 * turn + 2]) for turn, found in enumerate(self.groups)]
        return Turns(tuple(turns), sent[-1] if len(sent) > 3 * len(turns) else None)


def prepare(draws: Draws | None, rows: np.ndarray) -> Sorted:
    """Sort some images of a global batch by operation.

    Args:
        draws: of the global batch; None for no operations.
        rows: int64 [B], the images of it.
    """
    found = Sorted([], [])
    if draws is None:
        return found
    for operation, strength in zip(draws.operation[:, rows], draws.strength[:, rows], strict=True):
        # All that move pixels count as the first of them.
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
    """Do all operations.

    Args:
        images: float32 [B, 3, H, W] from 0 to 255, whole numbers.
        turns: what to do.
        fill: the color of what moves in from beyond the edges, 0 to 255.

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
    """Do some operations one after the other; the arguments are those of `apply`."""
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


# ----------------------------------------------------------------------------------- what moves pixels


def moves(operation: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Return the matrices of operations that move pixels.

    Args:
        operation: int8 [n].
        strength: float [n]: slopes, shares of the side, degrees counter-clockwise.

    Returns:
        float64 [n, 2, 3]: the place (x, y) in the image that a place of the result shows. The sides of an image go from -1 to 1.
    """
    found = np.tile(np.eye(2, 3), (len(operation), 1, 1))
    at = {name: operation == OPERATIONS.index(name) for name in ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")}
    # A shear leaves the upper left corner where it is.
    found[at["shear_x"], 0, 1] = found[at["shear_x"], 0, 2] = strength[at["shear_x"]]
    found[at["shear_y"], 1, 0] = found[at["shear_y"], 1, 2] = strength[at["shear_y"]]
    found[at["translate_x"], 0, 2] = -2 * strength[at["translate_x"]]
    found[at["translate_y"], 1, 2] = -2 * strength[at["translate_y"]]
    angle = np.radians(strength[at["rotate"]])
    cos, sin = np.cos(angle), np.sin(angle)
    found[at["rotate"], :, :2] = np.stack([cos, -sin, sin, cos], axis=1).reshape(-1, 2, 2)
    return found


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Rotate images [B, C, H, W] by angles [B] in degrees counter-clockwise; beyond an edge they are mirrored."""
    cos, sin, zero = torch.cos(torch.deg2rad(angles)), torch.sin(torch.deg2rad(angles)), torch.zeros_like(angles)
    matrices = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)
    grid = torch.nn.functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def move(images: Tensor, matrices: Tensor, fill: tuple[float, ...]) -> Tensor:
    """Resample images [B, 3, H, W] by matrices [B, 2, 3] of `moves`; what comes from beyond an edge has the color `fill`."""
    grid = torch.nn.functional.affine_grid(matrices, list(images.shape), align_corners=False)
    marked = torch.cat([images, torch.ones_like(images[:, :1])], 1)  # [B, 4, H, W]
    moved = torch.nn.functional.grid_sample(marked, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    # The share of a pixel that the image covers counts twice at its edge, as in torchvision.
    return torch.lerp(column(fill, images.device), moved[:, :3], moved[:, 3:]).round_().clamp_(0, 255)


# ---------------------------------------------------------------------------------- what changes colors
# Each takes images float32 [B, 3, H, W] from 0 to 255 and strengths [B, 1, 1, 1], and returns such images.


def gray(images: Tensor) -> Tensor:
    """Return the luma of images, whole numbers: [B, 1, H, W]."""
    return (images * column(LUMA, images.device)).sum(1, keepdim=True).floor_()


def _blend(other: Tensor, images: Tensor, strength: Tensor) -> Tensor:
    """Return images as far from other ones as 1 + strength times what they are."""
    return torch.lerp(other.expand_as(images), images, 1 + strength).clamp_(0, 255).floor_()


def brightness(images: Tensor, strength: Tensor) -> Tensor:
    """Multiply all pixels."""
    return (images * (1 + strength)).clamp_(0, 255).floor_()


def color(images: Tensor, strength: Tensor) -> Tensor:
    """Move pixels away from their gray, or towards it."""
    return _blend(gray(images), images, strength)


def contrast(images: Tensor, strength: Tensor) -> Tensor:
    """Move pixels away from the mean gray of their image, or towards it."""
    return _blend(gray(images).mean((1, 2, 3), keepdim=True), images, strength)


def sharpness(images: Tensor, strength: Tensor) -> Tensor:
    """Move pixels away from a blurred image, or towards it; those at the edge stay."""
    if min(images.shape[-2:]) <= 2:
        return images
    # The mean of nine pixels, the one in the middle five times: sums of rows, then of columns, and the middle again.
    rows = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    sums = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    blurred = images.clone()
    inner = images[..., 1:-1, 1:-1]
    blurred[..., 1:-1, 1:-1] = torch.add(sums, inner, alpha=4).div_(13).round_()
    return _blend(blurred, images, strength)


def posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Keep the upper bits of each pixel, as many as `strength`."""
    step = torch.pow(2.0, 8 - strength)
    return (images / step).floor_().mul_(step)


def solarize(images: Tensor, strength: Tensor) -> Tensor:
    """Invert the pixels from `strength` on."""
    return torch.where(images >= strength, 255 - images, images)


def auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel to 0 to 255; one of a single value stays."""
    least, most = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = most == least
    scale = torch.where(flat, 1.0, 255 / (most - least).clamp(min=1))
    return ((images - torch.where(flat, 0.0, least)) * scale).clamp_(0, 255).floor_()


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Spread the values of each channel so that all are as frequent, as Pillow does."""
    flat = images.reshape(images.shape[0] * images.shape[1], -1).long()  # [B * 3, H * W]
    counts = flat.new_zeros(len(flat), 256).scatter_add_(1, flat, torch.ones_like(flat))
    top = counts.gather(1, flat.amax(1, keepdim=True))  # of the brightest value
    step = (flat.shape[1] - top) // 255  # [B * 3, 1]
    shifted = (counts.cumsum(1) - counts + step // 2) // step.clamp(min=1)
    table = torch.where(step == 0, torch.arange(256, device=flat.device), shifted.clamp_(0, 255))
    return table.gather(1, flat).view(images.shape).to(images.dtype)


def invert(images: Tensor, _: Tensor) -> Tensor:
    """Turn all pixels into their opposites."""
    return 255 - images


CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    change.__name__: change
    for change in (brightness, color, contrast, sharpness, posterize, solarize, auto_contrast, equalize, invert)
}
assert set(CHANGES) == set(OPERATIONS[MOVES.stop :])
