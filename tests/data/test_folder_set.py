"""Image folders as splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.folders import counts, load

Draw = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("cache")


def test_train_val_and_test_folders(image_folder: Draw) -> None:
    root = image_folder(
        {"train/b": 4, "train/a/deep": 3, "validation/a": 1, "validation/b": 2, "test/a": 2, "test/b": 1, ".git/x": 1}
    )
    found = load(root)
    assert found.classes == ("a", "b")
    assert [counts(part) for part in (found.train, found.val, found.test)] == [[3, 4], [1, 2], [2, 1]]
    assert str(found) == "7 train / 3 val / 3 test images, 2 classes, stored at 40 px"
