"""Run the work of `zoo predict` and `zoo embed`: write rows to the console or to a file, and stop and resume."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import DataError, Stopped
from zoo.inference.image_paths import STDIN, ImagePaths
from zoo.inference.journal import Journal, journal_of, skipping
from zoo.inference.tables import json_text, write_table
from zoo.system.console import Console, plural
from zoo.system.files import printable
from zoo.system.progress import show_progress
from zoo.system.signals import interruptible

# Rows that are written at a time.
ROWS = 32


@dataclass
class Tally:
    """Counts of images by outcome.

    Attributes:
        images: total number of rows.
        unreadable: rows with an error.
        unsure: rows whose best class is below the minimum confidence.
        first: the first unreadable image and why.
    """

    images: int = 0
    unreadable: int = 0
    unsure: int = 0
    first: tuple[str, str] = field(default=("", ""))

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row."""
        self.images += 1
        if row["error"]:
            self.first = self.first if self.unreadable else (row["filename"], row["error"])
            self.unreadable += 1
        elif "label" in row and row["label"] is None:
            self.unsure += 1

    def counted(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield rows, and count them."""
        for row in rows:
            self.add(row)
            yield row

    def check(self) -> None:
        """Check that every image was read.

        Raises:
            DataError: some images were not read. The others have their rows.
        """
        if self.unreadable:
            count = f"{self.unreadable:,} of {self.images:,} images" if self.images > 1 else "the image"
            what = f"{count} could not be read, first: {printable(self.first[0])}: {self.first[1]}"
            raise DataError("images", what, "their rows say why; all others are done")


def to_file(
    out: Path,
    columns: list[str],
    settings: Mapping[str, Any],
    images: ImagePaths,
    rows_of: Callable[[Iterable[str]], Iterator[dict[str, Any]]],
    *,
    resume: bool,
) -> Tally:
    """Write the rows of images to a file.

    Args:
        out: the file; it is written when all rows are done, or with the rows so far if a signal interrupts the work.
        columns: its columns.
        settings: everything that determines the rows.
        images: the images.
        rows_of: yields the row of each image, in order.
        resume: continue after the rows of an interrupted call; a complete file is not changed.

    Raises:
        Stopped: a signal interrupted the work.
        ZooError: an interrupted call had other settings, or its rows would be lost.
        StorageError: the file cannot be written.
    """
    console = Console()
    if resume and out.exists() and not journal_of(out).exists():
        console.fact("done", f"{out} is complete, nothing was changed (leave --resume out to replace it)")
        return Tally()
    journal = Journal(out, {**settings, "paths": images.paths}, resume=resume)
    done = Counter(row["filename"] for row in journal.rows())
    if done:
        console.fact("resume", f"{plural(done.total(), 'row')} of {out} already done")
    total = len(images) if STDIN not in images.paths else 0
    try:
        with interruptible(), show_progress(out.name, total, done=done.total()) as count:
            for rows in batched(rows_of(skipping(images, done))):
                journal.append(rows)
                count(len(rows))
    except KeyboardInterrupt:
        write_table(out, columns, journal.rows, journal.size())
        written = plural(sum(1 for _ in journal.rows()), "row")
        journal.close(whole=False)
        raise Stopped("a signal", f"after {written}, all in {out}", "the same command with --resume continues") from None
    write_table(out, columns, journal.rows, journal.size())
    tally = Tally()
    for row in journal.rows():
        tally.add(row)
    journal.close(whole=True)
    console.fact("done", f"{plural(tally.images, 'row')} in {out}{f', {tally.unsure:,} of them unsure' if tally.unsure else ''}")
    return tally


def to_console(images: ImagePaths, rows_of: Callable[[Iterable[str]], Iterator[Any]], show: Callable[[Any], None]) -> None:
    """Show the result of each image on standard output, with a progress bar if that is not a terminal."""
    total = len(images) if STDIN not in images.paths else 0
    with show_progress("images", total, shown=not sys.stdout.isatty() and total > ROWS) as count:
        for result in rows_of(images):
            show(result)
            count(1)


def to_json(images: ImagePaths, rows_of: Callable[[Iterable[str]], Iterator[dict[str, Any]]]) -> Tally:
    """Print the rows of images as a JSON list, one by one, with a progress bar if the output is not a terminal."""
    tally, before = Tally(), "["

    def show(row: dict[str, Any]) -> None:
        nonlocal before
        print(before + json_text(row))  # noqa: T201
        before = ","

    to_console(images, lambda paths: tally.counted(rows_of(paths)), show)
    print("]" if tally.images else "[]")  # noqa: T201
    return tally


def batched(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield rows in groups; if the work is interrupted, the incomplete last group too."""
    group: list[dict[str, Any]] = []
    try:
        for row in rows:
            group.append(row)
            if len(group) == ROWS:
                yield group
                group = []
    except KeyboardInterrupt:
        if group:
            yield group
        raise
    if group:
        yield group
