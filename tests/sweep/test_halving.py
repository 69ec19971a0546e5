from __future__ import annotations

import pytest

from zoo.sweep.halving import Pace, how_many, looks, makespan, stages, usable


@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [
        (9, 1, [1, 3, 9]),
        (27, 1, [3, 9, 27]),
        (10, 1, [2, 4, 10]),
        (1, 1, [1, 1, 1]),
        (2, 1, [1, 1, 2]),
        (90, 4, [12, 32, 90]),
        (5, 10, [5, 5, 5]),
    ],
)
def test_runs_pause_where_they_are_evaluated(epochs: int, every: int, expected: list[int]) -> None:
    assert looks(epochs, every) == expected


def test_stages_add_up_to_the_way_that_is_left() -> None:
    pace = Pace(start=2.0, epoch=10.0)
    # Each stage takes the time to start, and the last one also the time to end the run.
    assert stages(pace, 1, [3, 9]) == [2 + 20, 2 + 60 + 2]
    assert stages(pace, 5, [3, 9]) == [0, 2 + 40 + 2]
    assert stages(pace, 9, [9]) == [0]


def test_the_makespan_is_that_of_lanes() -> None:
    assert makespan([3, 1, 1, 1], 1) == 6
    assert makespan([3, 1, 1, 1], 2) == 3
    assert makespan([], 2) == 0


def test_as_many_go_on_as_time_allows() -> None:
    needed = [[10.0, 30.0]] * 9
    # The time is for all nine runs to the next look, and then for three of them to the end.
    assert how_many(needed, 1, (9 * 10 + 3 * 30) / usable(1)) == 9
    assert how_many(needed, 1, 100) == 3
    assert how_many(needed, 3, 100) == 9
    # The best one continues in any case.
    assert how_many(needed, 1, 1) == 1
    assert [how_many(needed, 1, seconds) for seconds in range(0, 300, 10)] == sorted(
        how_many(needed, 1, seconds) for seconds in range(0, 300, 10)
    )
