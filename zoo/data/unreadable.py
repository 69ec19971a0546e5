"""Files of an image folder that are not complete images: list all of them in a file, and refuse or skip them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo.errors import ZooError
from zoo.system.files import cache_root, printable, write_file
from zoo.system.locks import exclusive

# Number of unreadable files up to which no list is written: the message names the only one.
NAMED = 1


def refusal(bad: Mapping[int, str], files: Sequence[Path], where: str, key: str) -> ZooError:
    """Return the error for unreadable files.

    Args:
        bad: the reasons, by index in `files`; at least one.
        files: absolute paths of all images.
        where: the key or flag that the error names.
        key: the fingerprint of the files, which names the list.
    """
    todo = "replace or remove " + ("them" if len(bad) > 1 else "it")
    if where == "data.root":
        todo += ", or set data.on_bad=skip"
    return ZooError(where, _described(bad, files, key), todo)


def failure(bad: Mapping[int, str], files: Sequence[Path], where: str, key: str) -> ZooError:
    """Return the error for files that the system failed to read. See `refusal` for the arguments."""
    return ZooError(where, _described(bad, files, key), "check permissions, memory and the disk, then start again")


def note(bad: Mapping[int, str], files: Sequence[Path], key: str) -> str:
    """Return the line that says which files were skipped. See `refusal` for the arguments."""
    return f"skipped {_described(bad, files, key)}"


def _described(bad: Mapping[int, str], files: Sequence[Path], key: str) -> str:
    """Return a text with the number of unreadable files, the first one and its reason, and the list of all if there are more."""
    first = min(bad)
    text = f"{len(bad):,} unreadable image{'s' * (len(bad) > 1)}, first: {printable(str(files[first]))}: {bad[first]}"
    if len(bad) <= NAMED:
        return text
    path = cache_root() / "unreadable" / f"{key}.csv"
    try:
        _write(path, [(printable(str(files[place])), bad[place]) for place in sorted(bad)])
    except OSError as error:
        # The unreadable files matter more than the list.
        return f"{text}; {path} cannot be written: {error.strerror or error}"
    return f"{text}; all are listed in {path}"


def _write(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write a CSV of files and the reasons why they cannot be read; other processes may do so at the same time.

    Raises:
        OSError: the CSV cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "reason"])
    table.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.with_suffix(".lock")):
        write_file(path, text.getvalue())
