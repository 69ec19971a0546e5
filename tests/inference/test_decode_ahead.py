from __future__ import annotations

import threading
import time

import pytest

from zoo.data.decode import Unreadable
from zoo.inference.decode_ahead import decode_ahead


def test_results_come_in_order_and_errors_in_their_place() -> None:
    def convert(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        if item == 7:
            raise Unreadable("broken")
        return item * item

    found = list(decode_ahead(range(40), convert, ahead=5, threads=3))
    assert [one.item for one in found] == list(range(40))
    assert [one.pixels for one in found] == [None if item == 7 else item * item for item in range(40)]
    assert [one.error for one in found if one.error] == ["broken"]


def test_no_more_is_read_than_may_be_ahead() -> None:
    taken = []

    def items() -> object:
        for item in range(100):
            taken.append(item)
            yield item

    results = decode_ahead(items(), lambda item: item, ahead=4, threads=2)  # type: ignore[arg-type]
    next(results)
    assert len(taken) <= 6
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [0, 1])
def test_a_single_item_needs_no_threads(count: int) -> None:
    before = threading.active_count()
    for one in decode_ahead(range(count), lambda item: threading.active_count(), ahead=4):
        assert one.pixels == before


def test_an_error_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        list(decode_ahead([1, 0], lambda item: 1 // item, ahead=4))
