"""Feed the loop: what a CPU does for a batch is done in a thread, some steps ahead, while a GPU works."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Fed = TypeVar("Fed")


def feed(gather: Callable[[Item], Fed], items: Iterable[Item], ahead: int) -> Iterator[Fed]:
    """Yield what a function makes of items, in their order.

    Args:
        gather: the function; its result depends on its item alone, so that nothing needs to be kept of what was made ahead
            when a run stops.
        items: such as the positions of the batches of an epoch.
        ahead: items that a thread works ahead; 0 to make each when it is asked for, without a thread.

    Raises:
        Exception: what the function raises, where its item would have been yielded.
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
