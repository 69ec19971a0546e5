"""Choose the images of an epoch if classes should not be shown as often as they occur."""

from __future__ import annotations

import numpy as np

from zoo.data import rng


def sampled_order(seed: int, epoch: int, targets: np.ndarray, *, power: float) -> np.ndarray:
    """Return the images of an epoch, as many as there are in all, in which each class has a given share.

    Within an epoch, two images of the same class are shown equally often, or one of them once more.

    Args:
        seed, epoch: the order is a function of these two.
        targets: int64 [n], the class of each image.
        power: the share of a class is proportional to its count to this power: 0 for equal shares, 0.5 for the square root.

    Returns:
        int64 [n], positions in `targets`.
    """
    generator = rng.generator_of(seed, rng.ORDER, epoch)
    counts = np.bincount(targets)
    shares = np.where(counts > 0, np.maximum(counts, 1).astype(np.float64) ** power, 0)
    exact = shares / shares.sum() * len(targets)
    quotas = np.floor(exact).astype(np.int64)
    # The images that remain after rounding down go to the classes that lost the most by it.
    quotas[np.argsort(quotas - exact, kind="stable")[: len(targets) - quotas.sum()]] += 1
    parts = []
    for label, quota in enumerate(quotas):
        members = np.flatnonzero(targets == label)
        rounds = [generator.permutation(members) for _ in range(-(-int(quota) // max(1, len(members))))]
        parts.append(np.concatenate([*rounds, members[:0]])[:quota])
    return generator.permutation(np.concatenate(parts))
