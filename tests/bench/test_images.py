from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zoo.bench import images


def test_made_up_images_are_the_same_in_every_run() -> None:
    one, other = images.made_up(40), images.made_up(40)
    assert np.array_equal(one.images, other.images)
    assert one.images.shape == (images.MADE_UP, 3, 40, 40)
    assert one.images.std() > 20


def test_a_split_repeats_its_images_up_to_the_count() -> None:
    split = images.make_split([], 32, 200, classes=10)
    assert len(split) == 200
    assert set(split.targets) == set(range(10))


def test_images_are_taken_evenly_over_the_classes(image_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder({"train/cat": 8, "train/dog": 8, "test/cat": 2, "test/dog": 2})
    monkeypatch.setattr(images, "TAKEN", 4)
    found = [Path(path) for path in images.list_images(root)]
    assert [path.parent.name for path in found] == ["cat", "cat", "dog", "dog"]
    assert all(path.is_absolute() and path.parts[-3] == "train" for path in found)
    split = images.make_split([str(path) for path in found], 32, 6, classes=1000)
    assert len(split) == 6
