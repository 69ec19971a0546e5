"""Run a model on the pixels of a batch of images: a timm model here, an exported file in `exported`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.inference.lanes import lanes_here
from zoo.inference.preprocessing import Preprocessing
from zoo.models.features import FeatureExtractor
from zoo.models.fuse_batchnorm import fused_copy

# Pixels per batch. On a CPU the activations of larger batches do not stay in its cache (EfficientNet-Lite0 on 2 cores at 96
# px: 759 images/s in batches of 32, 571 in batches of 64, 395 of 256; at 224 px: 104 of 8, 58 of 256). A GPU needs many.
CPU_PIXELS = 400_000
GPU_PIXELS = 12_000_000
MOST_IMAGES = {"cpu": 32, "cuda": 128}


class Network(Protocol):
    """A model that takes decoded images.

    Attributes:
        batch_size: images per call.
        lanes: threads that may call it at the same time.
    """

    batch_size: int
    lanes: int

    def expect_many(self) -> None:
        """Prepare for many images: take a moment to become faster."""
        ...

    def logits(self, pixels: Sequence[np.ndarray]) -> Tensor:
        """Return logits float32 [B, C] on the CPU for B images uint8 [H, W, 3]."""
        ...

    def features(self, pixels: Sequence[np.ndarray]) -> Tensor:
        """Return features float32 [B, D] on the CPU for B images uint8 [H, W, 3].

        Raises:
            ZooError: the model has no features.
        """
        ...

    def module(self) -> nn.Module:
        """Return timm's model.

        Raises:
            ZooError: there is no timm model.
        """
        ...


class TimmNetwork:
    """A timm model, on the GPU if there is one. Long streams run on a copy with BatchNorm fused and channels last."""

    def __init__(self, model: nn.Module, preprocessing: Preprocessing) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.preprocessing = model.eval().to(self.device), preprocessing
        gpu = self.device.type == "cuda"
        fitting = (GPU_PIXELS if gpu else CPU_PIXELS) // preprocessing.size**2
        self.batch_size = max(1, min(MOST_IMAGES[self.device.type], fitting))
        self.lanes = lanes_here()
        self._fast = self.model

    def module(self) -> nn.Module:
        """Return timm's model as it was loaded."""
        return self.model

    @torch.inference_mode()
    def logits(self, pixels: Sequence[np.ndarray]) -> Tensor:
        """Return logits float32 [B, C] of images uint8 [T, T, 3]."""
        return self._fast(self._batch(pixels)).float().cpu()

    @torch.inference_mode()
    def features(self, pixels: Sequence[np.ndarray]) -> Tensor:
        """Return features float32 [B, D] of images uint8 [T, T, 3]."""
        if not hasattr(self.model, "forward_head"):
            raise ZooError("zoo embed", f"{type(self.model).__name__} has no features before a last layer", "use another model")
        return FeatureExtractor(self._fast)(self._batch(pixels)).flatten(1).float().cpu()

    def _batch(self, pixels: Sequence[np.ndarray]) -> Tensor:
        return self.preprocessing.normalize(torch.from_numpy(np.stack(pixels)).to(self.device))

    def expect_many(self) -> None:
        """Make a copy of the model with BatchNorm fused and channels last, and use it from now on."""
        if self._fast is self.model:
            side = self.preprocessing.size
            example = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0)).to(self.device)
            self._fast = fused_copy(self.model, example).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
