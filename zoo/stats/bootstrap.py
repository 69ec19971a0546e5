"""The difference of two models of which there are several runs each, all scored on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.stats.intervals import LEVEL

# Resamples, and those of one batch of more. The smallest p-value that they can show is 2 / (DRAWS + 1).
DRAWS = 5000
# Resamples for each of several comparisons: Holm's correction multiplies the smallest p-value by their number, and the product
# is still half of 0.05.
DRAWS_EACH = 80
# A p-value above this after a batch tells nothing apart, whatever is drawn further (Besag and Clifford, Biometrika 78, 1991).
DECIDED = 0.2
# Codes of patterns are numbered anew from here on, long before they leave 63 bits.
LARGEST_CODE = 2**60


@dataclass(frozen=True)
class Difference:
    """A difference of mean accuracies.

    Attributes:
        value: the second model's mean accuracy minus the first one's.
        interval: its 95 % percentile interval.
        p: two-sided p-value of no difference.
    """

    value: float
    interval: tuple[float, float]
    p: float


def paired_difference(first: np.ndarray, second: np.ndarray, draws: int = DRAWS, seed: int = 0) -> Difference:
    """Compare the mean accuracy of two models by a bootstrap over runs and images.

    Each resample takes N of the N images, the same for all runs, and runs of each model: S - 1 of S, so that the variance
    that comes of few runs is right (Rao and Wu, J. of the American Statistical Association 83, 1988, 231 to 241). The
    variance of resampling both ways is on average no smaller than the true one (Owen, Annals of Applied Statistics 1, 2007,
    386 to 411). A single run tells
    nothing of how runs spread, so then images alone are resampled for that model.

    Images on which all runs give the same pattern of right and wrong answers stand for each other. Their counts are drawn
    at once, which is as good as drawing each image: patterns are few, images are many.

    Args:
        first: bool [S, N], whether each run of the first model has each image right.
        second: bool [R, N], the same of the second.
        draws: resamples at most; of more than `DRAWS` no further ones are taken where the p-value is far from small.
        seed: of the draws; equal ones give equal results.
    """
    assert first.shape[1] == second.shape[1] > 0
    generator = np.random.default_rng(seed)
    runs, images = len(first), first.shape[1]
    patterns, counts = _patterns(np.concatenate([first, second]))  # [P, S + R], [P]
    found = np.empty(0)
    p = 0.0
    while len(found) < draws and p <= DECIDED:
        size = min(DRAWS, draws - len(found))
        drawn = generator.multinomial(images, counts / images, size=size)  # [size, P]
        accuracy = drawn @ patterns.astype(np.float64) / images  # [size, S + R]
        shares = (_run_shares(generator, count, size) for count in (runs, len(second)))  # [size, S], [size, R]
        means = [(accuracy[:, part] * share).sum(1) for part, share in zip((np.s_[:runs], np.s_[runs:]), shares, strict=True)]
        found = np.concatenate([found, means[1] - means[0]])
        p = _p_value(found)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return Difference(float(second.mean() - first.mean()), (float(low), float(high)), p)


def draws_for(comparisons: int) -> int:
    """Return the resamples with which one of so many comparisons can be told apart after Holm's correction."""
    return max(DRAWS, DRAWS_EACH * comparisons)


def _p_value(found: np.ndarray) -> float:
    """Return the two-sided p-value of no difference, of resampled differences float64 [D]."""
    # Sums of another order differ in their last digit: what is as good as 0 counts on both sides.
    rounding = 1e-12
    fewer = min(np.count_nonzero(found <= rounding), np.count_nonzero(found >= -rounding))
    return float(min(1.0, 2 * (fewer + 1) / (len(found) + 1)))


def _patterns(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different columns of a table bool [S, N] as rows, bool [P, S], and how often each occurs, int64 [P].

    Each column is read as a number in base 2: numbers are sorted many times faster than columns.
    """
    codes = np.zeros(answers.shape[1], dtype=np.int64)
    for row in answers:
        codes = 2 * codes + row
        if codes.max() >= LARGEST_CODE:
            codes = np.unique(codes, return_inverse=True)[1]
    _, places, counts = np.unique(codes, return_index=True, return_counts=True)
    return answers[:, places].T, counts


def _run_shares(generator: np.random.Generator, runs: int, draws: int) -> np.ndarray:
    """Return the share of each run in each resample, float64 [draws, runs]."""
    taken = max(1, runs - 1)
    return generator.multinomial(taken, np.full(runs, 1 / runs), size=draws) / taken
