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
    assert found.test is not None
    assert found.test.names() == [f"test[{n}]" for n in range(6)]
    assert found.val is not None
    assert sorted(found.train.names() + found.val.names()) == sorted(f"train[{n}]" for n in range(30))
    assert (found.train.pixels.images.shape, found.classes) == ((30, 3, 10, 10), ("class0", "class1", "class2"))
