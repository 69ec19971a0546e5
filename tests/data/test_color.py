"""Color operations."""

from __future__ import annotations

import torch
from torchvision.transforms import functional as tv

from zoo.data import color


def test_jitter_is_torchvisions() -> None:
    images = torch.rand(3, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    factors = torch.tensor([[1.3, 0.7, 1.2], [0.6, 1.4, 0.5], [1.0, 1.0, 1.0]])
    found = color.jitter(images, factors)
    for image, result, (brightness, contrast, saturation) in zip(images, found, factors.tolist(), strict=True):
        theirs = tv.adjust_saturation(tv.adjust_contrast(tv.adjust_brightness(image, brightness), contrast), saturation)
        assert torch.allclose(result, theirs, atol=5e-3)
    assert torch.allclose(found[2], images[2], atol=1e-5)
