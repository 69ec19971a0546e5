"""Files of an image folder that are no whole images: all are listed in a file, and refused or skipped."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo.errors import ZooError
from zoo.system.files import cache_root, printable, write_file
from zoo.system.locks import exclusive

# Files that a line of text names; all are in the list.
NAMED = 1


def refusal(bad: Mapping[int, str], files: Sequence[Path], where: str, key: str) -> ZooError:
    """Return the error for unreadable files.

    Args:
        bad: why, by the place in `files`; at least one.
        files: absolute paths of all images.
        where: the key or flag that the error names.
        key: the fingerprint of the files, which names the list.
    """
    todo = "replace or remove " + ("them" if len(bad) > 1 else "it")
    if where == "data.root":
        todo += ", or set data.on_bad=skip"
    return ZooError(where, _described(bad, files, key), todo)


def failure(bad: Mapping[int, str], files: Sequence[Path], where: str, key: str) -> ZooError:
    """Return the error for files that the system failed to read; the arguments are those of `refusal`."""
    return ZooError(where, _described(bad, files, key), "check permissions, memory and the disk, then start again")


def note(bad: Mapping[int, str], files: Sequence[Path], key: str) -> str:
    """Return the line that says which files were skipped; the arguments are those of `refusal`."""
    return f"skipped {_described(bad, files, key)}"


def _described(bad: Mapping[int, str], files: Sequence[Path], key: str) -> str:
    """Count unreadable files, name the first and why, and where there are more, the list of all."""
    first = min(bad)
    text = f"{len(bad):,} unreadable image{'s' * (len(bad) > 1)}, first: {printable(str(files[first]))}: {bad[first]}"
    if len(bad) <= NAMED:
        return text
    path = cache_root() / "unreadable" / f"{key}.csv"
    try:
        _write(path, [(printable(str(files[place])), bad[place]) for place in sorted(bad)])
    except OSError as error:
        # The files matter more than the list of them.
        return f"{text}; {path} cannot be written: {error.strerror or error}"
    return f"{text}; all are listed in {path}"


def _write(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write a CSV of files and why they cannot be read; other processes may be doing the same.

    Raises:
        OSError: it cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "reason"])
    table.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.with_suffix(".lock")):
        write_file(path, text.getvalue())
