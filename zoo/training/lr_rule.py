"""Read a learning rate off a range test: the losses of steps with a rising rate. Plain numbers, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Weight of the past in the smoothed loss. fastai's lr_find has 0.98: here the first steps, whose rate is too low to learn,
# would still count where the loss is lowest.
SMOOTHING = 0.9
# A smoothed loss of so many times the lowest one has diverged: fastai's limit.
DIVERGED = 4.0
# The suggestion as a share of the rate with the lowest smoothed loss. That rate is the largest one at which training still
# gained, and smoothing has moved it up.
SHARE = 0.5
# Share by which the loss must fall, at least, to say that a network learned.
LEAST_FALL = 0.02
# Share of the whole fall after which it has begun.
BEGUN = 0.1
# Significant digits of a suggestion: the test tells no more.
DIGITS = 2


@dataclass(frozen=True)
class Suggestion:
    """A rate that was read off a range test.

    Attributes:
        lr: the suggested rate, in two digits.
        low: the rate at which the loss begins to fall.
        high: the rate at which the smoothed loss is lowest; beyond it rises.
        steep: the rate at which it falls fastest over the logarithm of the rate.
    """

    lr: float
    low: float
    high: float
    steep: float


def rates_between(low: float, high: float, steps: int) -> list[float]:
    """Return rates from `low` to `high` of which each is the same multiple of the one before it."""
    return [low * (high / low) ** (step / max(1, steps - 1)) for step in range(steps)]


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return an exponential moving average of losses, without the bias of its start (Kingma and Ba 2014, section 3)."""
    found, mean = [], 0.0
    for count, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.append(mean / (1 - SMOOTHING**count))
    return found


def has_diverged(losses: Sequence[float]) -> bool:
    """Return whether the last smoothed loss is so much above the lowest that more steps tell nothing."""
    found = smoothed(losses)
    return bool(found) and not found[-1] <= DIVERGED * min(found)


def suggest(rates: Sequence[float], losses: Sequence[float]) -> Suggestion | None:
    """Read a rate off a range test; None where the loss never fell.

    The range test is that of Smith 2015 (arXiv:1506.01186), who reads off where the loss begins to fall and where it gets worse.
    Between them, the suggestion is `SHARE` of the rate with the lowest smoothed loss. fastai's lr_find suggests `valley`, a third
    into the longest fall, and had `minimum`, a tenth of the rate with the lowest loss: fine-tuning with one cycle, whose peak
    is short, is best well above both, as measured (docs/strategies.md).

    Args:
        rates: ascending, one for each step.
        losses: finite, one for each step.
    """
    found = smoothed(losses)
    lowest = min(range(len(found)), key=found.__getitem__, default=0)
    if lowest == 0 or found[lowest] > (1 - LEAST_FALL) * found[0]:
        return None
    top = max(range(lowest), key=found.__getitem__)
    fallen = found[top] - BEGUN * (found[top] - found[lowest])
    begin = next(step for step in range(top, lowest + 1) if found[step] <= fallen)
    slopes = [(found[step] - found[step - 1]) / math.log(rates[step] / rates[step - 1]) for step in range(1, lowest + 1)]
    steep = 1 + min(range(len(slopes)), key=slopes.__getitem__)
    return Suggestion(rounded(SHARE * rates[lowest]), rounded(rates[begin]), rounded(rates[lowest]), rounded(rates[steep]))


def rounded(rate: float) -> float:
    """Return a rate in as many digits as a test tells."""
    return float(f"{rate:.{DIGITS}g}")
