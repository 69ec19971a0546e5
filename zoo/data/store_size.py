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
LARGEST_OVERSAMPLING = 3
SMALLEST_STORE = 256
SAMPLE = 256


def store_size(files: list[Path], image_size: int) -> int:
    """The side at which to keep images: no larger than they are, and no larger than training needs."""
    sample = [files[number] for number in np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).astype(int)]
    sides = np.array([header_size(str(path)) for path in sample] or [(image_size, image_size)])
    largest = int(np.percentile(sides.max(1), 90))
    shape = float(np.percentile(sides.max(1) / sides.min(1).clip(min=1), 90))
    needed = image_size / CROP * min(max(OVERSAMPLING, LONGER_SIDE * shape), LARGEST_OVERSAMPLING)
    return max(8, min(largest, max(SMALLEST_STORE, round(needed))))
