"""scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.folders import files_of

from zoo.data import options

Draw = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("cache")


def test_digits_are_whole_and_their_test_set_is_fixed() -> None:
    found, other = (options.Digits().load(seed, 32) for seed in (0, 1))
    assert [len(part or ()) for part in (found.train, found.val, found.test)] == [1295, 143, 359]
    assert found.train.pixels.images.shape == (1797, 3, 8, 8)
    assert found.train.pixels.images.max() == 255
    assert found.test is not None
    assert found.test.names()[0] == f"digits[{found.test.index[0]}]"
    assert files_of(found.test) == files_of(other.test)
    assert files_of(found.val) != files_of(other.val)
