"""Weight the classes in the loss, for data in which some classes are rare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from timm.loss.class_weights import compute_class_weights
from torch import Tensor

from zoo.data.splits import Splits
from zoo.errors import ZooError


def class_weights(asked: str | Sequence[float], data: Splits, device: torch.device) -> Tensor | None:
    """Return the weight of an image of each class, with a mean of 1 over the training images.

    Args:
        asked: the value of `train.class_weights`.
        data: the splits.
        device: where the weights are needed.

    Returns:
        float32 [C]; None for equal weights.

    Raises:
        ZooError: there are not as many weights as classes.
    """
    if asked == "none":
        return None
    counts = np.bincount(data.train.targets, minlength=len(data.classes))
    if asked == "balanced":
        weights = 1 / np.maximum(counts, 1)
    elif asked == "effective":
        # timm's weights, by the effective number of images (Cui et al. 2019).
        weights = compute_class_weights(counts.tolist(), len(data.train), "effective_num")[1].numpy()
    else:
        weights = np.array(asked, np.float64)
        if len(weights) != len(data.classes):
            what = f"{len(weights)} weights for {len(data.classes)} classes: {', '.join(data.classes)}"
            raise ZooError("train.class_weights", what, "give one for each class, in this order")
    mean = (weights * counts).sum() / len(data.train)
    return torch.tensor(weights / mean, dtype=torch.float32, device=device)
