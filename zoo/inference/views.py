"""Several views of a photograph, whose predictions are averaged (test-time augmentation)."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torchvision.transforms import functional

from zoo.data.decode import FILTERS
from zoo.data.views import FIVE_CROP
from zoo.inference.preprocessing import Preprocessing


def views_of(image: Image.Image, preprocessing: Preprocessing | None, kind: str = "none") -> list[np.ndarray]:
    """Return the views of an RGB image: each uint8 [T, T, 3], or the whole image unchanged without preprocessing.

    Args:
        image: in RGB, upright.
        preprocessing: the model's preprocessing; None for a model that takes images of any size.
        kind: none (one view), hflip (that view and its mirror image) or five_crop (the center and four corners).
    """
    if preprocessing is None:
        return [np.asarray(image)]
    if kind != "five_crop":
        pixels = preprocessing.pixels(image)
        return [pixels, np.ascontiguousarray(pixels[:, ::-1])] if kind == "hflip" else [pixels]
    size, short = preprocessing.size, min(image.size)
    scale = int(size / FIVE_CROP)
    if preprocessing.config.get("crop_mode") == "border":
        # The whole image in a larger square.
        whole = Preprocessing({**preprocessing.config, "input_size": (3, scale, scale), "crop_pct": 1.0}).pixels(image)
        return [np.asarray(view) for view in functional.five_crop(Image.fromarray(whole), [size, size])]  # type: ignore[arg-type]
    squashed = preprocessing.config.get("crop_mode") == "squash"
    sides = (scale, scale) if squashed else (int(scale * image.width / short), int(scale * image.height / short))
    resized = image.resize(sides, FILTERS[preprocessing.config["interpolation"]])
    return [np.asarray(view) for view in functional.five_crop(resized, [size, size])]  # type: ignore[arg-type]
