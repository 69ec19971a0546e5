"""Decode images in threads while the model works on earlier ones: in order, a bounded number ahead.

Threads are enough: Pillow leaves Python's lock while it decodes and resizes. They start at once, where processes would each
import Pillow first, and hand over pixels without copying them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from zoo.data.decode import Unreadable
from zoo.system.hardware import cores


@dataclass(frozen=True)
class Decoded:
    """An image that was decoded.

    Attributes:
        item: what was asked for.
        pixels: what `convert` made of it; None where it cannot be read.
        error: why it cannot be read; '' where it can.
    """

    item: Any
    pixels: Any
    error: str = ""


def decode_ahead(
    items: Iterable[Any], convert: Callable[[Any], Any], ahead: int, threads: int | None = None
) -> Iterator[Decoded]:
    """Convert items in threads, and yield them in their order.

    Args:
        items: files or images, read as they are needed.
        convert: decodes one of them; raises `Unreadable` where that cannot be done.
        ahead: items that may be converted before they are asked for.
        threads: None for one per core.
    """
    iterator = iter(items)
    first = list(islice(iterator, 2))
    if len(first) < 2:
        yield from (_decode(item, convert) for item in first)
        return
    pool = ThreadPoolExecutor(threads or cores(), thread_name_prefix="decode")
    pending: deque[Future[Decoded]] = deque()
    try:
        pending.extend(pool.submit(_decode, item, convert) for item in first)
        for item in iterator:
            pending.append(pool.submit(_decode, item, convert))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(item: Any, convert: Callable[[Any], Any]) -> Decoded:
    try:
        return Decoded(item, convert(item))
    except Unreadable as error:
        return Decoded(item, None, str(error))
