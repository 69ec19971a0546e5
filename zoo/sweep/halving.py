"""Successive halving: all runs train a little, the best continue for longer, the best of those to the end.

After Jamieson and Talwalkar 2016 and Li et al. 2018 (Hyperband), with a share of a third. Here the time is given: how many
continue is chosen from the seconds that the runs took so far. A run that continues does so from its checkpoint, with its
schedule as it was, so that it ends with the bits of one that was never paused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# The shares of its epochs after which a run pauses. Three looks: more would stop runs on what a few steps say.
LOOKS = (1 / 9, 1 / 3, 1.0)
# The share of the runs that continues after a look, where time allows no more.
GO_ON = 1 / 3
# Share of the time that plans leave free: epochs do not all take the same.
SPARE = 0.05


def looks(epochs: int, every: int = 1) -> list[int]:
    """Return the epochs after which a run pauses, the last of them its end; few epochs have some of them twice.

    Args:
        epochs: of the whole run.
        every: epochs between two evaluations; a look is at one of them.
    """
    first = [math.ceil(round(epochs * share / every, 6)) * every for share in LOOKS]
    return [min(epochs, max(every, epoch)) for epoch in first]


@dataclass(frozen=True)
class Pace:
    """The seconds that a run takes: to start, and for an epoch with its evaluation."""

    start: float
    epoch: float

    def seconds(self, epochs: int, *, to_the_end: bool) -> float:
        """Return the seconds of some epochs, started anew; the end of a run (the test set, pictures) is like a start."""
        return (self.start + epochs * self.epoch + (self.start if to_the_end else 0.0)) if epochs else 0.0


def stages(pace: Pace, done: int, pauses: Sequence[int]) -> list[float]:
    """Return the seconds that a run of which some epochs are done needs to get to each pause; the last is its end."""
    found, reached = [], done
    for pause in pauses:
        found.append(pace.seconds(max(0, pause - reached), to_the_end=pause == pauses[-1]))
        reached = max(reached, pause)
    return found


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """Return the time that runs take, `jobs` of them at a time: each starts where one ends first."""
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

    Args:
        needed: for each run, the best first, the seconds of each stage that is left.
        jobs: runs at a time.
        seconds: the time that is left.

    It is the largest number with which a third of them can still continue after each later look, and reach the end in time.
    """
    for count in range(len(needed), 1, -1):
        total, going = 0.0, count
        for stage in range(len(needed[0])):
            total += makespan([each[stage] for each in needed[:going]], jobs)
            going = math.ceil(going * GO_ON)
        if total <= usable(seconds):
            return count
    return 1
