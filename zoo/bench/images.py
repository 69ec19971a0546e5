"""Images for the batches of a benchmark: some of the user's own, or made-up photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.data import image_folder, rng
from zoo.data.pixel_store import PixelStore, from_files
from zoo.data.rng import generator_of
from zoo.data.splits import Split
from zoo.data.store_size import CROP, OVERSAMPLING, SMALLEST_STORE, store_size

# Number of made-up images. A few are enough, since the cost of a batch does not depend on which images it has.
MADE_UP = 64
# Maximum number of the user's images to decode. It takes seconds, and is enough to cover their usual shapes.
TAKEN = 512
# Cells of one color along each side of a made-up image: photographs have soft colors too.
CELLS = 12
# Width over height of most cameras' photographs.
ASPECT = 4 / 3


def list_images(root: Path) -> list[str]:
    """Return at most `TAKEN` training images of a folder, spread evenly over its classes, as absolute paths.

    Raises:
        ZooError: the folder is missing, or is not an image folder.
    """
    tree = image_folder.scan(root.absolute(), "--data")
    files = [path for path, _ in next(iter(tree.parts.values()))]
    return [str(files[position]) for position in np.linspace(0, len(files) - 1, min(TAKEN, len(files))).astype(int)]


def make_split(files: Sequence[str], size: int, count: int, classes: int) -> Split:
    """Make a split of `count` images for training at `size` pixels, from files, which are decoded once, or made-up images.

    Raises:
        ZooError: a file cannot be read.
    """
    if files:
        paths = [Path(path) for path in files]
        pixels, _ = from_files(paths, store_size(paths, size), "bicubic", "--data", quiet=True)
    else:
        pixels = made_up(max(SMALLEST_STORE, round(size / CROP * OVERSAMPLING)))
    positions = np.arange(count)
    return Split(pixels, positions % len(pixels.images), positions % classes)


def made_up(side: int) -> PixelStore:
    """Make images uint8 [MADE_UP, 3, side, side] of soft colors with grain; the same in every run."""
    generator = generator_of(0, rng.SYNTHETIC, side)
    cell = -(-side // CELLS)  # pixels along a cell's side, rounded up
    coarse = generator.integers(30, 220, (MADE_UP, 3, CELLS, CELLS), dtype=np.uint8)
    images = np.repeat(np.repeat(coarse, cell, 2), cell, 3)[..., :side, :side]  # [MADE_UP, 3, side, side]
    images += generator.integers(0, 30, (1, 3, side, side), dtype=np.uint8)
    return PixelStore(np.ascontiguousarray(images), np.full(MADE_UP, ASPECT, np.float32))
