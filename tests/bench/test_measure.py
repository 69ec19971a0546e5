"""The steps of a benchmark that count, with durations that the tests set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from zoo.bench import measure
from zoo.bench.measure import Series


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> Any:
    # Each step returns its own duration.
    monkeypatch.setattr(measure, "seconds_of", lambda step, _: step())
    return SimpleNamespace(
        settings=SimpleNamespace(steps=None), warming=contextlib.nullcontext, agreed=lambda value: value, timed=0.0
    )


def taken(prepared: Any, seconds: Iterator[float], **options: Any) -> tuple[Series, int]:
    """Return a series after its last block, and the number of steps that it took in total."""
    calls = []
    series = Series(prepared, lambda: calls.append(1) or next(seconds), **options)
    for _ in range(measure.BLOCKS):
        series.block()
    return series, len(calls)


def forever(seconds: float) -> Iterator[float]:
    while True:
        yield seconds


@pytest.mark.parametrize("steps", range(1, 40))
def test_blocks_hold_each_step_once_and_none_holds_a_single_one(steps: int) -> None:
    blocks = measure.in_blocks(steps)
    assert sum(blocks) == steps
    assert len(blocks) <= measure.BLOCKS
    assert max(blocks) - min(blocks) <= 1
    assert steps == 1 or min(blocks) >= 2


@pytest.mark.parametrize(
    ("seconds", "brief", "steps"), [(0.01, False, 500), (0.01, True, 10), (2.0, False, 10), (2.0, True, 3), (0.6, True, 9)]
)
def test_a_series_takes_enough_steps(prepared: Any, seconds: float, brief: bool, steps: int) -> None:
    series, calls = taken(prepared, forever(seconds), brief=brief)
    assert len(series.seconds) == steps
    assert series.warm_up == calls - steps
    assert prepared.timed == pytest.approx(steps * seconds)


def test_steps_that_warm_up_or_come_after_other_work_do_not_count(prepared: Any) -> None:
    prepared.settings.steps = 10
    counted = [0.4, 0.5]
    seconds = iter([9.0, 3.0, 1.0, 1.0, *counted, *(4 * [7.0, *counted])])
    series, calls = taken(prepared, seconds, note=lambda: 0.25)
    assert (series.first, series.warm_up, calls) == (9.0, 8, 18)
    assert series.seconds == 5 * counted
    assert series.notes == 10 * [0.25]


def test_warm_up_ends_where_steps_never_become_steady(prepared: Any) -> None:
    many = iter([0.1 * 1.2**number for number in range(1000)])
    series, _ = taken(prepared, many)
    assert series.warm_up == measure.MOST_WARM_UP + measure.BLOCKS - 1
    slow, _ = taken(prepared, iter([2.0**number for number in range(100)]))
    assert slow.warm_up < measure.MOST_WARM_UP
