"""Choose the side at which the images of a folder are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.data.decode import header_size

# Crops show at least this share of an image's side at evaluation; the store keeps the pixels for it.
CROP = 0.875
# Squashing to a square and back costs detail along the longer side. With 1.125 times the pixels of that side, and 1.5 times
# those of the shorter one, evaluation at 224 px is within 1/255 of timm's transform on average (0.3 to 0.9 of 255 on
# photographs; 1.1 to 1.9 with as many pixels as the result has).
OVERSAMPLING = 1.5
LONGER_SIDE = 1.125
# However long and narrow the images are.
LARGEST_OVERSAMPLING = 3
# Side in pixels below which a store is not worth keeping small.
SMALLEST_STORE = 256
# Files whose headers are read, evenly over all: enough for the 90th percentile.
SAMPLE = 256
# No store is smaller, however small the images are.
SMALLEST_SIDE = 8


def store_size(files: list[Path], image_size: int) -> int:
    """Return the side in pixels at which to keep images: no larger than they are, and no larger than training needs.

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
    """Return the shorter side of the images in pixels: the median over some of them."""
    return int(np.median(_sides(files, SMALLEST_STORE).min(1)))


def _sides(files: list[Path], unknown: int) -> np.ndarray:
    """Return the sides in pixels of some images, evenly over all: int [files, 2]; of none at all `unknown`."""
    sample = [files[number] for number in np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).astype(int)]
    return np.array([header_size(str(path)) for path in sample] or [(unknown, unknown)])
