"""P-values adjusted for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence


def holm(values: Sequence[float], comparisons: int | None = None) -> list[float]:
    """Return the adjusted p-values of Holm's step-down method (Scandinavian Journal of Statistics 6, 1979, 65 to 70).

    Among all comparisons, the probability that an adjusted value is below 0.05 without a true difference is at most 5 %,
    however the p-values depend on each other. The smallest p-value is multiplied by the number of comparisons, the next by
    one less, and so on; no adjusted value is below the one before it, or above 1.

    Args:
        values: the p-values.
        comparisons: number of comparisons that were possible, if these were chosen by the data; None: just these.
    """
    many = len(values) if comparisons is None else comparisons
    adjusted, least = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, min(1.0, (many - rank) * values[place]))
        adjusted[place] = least
    return adjusted
