"""Successive halving: all runs train a little, the best continue for longer, and the best of those train to the end.

It follows Jamieson and Talwalkar 2016 and Li et al. 2018 (Hyperband), with one third continuing. Here the time is given, and
the number of runs that continue is chosen from the seconds that runs took so far. A run continues from its checkpoint with an
unchanged schedule, so its result is bit-identical to a run that was never paused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Shares of the epochs after which a run pauses. Only three looks: with more, the first would come after too few steps.
LOOKS = (1 / 9, 1 / 3, 1.0)
# Share of the runs that continues after a look if there is no time for more.
GO_ON = 1 / 3
# Share of the time that plans leave free, because epochs vary in duration.
SPARE = 0.05


def looks(epochs: int, every: int = 1) -> list[int]:
    """Return the epochs after which a run pauses; the last is its end. With few epochs, some are repeated.

    Args:
        epochs: epochs of the whole run.
        every: epochs between two evaluations; each look falls on an evaluation.
    """
    first = [math.ceil(round(epochs * share / every, 6)) * every for share in LOOKS]
    return [min(epochs, max(every, epoch)) for epoch in first]


@dataclass(frozen=True)
class Pace:
    """The seconds that a run takes: to start, and for an epoch with its evaluation."""

    start: float
    epoch: float

    def seconds(self, epochs: int, *, to_the_end: bool) -> float:
        """Return the seconds of a start and some epochs; the end of a run (test set, pictures) is counted as another start."""
        return (self.start + epochs * self.epoch + (self.start if to_the_end else 0.0)) if epochs else 0.0


def stages(pace: Pace, done: int, pauses: Sequence[int]) -> list[float]:
    """Return the seconds that a run needs to reach each pause from the one before, starting after `done` epochs.

    The last pause is the end of the run.
    """
    found, reached = [], done
    for pause in pauses:
        found.append(pace.seconds(max(0, pause - reached), to_the_end=pause == pauses[-1]))
        reached = max(reached, pause)
    return found


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """Return the seconds that runs take in total with `jobs` at a time, if each starts as soon as another one ends."""
    lanes = [0.0] * jobs
    for each in seconds:
        first = min(range(jobs), key=lanes.__getitem__)
        lanes[first] += each
    return max(lanes)


def usable(seconds: float) -> float:
    """Return the part of a time that plans may use."""
    return seconds * (1 - SPARE)


def how_many(needed: Sequence[Sequence[float]], jobs: int, seconds: float) -> int:
    """Return how many of the best runs continue, at least one.

    It is the largest number of which a third can continue after each later look, and still reach the end in time.

    Args:
        needed: for each run, the best first, the seconds of each remaining stage.
        jobs: runs at a time.
        seconds: time left, in seconds.
    """
    for count in range(len(needed), 1, -1):
        total, going = 0.0, count
        for stage in range(len(needed[0])):
            total += makespan([each[stage] for each in needed[:going]], jobs)
            going = math.ceil(going * GO_ON)
        if total <= usable(seconds):
            return count
    return 1
