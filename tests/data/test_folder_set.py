"""Image folders as splits."""

from __future__ import annotations

import os
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


def test_images_keep_their_names_through_every_cut(image_folder: Draw) -> None:
    found = load(image_folder({"train/b": 4, "train/a/deep": 3, "validation/a": 1, "test/a": 2, "test/b": 1}), max_test=2)
    assert found.train.names() == [*(f"train/a/deep/00{n}.png" for n in range(3)), *(f"train/b/00{n}.png" for n in range(4))]
    assert found.val is not None
    assert found.val.names() == ["validation/a/000.png"]
    assert found.test is not None
    assert found.test.names() == ["test/a/000.png", "test/b/000.png"]


def test_the_names_of_one_folder_that_is_split(image_folder: Draw) -> None:
    root = image_folder({"cat": 20, "dog": 20})
    found = load(root)
    assert found.val is not None
    assert found.test is not None
    for split in (found.train, found.val, found.test):
        assert [name.split("/")[0] for name in split.names()] == [found.classes[label] for label in split.targets]
        assert all((root / name).is_file() for name in split.names())


def test_names_of_files_that_are_no_text_can_be_printed(image_folder: Draw) -> None:
    root = image_folder({"cat": 1, "dog": 1})
    odd = os.fsdecode(b'a,"b\n\xff.png')
    os.rename(root / "cat" / "000.png", root / "cat" / odd)
    assert load(root, val_fraction=0.0, test_fraction=0.0).train.names() == ['cat/a,"b\n\\udcff.png', "dog/000.png"]
