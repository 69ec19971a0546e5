"""Find the images that PATHs on the command line name: files, folders, globs, and `-` for a list on standard input."""

from __future__ import annotations

import glob
import io
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TextIO

from zoo.data.decode import EXTENSIONS, UNREAD
from zoo.errors import ZooError

# Name of the arguments in errors without a path.
WHERE = "PATH"
STDIN = "-"
# Extensions of the files that are taken from a folder. A photograph in an unsupported format gets a row that says so.
PHOTOGRAPHS = EXTENSIONS + UNREAD


class ImagePaths:
    """The images that PATHs name. They are found one by one, so memory use does not depend on their number.

    Files come in the order of the PATHs. Folders are searched at any depth and sorted by name; hidden files are left out. A
    file that is named itself, or on standard input, is taken whatever its extension.
    """

    def __init__(self, paths: Sequence[str], stdin: TextIO | None = None) -> None:
        self.paths, self.stdin = list(paths), stdin or sys.stdin
        self._first: list[str] = []
        if isinstance(self.stdin, io.TextIOWrapper):
            # A file name may contain bytes that are not valid text.
            self.stdin.reconfigure(errors="surrogateescape")

    def check(self) -> None:
        """Check that every PATH names something.

        Raises:
            ZooError: a PATH names nothing, or a folder without images; or standard input is given twice, or is empty.
        """
        if self.paths.count(STDIN) > 1:
            raise ZooError(WHERE, "- is given twice", "standard input can be read once")
        for path in self.paths:
            if path != STDIN and next(_below(path), None) is None:
                if os.path.isdir(path):
                    raise ZooError(path, "no images in this folder", f"known endings: {' '.join(EXTENSIONS)}")
                if glob.has_magic(path):
                    todo = f"known endings: {' '.join(EXTENSIONS)}; a file given by its own path may have any"
                    raise ZooError(path, "no image matches", todo)
                raise ZooError(path, "no such file or folder", "check the path")
        if STDIN in self.paths:
            self._first = list(islice(self._listed(), 1))
            if not self._first and len(self.paths) == 1:
                raise ZooError(WHERE, "standard input has no paths", "give one path per line")

    def __len__(self) -> int:
        """Return the number of images, without those on standard input."""
        return sum(1 for path in self.paths if path != STDIN for _ in _below(path))

    def __iter__(self) -> Iterator[str]:
        for path in self.paths:
            if path == STDIN:
                yield from self._first
                yield from self._listed()
            else:
                yield from _below(path)

    def _listed(self) -> Iterator[str]:
        return filter(None, (line.rstrip("\r\n") for line in self.stdin))


def _below(path: str) -> Iterator[str]:
    """Yield the images that one PATH names: a file itself, the images of a folder, or the matches of a pattern."""
    if os.path.isdir(path):
        yield from _in_folder(path)
    elif os.path.lexists(path):
        yield path
    else:
        for match in sorted(glob.iglob(os.path.expanduser(path), recursive=True)):
            if os.path.isdir(match):
                yield from _in_folder(match)
            elif match.lower().endswith(PHOTOGRAPHS):
                yield match


def _in_folder(folder: str, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Yield the images of a folder at any depth, sorted by name; a link back to a folder above is not followed.

    Args:
        folder: where to look.
        above: device and inode of each folder above it.

    Raises:
        ZooError: the folder cannot be read.
    """
    try:
        status = os.stat(folder)
        own = (status.st_dev, status.st_ino)
        if own in above:
            return
        with os.scandir(folder) as listing:
            entries = sorted((entry for entry in listing if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise ZooError(folder, f"cannot be read: {error.strerror}", "check its permissions") from None
    for entry in entries:
        if os.path.isdir(entry.path):  # entry.is_dir() raises for a link to itself
            yield from _in_folder(entry.path, above | {own})
        elif entry.name.lower().endswith(PHOTOGRAPHS):
            yield entry.path
