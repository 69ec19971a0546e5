"""The learning rate that is suggested for made-up losses."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from zoo.training.lr_rule import has_diverged, rates_between, rounded, smoothed, suggest

RATES = rates_between(1e-6, 1.0, 100)


def valley(rate: float, best: float = 1e-3, floor: float = 1.0, start: float = 2.3) -> float:
    """Return a loss that falls from `start`, is lowest near `best`, and rises beyond it."""
    fallen = start - (start - floor) / (1 + (0.1 * best / rate) ** 1.5)
    return fallen + (rate / (3 * best)) ** 2


def test_rates_rise_by_equal_factors_and_reach_both_ends() -> None:
    assert (RATES[0], RATES[-1]) == (1e-6, pytest.approx(1.0))
    factors = [later / earlier for earlier, later in pairwise(RATES)]
    assert max(factors) == pytest.approx(min(factors))


def test_smoothing_has_no_bias_at_its_start() -> None:
    assert smoothed([2.3] * 5) == pytest.approx([2.3] * 5)
    assert smoothed([]) == []


@pytest.mark.parametrize("best", [1e-4, 1e-3, 1e-2])
def test_a_suggestion_is_near_the_best_and_moves_with_it(best: float) -> None:
    losses = [valley(rate, best) for rate in RATES]
    found = suggest(RATES, losses)
    assert found is not None
    assert best / 3 <= found.lr <= 3 * best
    assert found.steep < found.low < found.lr < found.high
    assert found.lr == rounded(found.lr)


def test_noise_moves_it_little() -> None:
    clean, noisy = (
        suggest(RATES, [valley(rate) + size * math.sin(7.3 * step) for step, rate in enumerate(RATES)]) for size in (0, 0.2)
    )
    assert clean is not None
    assert noisy is not None
    assert 0.5 <= noisy.lr / clean.lr <= 2


@pytest.mark.parametrize("losses", [[], [2.3], [2.3] * 50, [2.3 + 0.1 * step for step in range(50)]])
def test_where_the_loss_never_falls_there_is_none(losses: list[float]) -> None:
    assert suggest(RATES[: len(losses)], losses) is None


def test_diverged_is_four_times_the_lowest() -> None:
    assert not has_diverged([])
    assert not has_diverged([2.0, 1.0, 1.5])
    assert has_diverged([1.0] * 20 + [100.0])
    assert has_diverged([1.0, math.nan])
