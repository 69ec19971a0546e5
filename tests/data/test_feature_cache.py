"""Features on the disk: they are loaded, listed, limited in size and removed, and damaged files are ignored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from zoo.data import feature_cache
from zoo.errors import StorageError

ABOUT = {"backbone": "resnet18.a1_in1k", "data": "photos", "image_size": "96"}


def test_features_are_read_back_and_listed_from_the_least_recently_used(cache: Path) -> None:
    features = torch.randn(6, 4)
    feature_cache.save("one", features, ABOUT)
    feature_cache.save("two", features[:2], ABOUT | {"data": "others"})
    for age, name in ((100, "two"), (200, "one")):
        os.utime(cache / "features" / f"{name}.safetensors", (age, age))
    first, last = feature_cache.files()
    assert (first.data, first.images, first.width, first.image_size) == ("others", 2, 4, 96)
    assert (last.data, last.backbone) == ("photos", "resnet18.a1_in1k")
    found = feature_cache.load("two")
    assert found is not None
    assert torch.equal(found, features[:2])
    # Loading counts as use.
    assert [file.data for file in feature_cache.files()] == ["photos", "others"]


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0{}", b"text that is no tensor"])
def test_what_is_damaged_is_neither_listed_nor_read(cache: Path, content: bytes) -> None:
    feature_cache.save("one", torch.zeros(1, 1), ABOUT)
    (cache / "features" / "one.safetensors").write_bytes(content)
    assert feature_cache.files() == []
    assert feature_cache.load("one") is None


def test_old_ones_give_way_and_all_can_be_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        feature_cache.save(str(number), torch.zeros(10, 10), ABOUT)
        os.utime(cache / "features" / f"{number}.safetensors", (number, number))
    monkeypatch.setattr(feature_cache, "MOST_BYTES", 1_500)
    feature_cache.save("new", torch.zeros(10, 10), ABOUT)
    assert sorted(path.stem for path in (cache / "features").iterdir()) == ["2", "new"]
    (cache / "features" / ".x.safetensors.tmp").write_bytes(b"half")
    assert feature_cache.clear() > 800
    assert list((cache / "features").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_one_line(cache: Path) -> None:
    cache.mkdir()
    (cache / "features").write_text("a file")
    with pytest.raises(StorageError, match=r"features cannot be written: .*set ZOO_CACHE to another folder"):
        feature_cache.save("one", torch.zeros(1, 1), ABOUT)
    assert feature_cache.clear() == 0
