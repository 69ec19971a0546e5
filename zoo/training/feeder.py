"""Feed the loop: a thread does the CPU's work for a batch some steps ahead, while a GPU computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Fed = TypeVar("Fed")


def feed(gather: Callable[[Item], Fed], items: Iterable[Item], ahead: int) -> Iterator[Fed]:
    """Yield the result of a function for each item, in order.

    Args:
        gather: the function; its result depends on its item alone, so that results made ahead can be dropped when a run
            stops.
        items: such as the positions of the batches of an epoch.
        ahead: items that a thread works ahead; 0: compute each result when it is asked for, without a thread.

    Raises:
        Exception: any error of the function, when its result would have been yielded.
    """
    if ahead == 0:
        yield from map(gather, items)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="feeder") as pool:
        waiting: deque[Future[Fed]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(gather, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
