"""Randomness as a function of (seed, purpose, epoch or step), never of what was drawn before.

A run that is resumed, or split over more processes, draws the same numbers.
"""

from __future__ import annotations

import numpy as np

# What a draw is for: a part of its seed, so that the streams never meet. The numbers are fixed: others, other results.
# Which images of a class become val or test.
SPLIT = 0
# In which order an epoch sees the images.
ORDER = 1
# Crops, flips, colors and mixtures of a step.
AUGMENT = 2
# What the model draws in a step.
DROPOUT = 3
# Made-up images.
SYNTHETIC = 4
# Which images a probe looks at, and in which folds.
FOLDS = 5


def generator_of(seed: int, purpose: int, *index: int) -> np.random.Generator:
    """Return the generator of one purpose at one index (an epoch, a step, a rank)."""
    return np.random.default_rng(np.random.SeedSequence([seed, purpose, *index]))


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order of an epoch: a permutation, int64 [count]."""
    return generator_of(seed, ORDER, epoch).permutation(count)


def torch_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of what the model itself draws in one step (dropout, drop path)."""
    return int(np.random.SeedSequence([seed, DROPOUT, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))
