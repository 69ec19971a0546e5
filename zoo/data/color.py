"""Color operations on whole batches, with a separate strength for each image."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.data.resize import column

# ITU-R 601-2 luma weights, as in Pillow's convert("L").
LUMA = (0.299, 0.587, 0.114)


def gray(images: Tensor) -> Tensor:
    """Return the luma of images: float [B, 3, H, W] to [B, 1, H, W]."""
    return (images * column(LUMA, images.device)).sum(1, keepdim=True)


def jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast and saturation, in this order, as torchvision's ColorJitter does.

    Args:
        images: float [B, 3, H, W] from 0 to 1.
        factors: float [B, 3]; 1 leaves an image as it is.

    Returns:
        float [B, 3, H, W] from 0 to 1.
    """
    brightness, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)  # [B, 1, 1, 1] each
    images = (images * brightness).clamp(0, 1)
    mean = gray(images).mean((1, 2, 3), keepdim=True)  # [B, 1, 1, 1]
    images = torch.lerp(mean, images, contrast).clamp(0, 1)
    return torch.lerp(gray(images).expand_as(images), images, saturation).clamp(0, 1)
