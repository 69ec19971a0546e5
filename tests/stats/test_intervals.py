"""Means, deviations and intervals, compared with those of numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from zoo.metrics import interval
from zoo.stats.intervals import deviation, incomplete_beta, mean, t_interval, t_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 29, 250, 10_000])
def test_quantiles_are_scipys(freedom: int) -> None:
    for share in (1e-6, 0.025, 0.2, 0.4999, 0.5, 0.5001, 0.9, 0.975, 0.995, 1 - 1e-7):
        assert t_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("count", [2, 3, 5, 40])
def test_mean_deviation_and_interval_are_numpys_and_scipys(count: int) -> None:
    values = np.random.default_rng(count).normal(0.86, 0.004, count).tolist()
    assert mean(values) == pytest.approx(np.mean(values), abs=1e-12)
    assert deviation(values) == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    expected = stats.t.interval(0.95, count - 1, loc=np.mean(values), scale=stats.sem(values))
    assert t_interval(values) == pytest.approx(expected, abs=1e-9)


def test_a_single_value_has_no_spread() -> None:
    assert (mean([0.5]), deviation([0.5]), t_interval([0.5])) == (0.5, None, None)
    assert t_interval([0.5, 0.5]) == (0.5, 0.5)


def test_the_incomplete_beta_function_is_scipys() -> None:
    draws = np.random.default_rng(0)
    for a, b in 10 ** draws.uniform(-1, 5, (200, 2)):
        for x in (0.0, 1.0, draws.random(), min(1.0, a / (a + b) * draws.uniform(0.9, 1.1))):
            assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), abs=1e-10)


def test_the_interval_of_a_share_is_scipys() -> None:
    for hits, count in ((0, 10), (7, 10), (310, 359), (9712, 10_000)):
        expected = stats.binomtest(hits, count).proportion_ci(method="wilson")
        assert interval(hits / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)
