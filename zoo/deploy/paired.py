"""Compare two models on the same images: the difference of their accuracies, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zoo.stats.paired import paired_interval


@dataclass(frozen=True)
class PairedAccuracy:
    """Accuracies of the live model and the exported one on the same images.

    Attributes:
        live, exported: shares of correct predictions.
        difference: exported minus live.
        interval: 95 % interval of the difference.
        images: number of images with a known class.
    """

    live: float
    exported: float
    difference: float
    interval: tuple[float, float]
    images: int


def paired_accuracy(live: Tensor, exported: Tensor, targets: Tensor) -> PairedAccuracy | None:
    """Return the accuracies of two predictions int64 [N], without targets below 0, or None if there are no others."""
    known = targets >= 0
    count = int(known.sum())
    if not count:
        return None
    first, second = (live == targets)[known], (exported == targets)[known]
    lost, won = int((first & ~second).sum()), int((~first & second).sum())
    shares = int(first.sum()) / count, int(second.sum()) / count
    return PairedAccuracy(*shares, shares[1] - shares[0], paired_interval(lost, won, count), count)
