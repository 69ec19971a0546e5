"""Read a learning rate off a range test: the losses of steps with a rising rate. Plain numbers, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Weight of the past in the smoothed loss. fastai's lr_find uses 0.98: the longer the average, the further it lags behind the
# rate. Measured: with 0.9, suggestions for SGD came within a factor of two of rates that diverge.
SMOOTHING = 0.8
# The loss has diverged when its smoothed value exceeds the lowest one by this factor: fastai's limit.
DIVERGED = 4.0
# In the floor of the valley, the smoothed loss is above its lowest value by at most this share of its whole fall.
FLOOR = 0.2
# Smallest share by which the loss must fall to say that a network learned.
LEAST_FALL = 0.02
# Significant digits of a suggestion: the test is no more precise.
DIGITS = 2


@dataclass(frozen=True)
class Suggestion:
    """Learning rates read off a range test, with two significant digits.

    Attributes:
        lr: the suggested rate, the middle of the floor on a logarithmic axis.
        low: the rate at which the floor of the valley begins.
        high: the rate at which the floor ends: beyond it, the loss rises.
        steep: the rate at which the loss falls fastest over the logarithm of the rate.
    """

    lr: float
    low: float
    high: float
    steep: float


def rates_between(low: float, high: float, steps: int) -> list[float]:
    """Return `steps` rates from `low` to `high`, evenly spaced on a logarithmic axis."""
    return [low * (high / low) ** (step / max(1, steps - 1)) for step in range(steps)]


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return an exponential moving average of losses, without the bias of its start (Kingma and Ba 2014, section 3)."""
    found, mean = list[float](), 0.0
    for count, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.append(mean / (1 - SMOOTHING**count))
    return found


def has_diverged(losses: Sequence[float]) -> bool:
    """Return whether the last smoothed loss is so far above the lowest that more steps tell nothing."""
    found = smoothed(losses)
    return bool(found) and not found[-1] <= DIVERGED * min(found)


def suggest(rates: Sequence[float], losses: Sequence[float]) -> Suggestion | None:
    """Suggest a rate from a range test; return None if the loss never fell.

    Smith 2015 (arXiv:1506.01186) reads two rates off a range test: where training begins to improve, and where it stops
    improving. The suggestion is the middle of the floor between them, which depends less on the seed than the rate of the
    lowest loss alone. fastai's lr_find suggests `valley` (two thirds into the longest fall) or `steep` (the fastest fall): for
    fine-tuning with one cycle, whose peak is short, both were measured to be lower than the best rate (docs/strategies.md).

    Args:
        rates: ascending, one for each step.
        losses: finite, one for each step.
    """
    found = smoothed(losses)
    lowest = min(range(len(found)), key=found.__getitem__, default=0)
    if lowest == 0 or found[lowest] > (1 - LEAST_FALL) * found[0]:
        return None
    limit = found[lowest] + FLOOR * (found[0] - found[lowest])
    first = 1 + max(step for step in range(lowest) if found[step] > limit)
    last = next((step for step in range(lowest, len(found)) if found[step] > limit), len(found)) - 1
    slopes = [(found[step] - found[step - 1]) / math.log(rates[step] / rates[step - 1]) for step in range(1, lowest + 1)]
    steep = 1 + min(range(len(slopes)), key=slopes.__getitem__)
    middle = math.sqrt(rates[first] * rates[last])
    return Suggestion(rounded(middle), rounded(rates[first]), rounded(rates[last]), rounded(rates[steep]))


def rounded(rate: float) -> float:
    """Round a rate to `DIGITS` significant digits."""
    return float(f"{rate:.{DIGITS}g}")
