"""Images with known classes, in folders and in data sets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.errors import ZooError
from zoo.inference.labeled_images import find_images

Draw = Callable[..., Path]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_folder_of_parts_gives_the_one_that_is_asked_for(image_folder: Draw, split: str) -> None:
    root = image_folder({"train/a": 3, "validation/a": 1, "validation/b": 1, "test/b": 2, "test/a": 1})
    found = find_images(str(root), split)
    expected = {
        "train": ["train/a/000.png", "train/a/001.png", "train/a/002.png"],
        "val": ["validation/a/000.png", "validation/b/000.png"],
        "test": ["test/a/000.png", "test/b/000.png", "test/b/001.png"],
    }[split]
    assert list(found.names) == expected
    assert [found.image(place) for place in range(len(expected))] == [root / name for name in expected]
    assert [found.classes[label] for label in found.labels] == [name.split("/")[1] for name in expected]
    assert (found.split, list(found.notes)) == (split, [])


def test_a_folder_of_classes_is_taken_whole_and_said(image_folder: Draw) -> None:
    found = find_images(image_folder({"a/deep": 2, "b": 1}), "test")
    assert list(found.names) == ["a/deep/000.png", "a/deep/001.png", "b/000.png"]
    assert found.split == "all"
    assert list(found.notes) == ["the folder has no train, val or test folder: all of its images are scored"]


def test_one_class_alone_and_classes_without_images_will_do(image_folder: Draw) -> None:
    assert list(find_images(image_folder({"cat": 2}, root="one"), "test").labels) == [0, 0]
    root = image_folder({"cat": 2}, root="two")
    (root / "dog").mkdir()
    (root / "cat" / "notes.txt").write_text("of no image")
    found = find_images(root, "test")
    assert (list(found.classes), list(found.labels)) == (["cat", "dog"], [0, 0])
    assert found.notes[0].startswith("ignored 1 file that is not an image, first: ")


@pytest.mark.parametrize(
    ("layout", "split", "line"),
    [
        ({"train/a": 1, "val/a": 1}, "test", "--data: no test folder in ROOT, only train, val (--split val)"),
        (
            {"": 2},
            "test",
            "--data: no class folders in ROOT (expected ROOT/train/CLASS/IMAGE or ROOT/CLASS/IMAGE; "
            "docs/images.md has a script for labels in a table)",
        ),
        ({"val/a": 1, "valid/a": 1}, "val", "--data: ROOT/val and ROOT/valid are the same split (keep one)"),
    ],
)
def test_what_is_not_there_is_one_line(image_folder: Draw, layout: dict[str, int], split: str, line: str) -> None:
    root = image_folder(layout)
    with pytest.raises(ZooError) as error:
        find_images(root, split)
    assert str(error.value).replace(str(root), "ROOT") == line


def test_folders_without_an_image_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "none" / name).mkdir(parents=True)
    with pytest.raises(ZooError, match=r"--data: no images in .*none"):
        find_images(tmp_path / "none", "test")
    with pytest.raises(ZooError, match=r"--data: no such folder: .*nowhere"):
        find_images(tmp_path / "nowhere", "test")


def test_names_that_are_no_text_can_be_printed(image_folder: Draw) -> None:
    root = image_folder({"cat": 1, "dog": 1})
    os.rename(root / "cat" / "000.png", os.fsencode(root / "cat") + b"/\xff.png")
    found = find_images(root, "test")
    assert found.names[0] == "cat/\\udcff.png"
    assert Path(str(found.image(0))).is_file()


def test_the_pixels_of_a_data_set_are_images(cache: Path) -> None:
    found = find_images(["kind=synthetic", "classes=3", "test_images=6", "train_images=30"], "test")
    assert list(found.names) == [f"test[{number}]" for number in range(6)]
    image = found.image(4)
    assert isinstance(image, Image.Image)
    assert (image.size, image.mode) == ((32, 32), "RGB")
    val = find_images(["kind=synthetic", "classes=3", "test_images=6", "train_images=30"], "val")
    assert all(name.startswith("train[") for name in val.names)
    assert "val is a part of train, chosen by the seed" in val.notes


def test_a_folder_as_a_data_set_is_cut_as_training_cuts_it_and_not_decoded(image_folder: Draw, cache: Path) -> None:
    root = image_folder({"a": 20, "b": 10})
    found = find_images(["kind=folder", f"root={root}"], "test")
    assert np.bincount(found.labels).tolist() == [4, 2]
    assert [found.image(place) for place in range(6)] == [root / name for name in found.names]
    assert not (cache / "pixels").exists()
    with pytest.raises(ZooError, match=r"--split: the data has no val images \(it has train, test\)"):
        find_images(["kind=folder", f"root={root}", "val_fraction=0"], "val")
