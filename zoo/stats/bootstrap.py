"""The difference of two models with several runs each, all evaluated on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.stats.intervals import LEVEL

# Number of resamples, and of those in one batch if there are more. The smallest possible p-value is 2 / (DRAWS + 1).
DRAWS = 5000
# Resamples per comparison if there are several: Holm's correction multiplies the smallest p-value by the number of comparisons,
# and the product can still be half of 0.05.
DRAWS_EACH = 80
# A p-value above this after a batch will not become small with more resamples (Besag and Clifford, Biometrika 78, 1991).
DECIDED = 0.2
# Codes of patterns are renumbered when one reaches this value, long before they exceed 63 bits.
LARGEST_CODE = 2**60


@dataclass(frozen=True)
class Difference:
    """A difference of mean accuracies.

    Attributes:
        value: the second model's mean accuracy minus the first model's.
        interval: its 95 % percentile interval.
        p: two-sided p-value of no difference.
    """

    value: float
    interval: tuple[float, float]
    p: float


def paired_difference(first: np.ndarray, second: np.ndarray, draws: int = DRAWS, seed: int = 0) -> Difference:
    """Compare the mean accuracy of two models by a bootstrap over runs and images.

    Each resample draws N of the N images, the same for all runs, and S - 1 of the S runs of each model, so that the variance
    is right for few runs (Rao and Wu, J. of the American Statistical Association 83, 1988, 231 to 241). The variance of
    resampling both runs and images is on average no smaller than the true one (Owen, Annals of Applied Statistics 1, 2007,
    386 to 411). A single run says nothing about the spread of runs, so that only images are resampled for that model.

    Images with the same pattern of right and wrong answers over all runs are interchangeable. The counts of the patterns are
    drawn, which is equivalent to drawing each image and faster: there are few patterns and many images.

    Args:
        first: bool [S, N], whether each run of the first model classifies each image correctly.
        second: bool [R, N], the same for the second model.
        draws: most resamples. If there are more than `DRAWS`, drawing stops after a batch when the p-value exceeds `DECIDED`.
        seed: the seed of the resamples; the same seed gives the same result.
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
    """Return the number of resamples with which one of several comparisons can be significant after Holm's correction."""
    return max(DRAWS, DRAWS_EACH * comparisons)


def _p_value(found: np.ndarray) -> float:
    """Return the two-sided p-value of no difference, from resampled differences float64 [D]."""
    # Sums in another order differ in their last digits, so that values this close to 0 count on both sides.
    rounding = 1e-12
    fewer = min(np.count_nonzero(found <= rounding), np.count_nonzero(found >= -rounding))
    return float(min(1.0, 2 * (fewer + 1) / (len(found) + 1)))


def _patterns(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct columns of a table bool [S, N] as rows, bool [P, S], and how often each occurs, int64 [P].

    Each column is read as a binary number, because numbers are sorted many times faster than columns.
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
