"""Made-up images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zoo.data import options

Draw = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("cache")


def test_synthetic_images_are_the_same_in_every_run() -> None:
    found, again = (options.Synthetic(classes=3, train_images=30, test_images=6, size=10).load(seed, 32) for seed in (0, 1))
    assert np.array_equal(found.train.pixels.images, again.train.pixels.images)
    assert (found.train.pixels.images.shape, found.classes) == ((30, 3, 10, 10), ("class0", "class1", "class2"))
