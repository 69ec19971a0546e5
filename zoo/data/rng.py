"""Randomness as a function of (seed, purpose, epoch or step), never of what was drawn before.

A run that is resumed, or split over more processes, draws the same numbers.
"""

from __future__ import annotations

import numpy as np

# What a draw is for; part of its seed, so that the streams never meet.
SPLIT, ORDER, AUGMENT, DROPOUT, SYNTHETIC = range(5)


def generator_of(seed: int, purpose: int, *index: int) -> np.random.Generator:
    """The generator of one purpose at one index (an epoch, a step, a rank)."""
    return np.random.default_rng(np.random.SeedSequence([seed, purpose, *index]))


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of an epoch: a permutation, int64 [count]."""
    return generator_of(seed, ORDER, epoch).permutation(count)


def torch_seed(seed: int, step: int, rank: int) -> int:
    """The seed of what the model itself draws in one step (dropout, drop path)."""
    return int(np.random.SeedSequence([seed, DROPOUT, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))
