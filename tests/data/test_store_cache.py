"""Old pixel stores are removed, but none that is in use."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.folders import load

from zoo.data import store_cache
from zoo.data.pixel_store import PixelStore
from zoo.errors import ZooError

Draw = Callable[..., Path]
WEEK = 7 * 24 * 3600


def build(root: Path, side: int, age: float = 0) -> Path:
    """Build a store that was last used `age` seconds ago and is no longer in use; return its folder."""
    pixels: PixelStore = load(root, store_size=side).train.pixels
    folder = pixels.folder
    assert folder is not None
    os.utime(folder / "manifest.json", (time.time() - age, time.time() - age))
    return folder


@pytest.fixture
def root(image_folder: Draw, cache: Path) -> Path:
    return image_folder({"a": 2, "b": 2})


def test_a_store_says_what_it_was_made_of(root: Path) -> None:
    build(root, 16)
    (store,) = store_cache.stores()
    assert (store.source, store.images, store.side) == (str(root), 4, 16)
    assert store.size > 4 * 3 * 16 * 16
    assert not store.in_use()


def test_beyond_the_bound_the_least_recently_used_are_removed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = build(root, 32, age=100), build(root, 33, age=200)
    monkeypatch.setenv("ZOO_CACHE_LIMIT", str(2 * 15_000 + 4000))
    third = build(root, 34)
    assert first.exists()
    assert not second.exists()
    assert third.exists()


def test_the_store_just_built_stays_whatever_the_bound(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = build(root, 16)
    monkeypatch.setenv("ZOO_CACHE_LIMIT", "1")
    new = build(root, 17)
    assert (old.exists(), new.exists()) == (False, True)
    (line,) = capsys.readouterr().err.splitlines()
    assert "removed 1 pixel store not used lately" in line


def test_a_store_in_use_is_not_removed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = load(root, store_size=16)
    monkeypatch.setenv("ZOO_CACHE_LIMIT", "1")
    build(root, 17)
    assert [store.side for store in store_cache.stores()] == [16, 17]
    assert store_cache.stores()[0].in_use()
    assert len(used.train.pixels.images) == 4
    del used
    build(root, 18)
    assert [store.side for store in store_cache.stores()] == [18]


def test_a_newer_store_of_the_same_images_replaces_one_unused_for_a_week(root: Path, image_folder: Draw) -> None:
    other = build(image_folder({"a": 1, "b": 1}, root="other"), 16, age=WEEK + 9)
    old, recent = build(root, 16, age=WEEK + 9), build(root, 17, age=WEEK - 99)
    build(root, 18)
    assert (other.exists(), old.exists(), recent.exists()) == (True, False, True)


def test_use_counts_as_use(root: Path) -> None:
    folder = build(root, 16, age=1000)
    load(root, store_size=16)
    assert time.time() - (folder / "manifest.json").stat().st_mtime < 100


def test_a_store_of_an_earlier_version_is_found_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(root, 16)
    about = json.loads((folder / "store.json").read_text())
    # Earlier versions did not record the source of a store.
    del about["source"]
    (folder / "store.json").write_text(json.dumps(about))
    manifest = json.loads((folder / "manifest.json").read_text())
    from zoo.data.pixel_store import _digests

    manifest["store.json"] = _digests(folder / "store.json")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "images were decoded before" in load(root, store_size=16).notes
    (store,) = store_cache.stores()
    assert (store.source, store.images) == ("", 4)


@pytest.mark.parametrize(("text", "size"), [("50G", 50e9), ("1.5 M", 1.5e6), ("800kb", 8e5), ("123", 123)])
def test_the_bound_can_be_set(monkeypatch: pytest.MonkeyPatch, text: str, size: float) -> None:
    monkeypatch.setenv("ZOO_CACHE_LIMIT", text)
    assert store_cache.limit() == size


def test_a_bound_that_is_not_a_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE_LIMIT", "plenty")
    with pytest.raises(ZooError, match="ZOO_CACHE_LIMIT: expected a size, found 'plenty'"):
        store_cache.limit()


@pytest.mark.parametrize(("disk", "size"), [(10e9, 5e9), (100e9, 20e9), (1e12, 100e9)])
def test_the_bound_follows_the_disk(monkeypatch: pytest.MonkeyPatch, disk: float, size: float) -> None:
    monkeypatch.delenv("ZOO_CACHE_LIMIT", raising=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("usage", (), {"total": int(disk)}))
    assert store_cache.limit() == size
