"""Image folders as users have them: other names of splits, a class `train`, folders that operating systems add."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.folders import load, refused

from zoo.data.image_folder import scan_classes, split_folders
from zoo.errors import ZooError

Draw = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize(
    ("layout", "line"),
    [
        ({"train/a": 1, "train/b": 1, "val/dog": 1}, "data.root: class 'dog' is in val but not in train (add it to train or remove it)"),
        ({"train/a": 1, "train/b": 0}, "data.root: class 'b' has no images in ROOT/train/b (add some or remove the folder)"),
        ({"train/a": 1}, "data.root: only one class, 'a', in ROOT/train (add a folder for each other class)"),
        ({"train/.ipynb_checkpoints": 1}, "data.root: no class folders in ROOT/train (expected ROOT/train/CLASS/IMAGE or ROOT/CLASS/IMAGE)"),
        ({"test/a": 1, "val/a": 1}, "data.root: no train folder in ROOT, only test, val (expected ROOT/train/CLASS/IMAGE)"),
        ({"train/a": 1, "val/a": 1, "valid/a": 1}, "data.root: ROOT/val and ROOT/valid are the same split (keep one)"),
        ({"train/a": 1, "train/b\n": 1}, "data.root: the class name 'b\\n' cannot be written as text (rename the folder)"),
        ({"train/a": 1, "train/b\udcff": 1}, "data.root: the class name 'b\\udcff' cannot be written as text (rename the folder)"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_as_it_should_be(image_folder: Draw, layout: dict[str, int], line: str) -> None:
    assert refused(image_folder(layout)) == line


@pytest.mark.parametrize("target", ["..", ".", "../../../outside", "../../../outside/x.png", "nowhere", "../../train/b"])
def test_links_that_lead_astray(image_folder: Draw, tmp_path: Path, target: str) -> None:
    root = image_folder({"train/a": 2, "train/b": 2})
    image_folder({"outside": 1}, root=".")
    (tmp_path / "outside/000.png").rename(tmp_path / "outside/x.png")
    (root / "train/a/link.png").symlink_to(target)
    what = "ROOT/train/a/link.png is a link to a folder, to nothing or out of the root"
    assert refused(root) == f"data.root: {what} (replace it with the files)"


def test_links_within_the_root_and_to_the_root_are_followed(image_folder: Draw, tmp_path: Path) -> None:
    root = image_folder({"train/a": 2, "train/b": 2})
    (root / "train/b/link.png").symlink_to("../b/000.png")
    (tmp_path / "alias").symlink_to(root)
    assert len(load(tmp_path / "alias", val_fraction=0.0).train) == 5


def test_other_files_are_left_out_with_a_note(image_folder: Draw) -> None:
    root = image_folder({"a": 2, "b": 2})
    for name in ("Thumbs.db", "notes.txt", ".DS_Store"):
        (root / "a" / name).write_text("x")
    assert f"ignored 2 files that are not images, first: {root}/a/Thumbs.db" in load(root).notes


PAIR = {"a": 3, "b": 3}


def within(*names: str) -> dict[str, int]:
    return {f"{name}/{label}": count for name in names for label, count in PAIR.items()}


@pytest.mark.parametrize(
    "names", [("Train", "Test"), ("Training", "Testing"), ("TRAIN", "Dev", "testing"), ("train", "Validation", "Test")]
)
def test_splits_by_other_names(image_folder: Draw, names: tuple[str, ...]) -> None:
    found = load(image_folder(within(*names)))
    assert found.classes == ("a", "b")
    # Without a folder for it, val is cut from train.
    assert len(found.train) == (6 if len(names) == 3 else 4)
    assert found.test is not None
    assert len(found.test) == 6


def test_folders_beside_train_that_are_no_split_are_named(image_folder: Draw) -> None:
    assert (
        "ignored folders beside train: extra, unlabeled"
        in load(image_folder(within("train") | {"extra": 1, "unlabeled/x": 2})).notes
    )


def test_a_split_without_classes_is_refused(image_folder: Draw) -> None:
    root = image_folder(within("train"))
    (root / "test").mkdir()
    (root / "train/a/000.png").rename(root / "test/1.png")
    assert refused(root) == (
        "data.root: no class folders in ROOT/test (move its images into CLASS folders, or move the folder elsewhere)"
    )


def test_splits_of_unsorted_images_are_not_taken_for_classes(image_folder: Draw) -> None:
    line = refused(image_folder({"train": 3, "test": 3, "extra": 3}))
    assert line == (
        "data.root: no class folders in ROOT/train "
        "(expected ROOT/train/CLASS/IMAGE; docs/images.md has a script for labels in a table)"
    )


def test_images_beside_the_class_folders_are_counted(image_folder: Draw) -> None:
    root = image_folder(within("train", "val"))
    (root / "train/a/000.png").rename(root / "train/stray.png")
    assert load(root).notes[0] == f"ignored 1 image outside the class folders, first: {root}/train/stray.png"


def test_trains_may_be_a_class(image_folder: Draw) -> None:
    assert load(image_folder({"bus": 5, "car": 5, "train": 5})).classes == ("bus", "car", "train")


def test_splits_are_not_taken_for_classes(image_folder: Draw) -> None:
    line = refused(image_folder(within("part1", "part2")))
    assert line == (
        "data.root: part1 and part2 hold folders of the same names (a, b) "
        "(name them train, val and test, or if they are classes, move them to ROOT/train)"
    )
    assert refused(image_folder(within("validation", "testing"), root="two")).startswith("data.root: no train folder in ROOT")
    # A class may have subfolders, such as one for each camera.
    cameras = {f"{label}/{camera}": 3 for label in "ab" for camera in ("left", "right")}
    assert load(image_folder(cameras, root="one")).classes == ("a", "b")


def test_two_folders_of_one_split_are_told(image_folder: Draw) -> None:
    assert refused(image_folder(within("train", "val", "Valid"))).endswith("are the same split (keep one)")


@pytest.mark.parametrize("left", ["@eaDir", "__MACOSX", "lost+found", ".thumbnails"])
def test_what_systems_leave_is_no_class_and_no_image(image_folder: Draw, left: str) -> None:
    found = load(image_folder(PAIR | {left: 1, f"a/{left}": 2}))
    assert found.classes == ("a", "b")
    assert sum(len(part) for part in (found.train, found.val, found.test) if part is not None) == 6


def test_images_of_a_kind_that_is_not_read_are_not_left_out_silently(image_folder: Draw) -> None:
    root = image_folder(PAIR)
    (root / "a/x.cr2").write_bytes(b"1")
    (root / "a/notes.txt").write_bytes(b"1")
    assert refused(root) == (
        "data.root: 1 image in a format that zoo does not read, first: ROOT/a/x.cr2 (convert to JPEG or PNG, or remove them)"
    )
    (root / "a/x.cr2").unlink()
    (root / "c").mkdir()
    (root / "c/x.dng").write_bytes(b"1")
    assert "1 image in a format that zoo does not read, first: ROOT/c/x.dng" in refused(root)


def test_a_folder_that_cannot_be_read_is_one_line(image_folder: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    root, scandir = image_folder(PAIR), os.scandir

    def denied(path: str) -> object:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert refused(root) == "data.root: ROOT/b cannot be read: Permission denied (check its permissions)"


def test_a_folder_of_classes_alone_may_have_one_or_empty_ones(image_folder: Draw) -> None:
    root = image_folder({"cat": 2})
    (root / "dog").mkdir()
    found = scan_classes(root, root)
    assert (found.classes, found.parts["all"]) == (["cat", "dog"], [(root / "cat" / f"00{n}.png", 0) for n in range(2)])
    (root / "cat" / "raw.nef").write_bytes(b"x")
    with pytest.raises(ZooError, match="--data: 1 image in a format that zoo does not read"):
        scan_classes(root, root, "--data")


def test_parts_are_found_whatever_is_missing(image_folder: Draw) -> None:
    root = image_folder({"Validation/a": 1, "test/a": 1, "other/a": 1})
    assert split_folders(root) == {"val": root / "Validation", "test": root / "test"}
    assert split_folders(image_folder({"train": 2, "bus": 2}, root="vehicles")) == {}
    os.symlink("/nowhere", root / "linked")
    with pytest.raises(ZooError, match=r"--data: .*linked is a link to a folder, to nothing or out of the root"):
        split_folders(root, "--data")
