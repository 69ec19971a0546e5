"""Pack tensors of several dtypes into one buffer, so that a single copy transfers all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Alignment of tensors in a buffer, in bytes: the size of the largest dtype.
ALIGNMENT = 16


def packed_bytes(tensors: Sequence[Tensor]) -> int:
    """Return the size in bytes of a buffer for these tensors."""
    return sum(_room(tensor) for tensor in tensors)


def slots(buffer: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return views of a buffer, one after the other, with the shapes and dtypes of these tensors.

    Args:
        buffer: uint8 [`packed_bytes(tensors)`], on any device.
        tensors: the tensors that it contains or will contain; their values are not read.
    """
    found = buffer.split([_room(tensor) for tensor in tensors])
    return [slot[: tensor.nbytes].view(tensor.dtype).view(tensor.shape) for slot, tensor in zip(found, tensors, strict=True)]


def fill(buffer: Tensor, tensors: Sequence[Tensor]) -> None:
    """Copy tensors into their slots of a buffer."""
    with torch.no_grad():
        for slot, tensor in zip(slots(buffer, tensors), tensors, strict=True):
            slot.copy_(tensor)


def _room(tensor: Tensor) -> int:
    """Return the bytes of a tensor's slot."""
    return -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
