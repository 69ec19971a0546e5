"""Pixels to make a benchmark's batches of: a user's own images, or photographs made up in the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.data import image_folder, rng
from zoo.data.pixel_store import PixelStore, from_files
from zoo.data.rng import generator_of
from zoo.data.splits import Split
from zoo.data.store_size import CROP, OVERSAMPLING, SMALLEST_STORE, store_size

# How many images there are at most: a batch's cost does not depend on which they are, and decoding takes time.
MADE, TAKEN = 64, 512
# Width over height of most cameras' photographs.
ASPECT = 4 / 3


def listed(root: Path) -> list[str]:
    """Some training images of a folder, evenly over its classes, as absolute paths.

    Raises:
        ZooError: there are none, or the folder is not as it should be.
    """
    tree = image_folder.scan(root.absolute())
    files = [path for path, _ in next(iter(tree.parts.values()))]
    return [str(files[position]) for position in np.linspace(0, len(files) - 1, min(TAKEN, len(files))).astype(int)]


def split(files: Sequence[str], size: int, count: int, classes: int) -> Split:
    """A split of `count` images for training at a size: those of the files, decoded once, or made-up ones.

    Raises:
        ZooError: a file cannot be read.
    """
    if files:
        paths = [Path(path) for path in files]
        pixels, _ = from_files(paths, store_size(paths, size), "bicubic", "--data", quiet=True)
    else:
        pixels = made(max(SMALLEST_STORE, round(size / CROP * OVERSAMPLING)))
    positions = np.arange(count)
    return Split(pixels, positions % len(pixels.images), positions % classes)


def made(side: int) -> PixelStore:
    """Soft colors with grain, kept as an image folder's photographs would be; the same in every run."""
    generator = generator_of(0, rng.SYNTHETIC, side)
    cell = -(-side // 12)
    coarse = generator.integers(30, 220, (MADE, 3, 12, 12), dtype=np.uint8)
    images = np.repeat(np.repeat(coarse, cell, 2), cell, 3)[..., :side, :side]
    images += generator.integers(0, 30, (1, 3, side, side), dtype=np.uint8)
    return PixelStore(np.ascontiguousarray(images), np.full(MADE, ASPECT, np.float32))
