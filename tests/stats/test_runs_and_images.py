"""The t test over runs and images: it holds what it promises for few runs, however much seeds differ."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.stats.holm import holm
from zoo.stats.runs_and_images import paired_difference


def answers(seed: int, runs: int, images: int, better: float = 0.0, run_spread: float = 0.1) -> np.ndarray:
    """Draw right and wrong answers, bool [runs, images]; the difficulty of an image is the same for all seeds."""
    hardness = np.random.default_rng(99).normal(1.5, 2, images)
    draws = np.random.default_rng(seed)
    return hardness + better + draws.normal(0, run_spread, (runs, 1)) + draws.normal(0, 0.5, (runs, images)) > 0


def test_the_variance_is_that_of_two_crossed_factors() -> None:
    """Two runs of one model and one run of the other, on three images; computed by hand."""
    found = paired_difference(np.array([[1, 0, 1]], bool), np.array([[1, 1, 1], [0, 1, 1]], bool))
    # Differences by image: -1/2, 1 and 0, with variance 7/12. Accuracies of the runs: 1 and 2/3, with variance 1/18. The rests
    # of their answers are 1/3, -1/6, -1/6 and the opposite: mean square 1/6.
    variance = 7 / 12 / 3 + 1.5 * (1 / 18 - 1 / 6 / 3)
    freedom = variance**2 / (1.5 / 18) ** 2
    half = (found.interval[1] - found.interval[0]) / 2
    assert found.value == pytest.approx(1 / 6)
    assert freedom == pytest.approx(5.4444, abs=1e-3)
    # The interval ends at 1, beyond which no difference can be.
    assert found.interval == (pytest.approx(1 / 6 - 2.5087 * variance**0.5, abs=1e-3), 1.0)
    assert half < 1


@pytest.mark.parametrize("spread", [0.1, 0.3, 1.0])
@pytest.mark.parametrize(("first_runs", "second_runs"), [(2, 2), (3, 3), (5, 5), (2, 5), (1, 3), (1, 5)])
def test_the_interval_holds_what_it_promises(first_runs: int, second_runs: int, spread: float) -> None:
    """Of 400 pairs of equally good models, about 95 % have 0 in their interval and a p-value above 0.05."""
    found = [
        paired_difference(
            answers(2 * seed, first_runs, 300, run_spread=spread), answers(2 * seed + 1, second_runs, 300, run_spread=spread)
        )
        for seed in range(400)
    ]
    assert 0.92 <= np.mean([one.interval[0] <= 0 <= one.interval[1] for one in found]) <= 0.985
    assert np.mean([one.p < 0.05 for one in found]) <= 0.08


def test_the_interval_is_not_much_wider_than_the_spread_of_the_values() -> None:
    found = [paired_difference(answers(2 * seed, 4, 200), answers(2 * seed + 1, 4, 200)) for seed in range(200)]
    width = np.mean([one.interval[1] - one.interval[0] for one in found])
    assert 1 <= width / (2 * 1.96 * np.std([one.value for one in found])) <= 1.5


@pytest.mark.parametrize("comparisons", [1, 200])
def test_a_clear_difference_is_told_apart_among_any_number_of_comparisons(comparisons: int) -> None:
    found = paired_difference(answers(1, 2, 300), answers(2, 2, 300, better=3.0))
    assert max(holm([found.p] * comparisons)) < 0.05


def test_a_better_model_is_found() -> None:
    found = paired_difference(answers(1, 3, 1000), answers(2, 3, 1000, better=1.0))
    assert found.interval[0] > 0
    assert found.p < 0.01
    back = paired_difference(answers(2, 3, 1000, better=1.0), answers(1, 3, 1000))
    assert back.value == -found.value
    assert back.p < 0.01


def test_equal_answers_differ_in_nothing() -> None:
    first = answers(1, 1, 50)
    assert paired_difference(first, first).p == 1
    assert paired_difference(first, first).interval == (0, 0)


def test_the_same_runs_in_another_order_differ_in_nothing() -> None:
    rows = np.random.default_rng(0).random((3, 2000)) < 0.9
    found = paired_difference(rows, rows[::-1])
    assert (found.value, found.p) == (0, 1)
    assert found.interval[0] < 0 < found.interval[1]


def test_any_number_of_runs_and_images_is_compared() -> None:
    assert paired_difference(answers(1, 70, 60), answers(2, 70, 60, better=0.3)).value > 0
    for runs in (1, 2):
        one = paired_difference(np.ones((runs, 1), bool), np.zeros((runs, 1), bool))
        assert (one.value, one.interval[0]) == (-1, -1)
        assert one.p > 0.05
