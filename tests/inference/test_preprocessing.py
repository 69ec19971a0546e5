from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from zoo.inference.preprocessing import Preprocessing

CONFIG = {"input_size": (3, 48, 48), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
@pytest.mark.parametrize(("crop_pct", "crop_mode"), [(1.0, "center"), (0.875, "center"), (0.9, "squash"), (0.8, "border")])
def test_it_is_timms_transform_to_the_bit(interpolation: str, crop_pct: float, crop_mode: str) -> None:
    config = CONFIG | {"interpolation": interpolation, "crop_pct": crop_pct, "crop_mode": crop_mode}
    preprocessing, transform = Preprocessing(config), create_transform(**config)
    draw = np.random.default_rng(0)
    for width, height in ((48, 48), (32, 32), (90, 41), (61, 200)):
        image = Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))
        ours = preprocessing.normalize(torch.from_numpy(preprocessing.pixels(image).copy())[None])[0]
        assert torch.equal(ours, transform(image))


def test_of_an_image_that_is_too_thin_for_timm_a_line_is_left() -> None:
    preprocessing = Preprocessing(CONFIG | {"interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "border"})
    for size in ((500, 1), (1, 500)):
        red = (preprocessing.pixels(Image.new("RGB", size, (255, 0, 0))) == (255, 0, 0)).all(2)  # [T, T]
        assert red.sum() == 48
        assert red.all(0).any() or red.all(1).any()
