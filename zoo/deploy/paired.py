"""Compare two models on the same images: a difference of accuracies and its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from zoo.metrics import Z_95


@dataclass(frozen=True)
class PairedAccuracy:
    """Accuracies of the live model and the exported one on the same images.

    Attributes:
        live, exported: shares of right answers.
        difference: exported minus live.
        interval: 95 % interval of the difference.
        images: how many had a known class.
    """

    live: float
    exported: float
    difference: float
    interval: tuple[float, float]
    images: int


def paired_accuracy(live: Tensor, exported: Tensor, targets: Tensor) -> PairedAccuracy | None:
    """Return the accuracies of two predictions int64 [N]; targets below 0 are left out; None where nothing is left."""
    known = targets >= 0
    count = int(known.sum())
    if not count:
        return None
    first, second = (live == targets)[known], (exported == targets)[known]
    lost, won = int((first & ~second).sum()), int((~first & second).sum())
    shares = int(first.sum()) / count, int(second.sum()) / count
    return PairedAccuracy(*shares, shares[1] - shares[0], paired_interval(lost, won, count), count)


def paired_interval(lost: int, won: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a difference of two shares of the same `count` images.

    The adjusted Wald interval of Agresti and Min (Statistics in Medicine 24, 2005, 729 to 740): a half is added to each cell
    of the table of both answers. McNemar's test looks at the same two cells, those in which the two models disagree.

    Args:
        lost: images that only the first is right on.
        won: images that only the second is right on.
        count: all images.
    """
    size, lower, upper = count + 2, lost + 0.5, won + 0.5
    middle = (upper - lower) / size
    spread = Z_95 * math.sqrt(lower + upper - (upper - lower) ** 2 / size) / size
    return max(middle - spread, -1.0), min(middle + spread, 1.0)
