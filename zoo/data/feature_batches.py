"""Make batches of precomputed features in place of images, for runs that train only the head."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.batches import Batches


class FeatureBatches:
    """The batches of features of one split, with the interface of `Batches`; nothing about them is random.

    Args:
        images: the batches of the same images.
        features: float32 [N, D], on the device of the batches.
    """

    def __init__(self, images: Batches, features: Tensor) -> None:
        self.split, self.targets, self.features = images.split, images.targets, features

    def __len__(self) -> int:
        return len(self.split)

    def draw(self, positions: np.ndarray, *_unused: Any) -> Any:
        """Return the positions int64 [G] of a global batch: there is nothing to draw."""
        return positions

    def gather(self, drawn: Any, part: slice) -> Any:
        """Return the positions int64 [B] of a part of a global batch."""
        return drawn[part]

    def finish(self, gathered: Any, *_unused: Any, **_options: Any) -> tuple[Tensor, Tensor]:
        """Return features float32 [B, D] and targets int64 [B]."""
        return self.evaluation(gathered, 0)

    def evaluation(self, positions: np.ndarray, size: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return features float32 [B, D] and targets int64 [B] at positions int64 [B]; `size` has no effect on features."""
        index = torch.from_numpy(np.ascontiguousarray(positions)).to(self.features.device)
        return self.features.index_select(0, index), self.targets.index_select(0, index)
