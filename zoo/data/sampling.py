"""Choose which images an epoch shows where classes are not to be seen as often as they occur."""

from __future__ import annotations

import numpy as np

from zoo.data import rng


def sampled_order(seed: int, epoch: int, targets: np.ndarray, *, power: float) -> np.ndarray:
    """Return the images of an epoch, as many as there are: each class has a share of them.

    Within an epoch, no image of a class is shown more than once more than another one of it.

    Args:
        seed, epoch: the order is a function of these two.
        targets: int64 [n], the class of each image.
        power: of a class's count, which is its share: 0 for equal shares, 0.5 for the square root.

    Returns:
        int64 [n], positions in `targets`.
    """
    generator = rng.generator_of(seed, rng.ORDER, epoch)
    counts = np.bincount(targets)
    shares = np.where(counts > 0, np.maximum(counts, 1).astype(np.float64) ** power, 0)
    exact = shares / shares.sum() * len(targets)
    quotas = np.floor(exact).astype(np.int64)
    # What rounding leaves goes to the classes that it took the most of.
    quotas[np.argsort(quotas - exact, kind="stable")[: len(targets) - quotas.sum()]] += 1
    parts = []
    for label, quota in enumerate(quotas):
        members = np.flatnonzero(targets == label)
        rounds = [generator.permutation(members) for _ in range(-(-int(quota) // max(1, len(members))))]
        parts.append(np.concatenate([*rounds, members[:0]])[:quota])
    return generator.permutation(np.concatenate(parts))
