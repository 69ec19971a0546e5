"""Progress within an epoch: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

# Seconds between two lines of a log: a day-long run adds about 1,400.
LOG_SECONDS = 60.0


def show_progress(batches: Sequence[np.ndarray], title: str, total: int, *, main: bool) -> Iterator[np.ndarray]:
    """Yield an epoch's batches and show on standard error how far it has come, and the time left.

    Args:
        batches: the positions of the images of each batch that is left, int64 [G] each.
        title: names the epoch.
        total: images of the whole epoch.
        main: whether this process shows anything.
    """
    done = total - sum(len(positions) for positions in batches)
    terminal = sys.stderr.isatty()
    with tqdm(total=total, initial=done, desc=title, unit=" images", leave=False, disable=not (main and terminal)) as bar:
        log = _Log(title, total, done) if main and not terminal else None
        for positions in batches:
            yield positions
            bar.update(len(positions))
            if log:
                log.update(len(positions))


class _Log:
    """Lines of progress where there is no terminal."""

    def __init__(self, title: str, total: int, done: int) -> None:
        self.title, self.total, self.done, self.first = title, total, done, done
        self.started = self.said = time.monotonic()

    def update(self, images: int) -> None:
        """Count images, and print a line if the last one is old enough."""
        self.done += images
        now = time.monotonic()
        if now - self.said < LOG_SECONDS or self.done == self.total:
            return
        self.said = now
        speed = (self.done - self.first) / (now - self.started)
        left = time_left((self.total - self.done) / speed)
        text = f"{self.title}: {self.done:,} of {self.total:,} images, {speed:,.0f} images/s, {left} left"
        print(text, file=sys.stderr, flush=True)  # noqa: T201


def time_left(seconds: float) -> str:
    """Return a duration as a person says it: `40 s`, `3 min`, `2 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
