"""Work on chunks of items in several threads, and yield the results in order.

Each lane is a thread that decodes a chunk of images and runs the model on it, with its share of the cores. No core waits
for another, as the threads of one large matrix product do. Python's lock is released while Pillow decodes and torch
multiplies. On 2 cores that other programs also used, one model with two threads was ten times slower than two lanes with
one thread each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Any

import torch

from zoo.system.hardware import cores

# Maximum number of lanes: more would wait for Python's lock. With more cores than this, each lane has several.
MOST = 16


def lanes_here() -> int:
    """Return the number of lanes that suits this machine."""
    return min(cores(), MOST)


def in_lanes(items: Iterable[Any], work: Callable[[list[Any]], list[Any]], size: int, lanes: int) -> Iterator[Any]:
    """Yield the results of items in their order.

    Args:
        items: read as they are needed, two chunks per lane ahead.
        work: turns a chunk of at most `size` items into as many results; runs in several threads.
        size: items per chunk.
        lanes: number of threads.
    """
    iterator = iter(items)
    first = list(islice(iterator, 2))
    if len(first) < 2:
        yield from work(first) if first else ()
        return
    iterator = chain(first, iterator)
    chunks = iter(lambda: list(islice(iterator, size)), [])
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(lanes, "lane", torch.set_num_threads, (max(1, threads // lanes),))
    pending: deque[Future[list[Any]]] = deque()
    try:
        for chunk in chunks:
            pending.append(pool.submit(work, chunk))
            if len(pending) > 2 * lanes:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        # torch also gives a lane's number of threads to threads that are started later.
        torch.set_num_threads(threads)
