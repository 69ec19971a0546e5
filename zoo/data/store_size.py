"""Choose the side at which the images of a folder are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.data.decode import header_size

# Share of an image's side that evaluation crops show at least; the store has enough pixels for it.
CROP = 0.875
# Squashing to a square and back loses detail along the longer side. With 1.125 times the pixels of the result along that side,
# and 1.5 times along the shorter one, evaluation at 224 px is within 1/255 of timm's transform on average (0.3 to 0.9 of 255
# on photos; 1.1 to 1.9 with as many pixels as the result has).
OVERSAMPLING = 1.5
LONGER_SIDE = 1.125
# Most oversampling, however long and narrow the images are.
LARGEST_OVERSAMPLING = 3
# Side in pixels below which it is not worth making a store smaller.
SMALLEST_STORE = 256
# Number of files, spread evenly over all, whose headers are read: enough for the 90th percentile.
SAMPLE = 256
# Smallest side of a store in pixels, however small the images are.
SMALLEST_SIDE = 8


def store_size(files: list[Path], image_size: int) -> int:
    """Return the side in pixels at which to store images: no larger than the images are, and no larger than training needs.

    Args:
        files: absolute paths.
        image_size: side in pixels of the largest training images.
    """
    sides = _sides(files, image_size)
    largest = int(np.percentile(sides.max(1), 90))
    shape = float(np.percentile(sides.max(1) / sides.min(1).clip(min=1), 90))
    needed = image_size / CROP * min(max(OVERSAMPLING, LONGER_SIDE * shape), LARGEST_OVERSAMPLING)
    return max(SMALLEST_SIDE, min(largest, max(SMALLEST_STORE, round(needed))))


def shorter_side(files: list[Path]) -> int:
    """Return the shorter side of the images in pixels: the median over a sample."""
    return int(np.median(_sides(files, SMALLEST_STORE).min(1)))


def _sides(files: list[Path], unknown: int) -> np.ndarray:
    """Return the sides in pixels of a sample of images, spread evenly: int [files, 2]; `unknown` if there are no images."""
    sample = [files[number] for number in np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).astype(int)]
    return np.array([header_size(str(path)) for path in sample] or [(unknown, unknown)])
