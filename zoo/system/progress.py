"""Progress of long work: a bar on a terminal, occasional lines in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

# Seconds between two lines of a log: a day-long run adds about 1,400.
LOG_SECONDS = 60.0


@contextlib.contextmanager
def show_progress(
    title: str, total: int | Callable[[], int], *, done: int = 0, shown: bool = True
) -> Iterator[Callable[[int], None]]:
    """Show the progress of work on images and the time left, on standard error.

    Args:
        title: name of the work.
        total: total number of images, or a function that returns it if it may change; 0 if it is unknown.
        done: number of images that were done before.
        shown: False to show nothing, as in all processes but the main one.

    Yields:
        A function that takes the number of images done since its last call.
    """
    count = total if callable(total) else lambda: total
    if not shown:
        yield _ignore
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=count() or None, initial=done, desc=title, unit=" images", leave=False) as bar:

            def update(images: int) -> None:
                bar.total = count() or None
                bar.update(images)

            yield update
    else:
        yield _Log(title, count, done).update


def show_current(text: str) -> None:
    """Show the current item of work on a terminal, in place of the previous text; '' clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)  # noqa: T201


def note(text: str, end: str = "\n") -> None:
    """Print the current item of work, or its result, on standard error."""
    print(text, end=end, file=sys.stderr, flush=True)  # noqa: T201


def _ignore(_images: int) -> None:
    """Ignore the number of images."""


class _Log:
    """Lines of progress, for a standard error that is not a terminal."""

    def __init__(self, title: str, total: Callable[[], int], done: int) -> None:
        self.title, self.total, self.done, self.first = title, total, done, done
        self.started = self.printed = time.monotonic()

    def update(self, images: int) -> None:
        """Count images, and print a line if the last one is old enough."""
        self.done += images
        now, total = time.monotonic(), self.total()
        if now - self.printed < LOG_SECONDS or self.done in (self.first, total):
            return
        self.printed = now
        speed = (self.done - self.first) / (now - self.started)
        of, left = (f" of {total:,}", f", {time_left((total - self.done) / speed)} left") if total else ("", "")
        print(f"{self.title}: {self.done:,}{of} images, {speed:,.0f} images/s{left}", file=sys.stderr, flush=True)  # noqa: T201


def time_left(seconds: float) -> str:
    """Return a duration in readable form: `40 s`, `3 min`, `2 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
