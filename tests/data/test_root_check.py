from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.folders import refused

from zoo.data import splits

Draw = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("cache")


def counts(split: splits.Split | None) -> list[int]:
    assert split is not None
    return np.bincount(split.targets).tolist()


def files_of(split: splits.Split | None) -> set[int]:
    assert split is not None
    return set(split.index.tolist())


def test_a_missing_root(tmp_path: Path) -> None:
    assert refused(tmp_path / "none") == "data.root: no such folder: ROOT (point data.root at your image folder)"
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file") == "data.root: ROOT is a file, not a folder (point data.root at a folder)"
