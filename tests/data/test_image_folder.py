"""Image folders as users have them: splits by other names, trains as a class, things that systems leave."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.folders import load, refused
from PIL import Image

from zoo.data.store_size import store_size

Draw = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("cache")
PAIR = {"a": 3, "b": 3}


def within(*names: str) -> dict[str, int]:
    return {f"{name}/{label}": count for name in names for label, count in PAIR.items()}


@pytest.mark.parametrize(
    "names", [("Train", "Test"), ("Training", "Testing"), ("TRAIN", "Dev", "testing"), ("train", "Validation", "Test")]
)
def test_splits_by_other_names(image_folder: Draw, names: tuple[str, ...]) -> None:
    found = load(image_folder(within(*names)))
    assert found.classes == ("a", "b")
    # Without one, val is cut from train.
    assert len(found.train) == (6 if len(names) == 3 else 4)
    assert found.test is not None
    assert len(found.test) == 6


def test_folders_beside_train_that_are_no_split_are_named(image_folder: Draw) -> None:
    assert (
        "not used: extra, unlabeled, beside train" in load(image_folder(within("train") | {"extra": 1, "unlabeled/x": 2})).notes
    )


def test_trains_may_be_a_class(image_folder: Draw) -> None:
    assert load(image_folder({"bus": 5, "car": 5, "train": 5})).classes == ("bus", "car", "train")


def test_splits_are_not_taken_for_classes(image_folder: Draw) -> None:
    line = refused(image_folder(within("part1", "part2")))
    assert line == (
        "data.root: part1 and part2 hold folders of the same names (a, b) "
        "(name them train, val and test, or if they are classes, move them to ROOT/train)"
    )
    assert refused(image_folder(within("validation", "testing"), root="two")).startswith("data.root: no folder train in ROOT")
    # A class may be kept in folders, such as one for each camera.
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
        "data.root: 1 image of a kind that is not read, first: ROOT/a/x.cr2 (convert to JPEG or PNG, or remove them)"
    )
    (root / "a/x.cr2").unlink()
    (root / "c").mkdir()
    (root / "c/x.dng").write_bytes(b"1")
    assert "1 image of a kind that is not read, first: ROOT/c/x.dng" in refused(root)


def test_a_folder_that_cannot_be_read_is_one_line(image_folder: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    root, scandir = image_folder(PAIR), os.scandir

    def denied(path: str) -> object:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert refused(root) == "data.root: ROOT/b cannot be read: Permission denied (check its permissions)"


def test_classes_that_a_cut_leaves_out_are_named(image_folder: Draw) -> None:
    notes = load(image_folder({"a": 20, "b": 1, "c": 2})).notes
    assert "val has no images of: b, c" in notes
    assert "test has no images of: b" in notes


def test_the_store_is_as_large_as_images_of_all_classes_ask_for(image_folder: Draw) -> None:
    # Many small ones, by name before fewer large ones.
    root = image_folder({"a": 300}, size=(20, 20))
    image_folder({"b": 211}, size=(90, 90))
    assert store_size(sorted(root.rglob("*.png")), 64) == 90


def test_a_run_that_goes_on_sees_other_files(image_folder: Draw) -> None:
    root = image_folder({"a": 10, "b": 10})
    before = load(root).mark()
    os.utime(root / "a/000.png")
    assert load(root).mark() == before
    (root / "a/003.png").rename(root / "a/999.png")
    assert load(root).mark() != before


def test_pixels_survive_damaged_exif_and_hidden_colors_do_not_show(tmp_path: Path) -> None:
    from zoo.data.decode import open_rgb

    upright = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    # No EXIF at all behind the name.
    for name, exif in (("bad.png", b"Exif\0\0nonsense"), ("none.png", b"II*\0\x08\0\0\0\xff\xff")):
        upright.save(tmp_path / name, exif=exif)
        assert np.array_equal(np.asarray(open_rgb(tmp_path / name)), np.asarray(upright))
    clear = Image.new("RGB", (4, 4), (255, 0, 0))
    clear.save(tmp_path / "clear.png", transparency=(255, 0, 0))
    assert np.asarray(open_rgb(tmp_path / "clear.png")).min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_is_turned_once(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    from zoo.data.decode import open_rgb

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("x.tif", "x.png"):
        image.save(tmp_path / name, exif=exif)
        with Image.open(tmp_path / name) as opened:
            expected = np.asarray(ImageOps.exif_transpose(opened))
        assert np.array_equal(np.asarray(open_rgb(tmp_path / name)), expected)
