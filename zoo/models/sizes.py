"""Check that a backbone accepts an image size, and uses all pixels of it.

A network that cuts the image into patches silently drops the pixels beyond the last whole patch: with patches of 16 px,
it sees 32 of 33 px.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.errors import ZooError, first_line

# The key that errors name.
WHERE = "image_size"


def check_sizes(name: str, model: nn.Module, sizes: Sequence[int], *, trim: bool = False, where: str = WHERE) -> None:
    """Check every image size of a run by a forward pass of two images.

    Args:
        name: the backbone's name, for errors.
        model: on the CPU; left in evaluation mode.
        sizes: sides in pixels, ascending.
        trim: allow sizes that are not a multiple of the patch, for runs from before this check existed.
        where: the key that errors name.

    Raises:
        ZooError: the backbone does not accept a size, or would trim it. The error names the nearest sizes that fit.
    """
    for side in sizes:
        # The recipe does not list the sizes between the first and the last, only their step.
        _check_size(name, model, side, between=side not in (sizes[0], sizes[-1]), trim=trim, where=where)


@torch.no_grad()
def _check_size(name: str, model: nn.Module, side: int, *, between: bool, trim: bool, where: str) -> None:
    patch = patch_layer(model)
    seen: list[int] = []
    handle = patch.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1])) if patch else None
    step = patch.stride[0] if patch else 1
    try:
        model.eval()(example_images(side))
    except (AssertionError, RuntimeError, ValueError, ZeroDivisionError) as error:
        reason = "nothing is left of the image" if isinstance(error, ZeroDivisionError) else first_line(error).rstrip(".")
        what = f"{name} does not take {side} px: {reason}"
        todo = "use its own size, or multiples of its stride (image_size.multiple)"
        raise ZooError(where, what, _fitting(side, step, between=between) if side % step else todo) from None
    finally:
        if handle:
            handle.remove()
    # If the architecture pads or scales the image first, the patch layer sees another size.
    if side in seen and side % step and not trim:
        what = f"{name} cuts images into patches of {step} px and would see {side // step * step} of {side} px"
        raise ZooError(where, what, _fitting(side, step, between=between))


def example_images(side: int) -> Tensor:
    """Return two images of noise, the same for every call: float32 [2, 3, side, side]."""
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def patch_layer(model: nn.Module) -> nn.Conv2d | None:
    """Return the convolution that cuts an RGB image into adjacent patches, or None if there is none."""
    convolutions = (layer for layer in model.modules() if isinstance(layer, nn.Conv2d) and layer.in_channels == 3)
    return next((layer for layer in convolutions if layer.kernel_size == layer.stride and layer.stride[0] > 1), None)


def _fitting(side: int, step: int, *, between: bool) -> str:
    """Return the advice for a size that does not fit: the nearest multiples of the patch."""
    if between:
        return f"set image_size.multiple to {step} or a multiple of it"
    below = side // step * step
    return f"use {below} or {below + step}" if below else f"use {step}"
