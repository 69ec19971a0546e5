from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.folders import load

Draw = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("cache")


def test_a_run_that_goes_on_sees_other_files(image_folder: Draw) -> None:
    root = image_folder({"a": 10, "b": 10})
    before = load(root).fingerprint()
    os.utime(root / "a/000.png")
    assert load(root).fingerprint() == before
    (root / "a/003.png").rename(root / "a/999.png")
    assert load(root).fingerprint() != before
