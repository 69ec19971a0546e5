"""`zoo cache`: it shows the disk space of decoded images and features, and frees it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.folders import load

from zoo.cli import main
from zoo.data import feature_cache

Draw = Callable[..., Path]


def test_stores_are_shown_and_freed(image_folder: Draw, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = image_folder({"a": 2, "b": 2})
    used = load(root, store_size=16)
    load(root, store_size=24)
    capsys.readouterr()
    assert main(["cache"]) == 0
    heading, newest, oldest, total = capsys.readouterr().out.splitlines()
    assert heading.split() == ["images", "of", "images", "side", "px", "MB", "last", "used"]
    assert newest.split()[:4] == [str(root), "4", "24", "0.0"]
    assert oldest.endswith("(in use)")
    assert total.startswith("2 pixel stores, 0 MB of at most ")

    (cache / "pixels/.x.tmp").mkdir()
    (cache / "pixels/x.lock").touch()
    assert main(["cache", "--clear"]) == 0
    assert "; kept 1 in use" in capsys.readouterr().out
    assert not (cache / "pixels/.x.tmp").exists()
    assert len(used.train.pixels.images) == 4
    del used
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out.startswith("freed 0 MB in ")
    assert list((cache / "pixels").glob("*/*")) == []


def test_an_empty_cache(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.startswith("0 pixel stores, 0 MB of at most ")
    assert main(["cache", "--clear"]) == 0


def test_it_imports_nothing_heavy(cache: Path) -> None:
    code = "import sys; from zoo.cli import main; main(['cache']); print(*{'torch', 'numpy', 'PIL'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == ""


def test_features_are_shown_and_freed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    about = {"backbone": "resnet18.a1_in1k", "data": "photos", "image_size": "96"}
    feature_cache.save("key", torch.zeros(30, 8), about)
    assert main(["cache"]) == 0
    heading, row, total = capsys.readouterr().out.splitlines()[-3:]
    assert heading.split() == ["features", "of", "by", "images", "px", "features", "MB", "last", "used"]
    assert row.split()[:5] == ["photos", "resnet18.a1_in1k", "30", "96", "8"]
    assert total.startswith("1 file of features, 0 MB of at most 4,000 MB, in ")
    assert main(["cache", "--clear"]) == 0
    assert feature_cache.files() == []
