"""Turn an image into a model's input, exactly as timm's `create_transform` does for evaluation.

The transform is timm's own. Its image steps (resize, crop) run on each image, in parallel with the model. Its arithmetic
(scale to 0 to 1, normalize) runs on the whole batch, with the same operations and thus the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.transforms import MaybeToTensor, ToNumpy
from torch import Tensor
from torchvision import transforms

from zoo.data.decode import FILTERS

# Keys of a timm data configuration that determine the pixels.
KEYS = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")


class Preprocessing:
    """The transform from an image to a model's input.

    Attributes:
        config: timm's data configuration: `input_size, mean, std, interpolation, crop_pct, crop_mode`.
        size: side T of the model's images, in pixels.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = {key: config[key] for key in KEYS if key in config}
        self.size = int(self.config["input_size"][-1])
        steps = create_transform(**self.config).transforms  # type: ignore[union-attr]
        ends = [place for place, step in enumerate(steps) if isinstance(step, MaybeToTensor | transforms.ToTensor | ToNumpy)]
        self._geometry: Sequence[Any] = steps[: ends[0]]
        self._mean = torch.tensor(self.config["mean"]).view(1, -1, 1, 1)
        self._std = torch.tensor(self.config["std"]).view(1, -1, 1, 1)

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Resize and crop an RGB image: uint8 [T, T, 3]."""
        if self.config.get("crop_mode") == "border":
            image = self._a_line_at_least(image)
        for step in self._geometry:
            image = step(image)
        return np.asarray(image)

    def _a_line_at_least(self, image: Image.Image) -> Image.Image:
        """Resize an image to a line of pixels if it is so thin that timm would leave nothing of it; else return it unchanged."""
        long = math.floor(self.size / self.config["crop_pct"])
        sides = [round(side * long / max(image.size)) for side in image.size]
        return image if min(sides) else image.resize((max(1, sides[0]), max(1, sides[1])), FILTERS[self.config["interpolation"]])

    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalize a batch: uint8 [B, T, T, 3] to float32 [B, 3, T, T] on the same device, channels last."""
        images = pixels.permute(0, 3, 1, 2).float().div_(255)
        return images.sub_(self._mean.to(images.device)).div_(self._std.to(images.device))
