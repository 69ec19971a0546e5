"""Randomness as a function of (seed, purpose, epoch or step), never of earlier draws.

A run that is resumed, or split over more processes, draws the same numbers.
"""

from __future__ import annotations

import numpy as np

# Purposes of a draw. Each is part of the seed, so that the streams are independent; other numbers would change results.
# Choice of the images of a class that become val or test.
SPLIT = 0
# Order of the images in an epoch.
ORDER = 1
# Crops, flips, colors and mixtures of a step.
AUGMENT = 2
# Draws of the model itself in a step.
DROPOUT = 3
# Made-up images.
SYNTHETIC = 4
# Choice of the images for a probe, and of their folds.
FOLDS = 5


def generator_of(seed: int, purpose: int, *index: int) -> np.random.Generator:
    """Return the generator of one purpose at one index (an epoch, a step, a rank)."""
    return np.random.default_rng(np.random.SeedSequence([seed, purpose, *index]))


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order of the images in an epoch: a permutation, int64 [count]."""
    return generator_of(seed, ORDER, epoch).permutation(count)


def torch_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of the model's own draws in one step (dropout, drop path)."""
    return int(np.random.SeedSequence([seed, DROPOUT, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))
