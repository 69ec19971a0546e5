"""The side at which images are stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.folders import load

from zoo.data.store_size import store_size

Draw = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("cache")


def test_the_store_is_as_large_as_images_of_all_classes_ask_for(image_folder: Draw) -> None:
    # Many small images, which come before fewer large ones when sorted by name.
    root = image_folder({"a": 300}, size=(20, 20))
    image_folder({"b": 211}, size=(90, 90))
    assert store_size(sorted(root.rglob("*.png")), 64) == 90


@pytest.mark.parametrize(
    ("size", "image_size", "stored"),
    [((40, 30), 224, 40), ((600, 300), 64, 256), ((800, 600), 224, 384), ((600, 300), 224, 576), ((4, 4), 32, 8)],
)
def test_images_are_kept_as_large_as_training_needs(
    image_folder: Draw, size: tuple[int, int], image_size: int, stored: int
) -> None:
    found = load(image_folder({"a": 2, "b": 1}, size=size), size=image_size)
    assert found.train.pixels.images.shape == (3, 3, stored, stored)
    assert found.train.pixels.aspects == pytest.approx(size[0] / size[1])
