from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from zoo.inference.lanes import in_lanes


def squares(chunk: list[int]) -> list[int]:
    time.sleep(0.002 * (chunk[0] % 3))
    return [item * item for item in chunk]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 40])
@pytest.mark.parametrize("lanes", [1, 3])
def test_results_come_in_order(count: int, lanes: int) -> None:
    assert list(in_lanes(range(count), squares, 4, lanes)) == [item * item for item in range(count)]


def test_no_more_is_read_than_two_chunks_a_lane_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = in_lanes(items(), squares, 4, 2)
    next(results)
    assert len(taken) <= 4 * (2 * 2 + 1)


def test_a_single_item_needs_no_thread() -> None:
    before = threading.active_count()
    assert list(in_lanes([1], lambda chunk: [threading.active_count()], 4, 2)) == [before]


def test_an_error_is_raised_and_torchs_threads_are_as_before() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        list(in_lanes([1, 1, 0, 1], lambda chunk: [1 // item for item in chunk], 1, 2))
    assert torch.get_num_threads() == before
