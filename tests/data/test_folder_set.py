"""Image folders as splits."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.folders import counts, load, refused

from zoo.data import decode, pixel_store
from zoo.data.changes import summary
from zoo.data.options import Folder
from zoo.errors import ZooError

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


# ------------------------------------------------------------------------- files that are not images


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:30])


def test_skipped_files_are_named_listed_and_left_out_of_every_split(image_folder: Draw, cache: Path) -> None:
    root = image_folder({"train/a": 6, "train/b": 6, "test/a": 3, "test/b": 3})
    before = load(root, on_bad="skip", val_fraction=0.0)
    bad = ["test/b/001.png", "train/a/000.png", "train/b/005.png"]
    for name in bad:
        spoil(root / name)
    for decoded in (True, False):
        found = load(root, on_bad="skip", val_fraction=0.0)
        assert [counts(part) for part in (found.train, found.test)] == [[5, 5], [3, 2]]
        assert not {*bad} & {*found.train.names(), *found.test.names()}
        assert ("decoded 18 images" in found.notes) == decoded
        (note,) = (note for note in found.notes if note.startswith("skipped"))
        assert note.startswith(f"skipped 3 unreadable images, first: {root}/train/a/000.png: ")
    (listed,) = (cache / "unreadable").glob("*.csv")
    assert note.endswith(f"; all are listed in {listed}")
    assert [line.partition(",")[0] for line in listed.read_text().splitlines()[1:]] == [
        str(root / name) for name in (bad[1], bad[2], bad[0])
    ]
    assert found.fingerprint() != before.fingerprint()
    # Each kept image still has its own pixels and label.
    for name, place, label in zip(found.train.names(), found.train.index, found.train.targets, strict=True):
        position = before.train.names().index(name)
        assert before.train.targets[position] == label
        assert (before.train.pixels.images[before.train.index[position]] == found.train.pixels.images[place]).all()


def test_the_list_without_skipped_files_needs_no_second_decoding(image_folder: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder({"a": 6, "b": 6})
    spoil(root / "a/001.png")
    data = Folder(root=root, on_bad="skip")
    first = data.listed(0)
    found = data.load(0, 24)
    monkeypatch.setattr(pixel_store, "decode_range", lambda job: pytest.fail("decoded"))
    for splits in (first, data.listed(0)):
        assert splits.fingerprint() == found.fingerprint()
        assert splits.train.names() == found.train.names()
    assert "a/001.png" in Folder(root=root).listed(0).train.names() + Folder(root=root).listed(0).test.names()


def test_what_was_skipped_before_is_refused_without_decoding_again(image_folder: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder({"a": 4, "b": 4})
    spoil(root / "a/001.png")
    load(root, on_bad="skip")
    monkeypatch.setattr(pixel_store, "decode_range", lambda job: pytest.fail("decoded"))
    assert refused(root).startswith("data.root: 1 unreadable image, first: ROOT/a/001.png: ")


def test_files_that_may_not_be_read_now_are_not_skipped_for_good(image_folder: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder({"a": 4, "b": 4})
    spoil(root / "a/001.png")
    opened = decode.Image.open

    def failing(path: Path) -> object:
        if str(path).endswith("b/002.png"):
            raise OSError(errno.EIO, "Input/output error")
        return opened(path)

    with monkeypatch.context() as patch:
        patch.setattr(decode.Image, "open", failing)
        line = refused(root, on_bad="skip")
    assert line.startswith("data.root: 1 unreadable image, first: ROOT/b/002.png: damaged: [Errno 5] Input/output error (check ")
    found = load(root, on_bad="skip", test_fraction=0.0, val_fraction=0.0)
    assert counts(found.train) == [3, 4]


def test_a_split_of_unreadable_images_alone_is_refused(image_folder: Draw) -> None:
    root = image_folder({"train/a": 2, "train/b": 2, "val/a": 1})
    spoil(root / "val/a/000.png")
    assert refused(root, on_bad="skip").startswith("data.root: val has no readable image (")


def test_a_class_of_unreadable_images_alone_is_refused(image_folder: Draw) -> None:
    root = image_folder({"a": 2, "b": 2})
    for name in ("000", "001"):
        spoil(root / f"b/{name}.png")
    line = "data.root: class 'b' has no readable image (replace its files or remove the folder)"
    assert refused(root, on_bad="skip", test_fraction=0.0, val_fraction=0.0) == line


def test_a_run_is_not_resumed_where_another_file_cannot_be_read(image_folder: Draw) -> None:
    root = image_folder({"a": 8, "b": 8})
    spoil(root / "a/001.png")
    found = load(root, on_bad="skip")
    expected = {"data": found.fingerprint(), "data_summary": summary(found)}
    data = Folder(root=root, on_bad="skip")
    assert data.load(0, 32, expected).fingerprint() == found.fingerprint()
    spoil(root / "b/002.png")
    with pytest.raises(ZooError, match="the data has changed since the run began: 1 file changed in b"):
        data.load(0, 32, expected)
