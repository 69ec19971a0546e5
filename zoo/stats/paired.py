"""Two models on the same images: the table of their answers, McNemar's exact test, the interval of the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zoo.metrics import Z_95
from zoo.stats.intervals import incomplete_beta

# Most images on which two models disagree for which the p-value is counted exactly, in whole numbers.
COUNTED = 1000


@dataclass(frozen=True)
class PairedTable:
    """Numbers of images by which of two models classify them correctly.

    Attributes:
        both: images that both models classify correctly.
        first: images that only the first model classifies correctly.
        second: images that only the second model classifies correctly.
        neither: images that neither model classifies correctly.
    """

    both: int
    first: int
    second: int
    neither: int

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray) -> PairedTable:
        """Count two arrays bool [N], which say whether each model classifies each image correctly."""
        assert first.shape == second.shape
        both, lost, won = (int(np.count_nonzero(part)) for part in (first & second, first & ~second, ~first & second))
        return cls(both, lost, won, len(first) - both - lost - won)

    @property
    def images(self) -> int:
        """Return the number of all images."""
        return self.both + self.first + self.second + self.neither

    @property
    def difference(self) -> float:
        """Return the second model's accuracy minus the first model's."""
        return (self.second - self.first) / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the difference, by `paired_interval`."""
        return paired_interval(self.first, self.second, self.images)

    @property
    def p(self) -> float:
        """Return the p-value of no difference, by `mcnemar`."""
        return mcnemar(self.first, self.second)


def mcnemar(lost: int, won: int) -> float:
    """Return the two-sided p-value of McNemar's exact test of whether two models are equally good (McNemar 1947).

    This is a binomial test of `won` successes in `lost + won` trials with a probability of a half.

    Args:
        lost: number of images that only the first model classifies correctly.
        won: number of images that only the second model classifies correctly.
    """
    few, total = min(lost, won), lost + won
    if 2 * few == total:
        return 1.0
    if total <= COUNTED:
        term = outcomes = 1
        for place in range(few):
            term = term * (total - place) // (place + 1)
            outcomes += term
        # Python divides integers of any size with correct rounding.
        return 2 * outcomes / 2**total
    # The probability of at most `few` (DLMF 8.17.5).
    return 2 * incomplete_beta(total - few, few + 1, 0.5)


def paired_interval(lost: int, won: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference between the accuracies of two models on the same `count` images.

    The adjusted Wald interval of Agresti and Min (Statistics in Medicine 24, 2005, 729 to 740): a half is added to each cell
    of the table of answers. Like McNemar's test, it uses the two cells in which the models disagree.

    Args:
        lost: number of images that only the first model classifies correctly.
        won: number of images that only the second model classifies correctly.
        count: number of all images.
    """
    size, lower, upper = count + 2, lost + 0.5, won + 0.5
    middle = (upper - lower) / size
    spread = Z_95 * math.sqrt(lower + upper - (upper - lower) ** 2 / size) / size
    return max(middle - spread, -1.0), min(middle + spread, 1.0)
