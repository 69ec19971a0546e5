"""Two models on the same images, compared with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from zoo.stats.paired import PairedTable, mcnemar, paired_interval


@pytest.mark.parametrize("total", [0, 1, 2, 7, 40, 999, 1000, 1001, 5000, 100_000])
def test_the_exact_test_is_scipys_binomial_test(total: int) -> None:
    for won in {0, 1, total // 4, total * 45 // 100, total * 49 // 100, total // 2, total} & set(range(total + 1)):
        expected = stats.binomtest(won, total).pvalue if total else 1.0
        assert mcnemar(total - won, won) == pytest.approx(expected, abs=1e-12, rel=1e-9)


def test_the_test_does_not_care_which_model_is_first() -> None:
    assert mcnemar(3, 11) == mcnemar(11, 3) == pytest.approx(2 * (1 + 14 + 91 + 364) / 2**14, rel=1e-15)


def test_whole_numbers_and_the_beta_function_meet() -> None:
    """From 1,001 images on, the p-value is computed in another way; one more image lowers it only a little."""
    assert 0 < mcnemar(470, 530) - mcnemar(470, 531) < 0.005


def test_every_image_is_counted_once() -> None:
    first = np.array([True, True, True, False, False, False])
    second = np.array([True, True, False, True, False, False])
    table = PairedTable.of(first, second)
    assert table == PairedTable(both=2, first=1, second=1, neither=2)
    assert (table.images, table.difference, table.p) == (6, 0.0, 1.0)
    swapped = PairedTable.of(second, ~first)
    assert swapped.difference == pytest.approx((~first).mean() - second.mean())


def test_the_interval_is_that_of_agresti_and_min() -> None:
    # Computed by hand: (7.5 - 2.5) / 102 +- 1.96 * sqrt(10 - 25 / 102) / 102
    assert paired_interval(2, 7, 100) == pytest.approx((-0.010997, 0.109037), abs=1e-5)


def test_the_interval_holds_what_it_promises() -> None:
    """Of 4,000 samples with a true difference of 0.03, about 95 % have it in their interval."""
    draws = np.random.default_rng(0).multinomial(300, [0.05, 0.08, 0.87], size=4000)
    held = [low <= 0.03 <= high for low, high in (paired_interval(int(lost), int(won), 300) for lost, won, _ in draws)]
    assert 0.94 < np.mean(held) < 0.965
