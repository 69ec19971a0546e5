"""Show all of an image that is not square, with its own proportions, in the middle of a square of one color.

This is timm's `crop_mode: border`. Boxes are as in `resize.resample`: the image goes from 0 to 1, and beyond it is the border.
"""

from __future__ import annotations

import numpy as np


def evaluation_boxes(aspects: np.ndarray, size: int, crop: float) -> np.ndarray:
    """Return the boxes of timm's evaluation transform: it resizes the longer side, then takes a center crop or adds a border.

    Args:
        aspects: float [N], width over height.
        size: side in pixels of the result.
        crop: share of the longer side that is shown.

    Returns:
        float64 [N, 4], (x0, y0, x1, y1) as shares of the image; these are whole pixels of the resized image.
    """
    long = int(size / crop)  # timm's `math.floor(img_size / crop_pct)`
    # As in timm's ResizeKeepRatio, but with at least one line of pixels, where timm fails.
    wide = np.maximum(1, np.round(long * np.minimum(aspects, 1)))
    high = np.maximum(1, np.round(long / np.maximum(aspects, 1)))
    # As in timm's CenterCropOrPad: `int(round((width - size) / 2.0))` pixels are cut, or `(size - width) // 2` added.
    left, top = (np.where(side > size, np.round((side - size) / 2), -((size - side) // 2)) for side in (wide, high))
    return np.stack([left / wide, top / high, (left + size) / wide, (top + size) / high], axis=1)


def training_boxes(boxes: np.ndarray, aspects: np.ndarray) -> np.ndarray:
    """Convert training crops of the square with its border to boxes of the image in it.

    A crop that shows mostly border would teach nothing. It is moved until, along each axis, it shows at least half of the
    image, or the image fills at least half of it.

    Args:
        boxes: float [N, 4], from 0 to 1 of the square; swapped ends mirror the image.
        aspects: float [N], width over height of the images.

    Returns:
        float64 [N, 4] as shares of the image, with the same ends swapped.
    """
    found = boxes_of_image(boxes, aspects).reshape(-1, 2, 2)  # [N, 2 ends, 2 axes]
    low, length = found.min(1), np.abs(found[:, 1] - found[:, 0])  # [N, 2] each
    half = np.minimum(length, 1) / 2
    moved = np.clip(low, half - length, 1 - half) - low
    return (found + moved[:, None]).reshape(-1, 4)


def boxes_of_image(boxes: np.ndarray, aspects: np.ndarray) -> np.ndarray:
    """Convert boxes [N, 4] from shares of the square with its border to shares of the image in it; aspects are float [N]."""
    # The square is this many times as wide and as high as the image.
    ratio = np.stack([np.maximum(1 / aspects, 1), np.maximum(aspects, 1)], axis=1)  # [N, 2]
    return (0.5 + (boxes.reshape(-1, 2, 2) - 0.5) * ratio[:, None]).reshape(-1, 4)
