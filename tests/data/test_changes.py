"""A run resumes only with unchanged data; otherwise the error says what changed, before any image is decoded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.folders import load

from zoo.data import changes, pixel_store
from zoo.data.options import Folder
from zoo.errors import ZooError

Draw = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("cache")


def saved(root: Path) -> dict[str, Any]:
    """Return what a checkpoint keeps of the data, after a round trip through JSON."""
    found = load(root)
    return json.loads(json.dumps({"data": found.fingerprint(), "data_summary": changes.summary(found)}))


def refusal(root: Path, expected: dict[str, Any]) -> str:
    with pytest.raises(ZooError) as error:
        Folder(root=root).load(0, 32, expected)
    (line,) = error.value.lines
    start, end = "--resume: the data has changed since the run began: ", " (restore the data or start a new run)"
    assert line.startswith(start)
    assert line.endswith(end)
    return line[len(start) : -len(end)]


def test_the_same_files_elsewhere_and_at_another_time_are_the_same(image_folder: Draw, tmp_path: Path) -> None:
    root = image_folder({"a": 10, "b": 10})
    before = saved(root)
    os.utime(root / "a/000.png")
    root.rename(tmp_path / "moved")
    Folder(root=tmp_path / "moved").load(0, 32, before)


def rename_class(root: Path) -> None:
    (root / "b").rename(root / "d")


def rename_file(root: Path) -> None:
    (root / "a/003.png").rename(root / "a/999.png")


def add_files(root: Path) -> None:
    for name in ("x", "y"):
        (root / f"b/{name}.png").write_bytes((root / "b/001.png").read_bytes())


def grow_file(root: Path) -> None:
    with open(root / "c/001.png", "ab") as file:
        file.write(b"0")


def add_class(root: Path) -> None:
    (root / "e").mkdir()
    (root / "a/000.png").rename(root / "e/000.png")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (rename_class, "class 'b' is now 'd'"),
        (rename_file, "1 file added, 1 file removed in a (first: 999.png)"),
        (add_files, "2 files added in b (first: x.png)"),
        (grow_file, "1 file changed in c (first: 001.png)"),
        (add_class, "class 'e' is new; 1 file removed in a (first: 000.png)"),
    ],
)
def test_what_changed_is_said(image_folder: Draw, change: Callable[[Path], None], text: str) -> None:
    root = image_folder({"a": 10, "b": 10, "c": 10})
    before = saved(root)
    change(root)
    assert refusal(root, before) == text


def test_nothing_is_decoded_before(image_folder: Draw, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder({"a": 10, "b": 10})
    before = saved(root)
    stores = sorted((cache / "pixels").iterdir())
    rename_file(root)
    monkeypatch.setattr(pixel_store, "decode_range", lambda job: pytest.fail("decoded"))
    refusal(root, before)
    assert sorted((cache / "pixels").iterdir()) == stores


def test_a_checkpoint_of_an_earlier_version_knows_only_that_it_changed(image_folder: Draw) -> None:
    root = image_folder({"a": 10, "b": 10})
    before = {"data": load(root).fingerprint()}
    Folder(root=root).load(0, 32, before)
    rename_file(root)
    assert refusal(root, before) == "the images or their classes differ"


def test_of_many_files_only_counts_are_kept(image_folder: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_NAMES", 100)
    root = image_folder({"train/a": 10, "train/b": 10})
    before = saved(root)
    assert "names" not in before["data_summary"]["folders"]["train/a"]
    (root / "train/a/003.png").unlink()
    (root / "train/b/003.png").rename(root / "train/b/x.png")
    assert refusal(root, before) == "1 file fewer in train/a; files renamed, replaced or changed in train/b"
