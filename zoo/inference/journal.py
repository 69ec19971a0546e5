"""Keep the rows of a running prediction in a hidden file beside the output, so that it can be resumed after any kill.

Each batch of rows is appended as whole lines of JSON. The output itself is written once, by `tables`, when all rows are
done or the prediction is interrupted. If the journal still exists, rows are missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.system.console import plural
from zoo.system.files import hidden, remove, storing

ENDING = ".rows"


class Journal:
    """The rows of an output that are done so far.

    Args:
        out: the output file.
        settings: everything that determines the rows; a prediction can only be resumed with the same settings.
        resume: keep the rows of an interrupted prediction; start anew if there are none.

    Raises:
        ZooError: the rows to resume have other settings; or, without `resume`, rows with the same settings would be lost.
        StorageError: the journal cannot be written.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        self.out, self.path = out, journal_of(out)
        first = json.dumps(dict(settings), ensure_ascii=True).encode() + b"\n"
        begun = self.path.is_file()
        if begun:
            self._check(first, resume=resume)
        resume = resume and begun
        with storing(self.path, len(first)):
            if resume:
                os.truncate(self.path, _whole(self.path))
            else:
                self.path.write_bytes(first)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)

    def _check(self, first: bytes, *, resume: bool) -> None:
        with open(self.path, "rb") as file:
            then = file.readline()
            rows = sum(1 for _ in file)
        if resume and then != first:
            what = f"{self.out} was started with other settings: {_changed(then, first)}"
            raise ZooError("--resume", what, "use the same settings, or leave --resume out")
        if not resume and then == first and rows:
            what = f"{self.out} was interrupted after {plural(rows, 'row')}"
            raise ZooError("--out", what, f"continue with --resume; to start over, remove {self.path}")

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, in one write of whole lines.

        Raises:
            StorageError: the rows cannot be written.
        """
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        with storing(self.path, len(data)):
            while data:
                data = data[os.write(self._file, data) :]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows so far."""
        with open(self.path, "rb") as file:
            file.readline()
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def size(self) -> int:
        """Return the size of the journal in bytes."""
        return self.path.stat().st_size

    def close(self, *, whole: bool) -> None:
        """Stop writing, and remove the journal if the output is complete."""
        os.close(self._file)
        if whole:
            remove(self.path)


def journal_of(out: Path) -> Path:
    """Return the path of an output's journal."""
    return hidden(out, ENDING)


def skipping(paths: Iterable[str], done: Mapping[str, int]) -> Iterator[str]:
    """Yield the paths that are not done; a path that is given several times is skipped as often as it is done.

    Args:
        paths: all paths.
        done: how often each path has been done.
    """
    left = dict(done)
    for path in paths:
        if left.get(path):
            left[path] -= 1
        else:
            yield path


def _whole(path: Path) -> int:
    """Return the number of bytes up to the end of the last whole line."""
    end = 0
    with open(path, "rb") as file:
        for line in file:
            end += len(line) if line.endswith(b"\n") else 0
    return end


def _changed(then: bytes, now: bytes) -> str:
    """Return the names of the settings that differ."""
    try:
        before, after = json.loads(then), json.loads(now)
        return ", ".join(name for name in after if before.get(name) != after[name]) or "version of zoo"
    except (ValueError, AttributeError):
        return "version of zoo"
