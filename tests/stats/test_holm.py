"""Holm's adjusted p-values."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest

from zoo.stats.holm import holm


def closed_testing(values: list[float]) -> list[float]:
    """Adjust p-values as Holm's method does, but by definition: the largest Bonferroni p-value of all sets with a comparison."""
    places = range(len(values))
    sets = list(chain.from_iterable(combinations(places, size) for size in range(1, len(values) + 1)))
    return [max(min(1.0, len(some) * min(values[one] for one in some)) for some in sets if place in some) for place in places]


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_adjusted_values_are_those_of_closed_testing(count: int) -> None:
    values = (np.random.default_rng(count).random(count) ** 3).tolist()
    assert holm(values) == pytest.approx(closed_testing(values), abs=1e-15)


def test_equal_values_and_none_at_all() -> None:
    assert holm([0.02, 0.02, 1.0]) == pytest.approx([0.06, 0.06, 1.0])
    assert holm([]) == []
    assert holm([0.01, 0.02], comparisons=6) == pytest.approx([0.06, 0.1])
