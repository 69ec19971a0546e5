"""P-values of many comparisons at once."""

from __future__ import annotations

from collections.abc import Sequence


def holm(values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values of Holm's step-down method (Scandinavian Journal of Statistics 6, 1979, 65 to 70).

    Comparisons whose adjusted value is below 0.05 are wrong with a probability of at most 5 % all together, whatever the
    values depend on. The smallest is multiplied by their number, the next by one less, and so on; none is below the one
    before it.
    """
    adjusted, least = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = least
    return adjusted
