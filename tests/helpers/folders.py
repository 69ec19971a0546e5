"""Load image folders, or return the error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zoo.data import splits
from zoo.data.options import Folder
from zoo.errors import ZooError


def load(root: Path, seed: int = 0, size: int = 32, **options: object) -> splits.Splits:
    return Folder(root=root, **options).load(seed, size)  # type: ignore[arg-type]


def refused(root: Path, **options: object) -> str:
    with pytest.raises(ZooError) as error:
        load(root, **options)
    (line,) = error.value.lines
    return line.replace(str(root), "ROOT")


def counts(split: splits.Split | None) -> list[int]:
    """Count the images of each class."""
    assert split is not None
    return np.bincount(split.targets).tolist()


def files_of(split: splits.Split | None) -> set[int]:
    """Return the rows of the store that a split uses."""
    assert split is not None
    return set(split.index.tolist())
