"""The bootstrap over runs and images, compared with a slow one and with the coverage that it promises."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.stats.bootstrap import draws_for, paired_difference
from zoo.stats.holm import holm


def answers(seed: int, runs: int, images: int, better: float = 0.0, run_spread: float = 0.1) -> np.ndarray:
    """Draw right and wrong answers, bool [runs, images]; the difficulty of an image is the same for all seeds."""
    hardness = np.random.default_rng(99).normal(1.5, 2, images)
    draws = np.random.default_rng(seed)
    return hardness + better + draws.normal(0, run_spread, (runs, 1)) + draws.normal(0, 0.5, (runs, images)) > 0


def slow(first: np.ndarray, second: np.ndarray, draws: int) -> np.ndarray:
    """Return resampled differences; images and runs are drawn directly, without patterns."""
    generator = np.random.default_rng(5)
    found = []
    for _ in range(draws):
        images = generator.integers(0, first.shape[1], first.shape[1])
        means = [group[generator.integers(0, len(group), max(1, len(group) - 1))][:, images].mean() for group in (first, second)]
        found.append(means[1] - means[0])
    return np.array(found)


@pytest.mark.parametrize(("first_runs", "second_runs"), [(3, 4), (1, 3), (1, 1)])
def test_patterns_of_images_are_as_good_as_images(first_runs: int, second_runs: int) -> None:
    first, second = answers(1, first_runs, 300, run_spread=0.3), answers(2, second_runs, 300, better=0.4, run_spread=0.3)
    found, expected = paired_difference(first, second, draws=4000), slow(first, second, 4000)
    assert found.value == second.mean() - first.mean()
    assert found.interval == pytest.approx(np.quantile(expected, [0.025, 0.975]), abs=0.006)


def test_any_number_of_runs_is_compared() -> None:
    """The pattern of an image over 140 runs has more bits than an int64."""
    first, second = answers(1, 70, 60), answers(2, 70, 60, better=0.3)
    found = paired_difference(first, second, draws=2000)
    assert found.value == pytest.approx(second.mean() - first.mean())
    assert found.interval == pytest.approx(np.quantile(slow(first, second, 2000), [0.025, 0.975]), abs=0.008)


def test_the_interval_holds_what_it_promises() -> None:
    """Of 200 pairs of equally good models, about 95 % have 0 in their interval and a p-value above 0.05."""
    pairs = [(answers(2 * seed, 4, 200), answers(2 * seed + 1, 4, 200)) for seed in range(200)]
    found = [paired_difference(*pair, draws=400, seed=seed) for seed, pair in enumerate(pairs)]
    assert 0.92 <= np.mean([one.interval[0] <= 0 <= one.interval[1] for one in found]) <= 0.985
    # The interval is at most 1.5 times as wide as it should be for the spread of the values: the bootstrap errs to the wide side.
    width = np.mean([one.interval[1] - one.interval[0] for one in found])
    assert 1 <= width / (2 * 1.96 * np.std([one.value for one in found])) <= 1.5
    assert np.mean([one.p < 0.05 for one in found]) <= 0.08


@pytest.mark.parametrize("comparisons", [1, 200])
def test_a_clear_difference_is_told_apart_among_any_number_of_comparisons(comparisons: int) -> None:
    found = paired_difference(answers(1, 2, 300), answers(2, 2, 300, better=3.0), draws_for(comparisons))
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


def test_equal_seeds_give_equal_results() -> None:
    first, second = answers(1, 3, 100), answers(2, 3, 100)
    assert paired_difference(first, second, seed=3) == paired_difference(first, second, seed=3)
