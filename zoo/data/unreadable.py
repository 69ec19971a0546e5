"""Files of an image folder that are no whole images: all are listed in a file, and refused or skipped."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo.errors import ZooError
from zoo.system.files import cache_root, printable, write_file

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


def note(bad: Mapping[int, str], files: Sequence[Path], key: str) -> str:
    """Return the line that says which files were skipped; the arguments are those of `refusal`."""
    return f"skipped {_described(bad, files, key)}"


def _described(bad: Mapping[int, str], files: Sequence[Path], key: str) -> str:
    """Count unreadable files, name the first and why, and write the list where there are more."""
    first = min(bad)
    text = f"{len(bad):,} unreadable image{'s' * (len(bad) > 1)}, first: {printable(str(files[first]))}: {bad[first]}"
    return f"{text}; all are listed in {_listed(bad, files, key)}" if len(bad) > NAMED else text


def _listed(bad: Mapping[int, str], files: Sequence[Path], key: str) -> Path:
    """Write a CSV of all unreadable files and why, into the cache; return its path."""
    path = cache_root() / "unreadable" / f"{key}.csv"
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "reason"])
    rows.writerows([printable(str(files[place])), bad[place]] for place in sorted(bad))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, text.getvalue())
    return path
