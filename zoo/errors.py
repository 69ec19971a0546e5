"""Errors that print as one line: where, what, and what to do about it. Each class has an exit code."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any, Self

# Numbers of errors of the system that mean that a disk is full, or a user's part of it.
FULL = (errno.ENOSPC, errno.EDQUOT)


class ZooError(Exception):
    """A mistake in the input: recipe, data, weights or environment. Exit code 2.

    Attributes:
        where: the place: a file and line, a dotted key, a flag or a path.
        what: what is wrong there.
        todo: what to do about it; may be empty.
    """

    exit_code = 2

    def __init__(self, where: str, what: str, todo: str = "") -> None:
        super().__init__(f"{where}: {what}" + (f" ({todo})" if todo else ""))
        self.where, self.what, self.todo = where, what, todo

    def at(self, where: str) -> Self:
        """Return the same error at another place: the flag or key that the user wrote."""
        return type(self)(where, self.what, self.todo)

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, str]]:
        """Keep the three parts when an error travels between processes."""
        return type(self), (self.where, self.what, self.todo)

    @property
    def lines(self) -> list[str]:
        """One line for each mistake, which the console prints after `error: `."""
        return [" ".join(str(self).split())]


class Mistakes(ZooError):
    """Several mistakes at once, each a whole line, such as all mistakes of a recipe in the order of its lines."""

    def __init__(self, mistakes: list[str]) -> None:
        Exception.__init__(self, "\n".join(mistakes))
        self.mistakes = mistakes
        self.where, self.what, self.todo = "", str(self), ""

    def at(self, where: str) -> Self:
        """Return the mistakes unchanged, because each names its own place."""
        return self

    def __reduce__(self) -> Any:
        """Keep the mistakes when the error travels between processes."""
        return type(self), (self.mistakes,)

    @property
    def lines(self) -> list[str]:
        """One line for each mistake."""
        return [" ".join(mistake.split()) for mistake in self.mistakes]


class DataError(ZooError):
    """An error of the images while they were in use. Exit code 3; the run can be resumed."""

    exit_code = 3


class NonFiniteLoss(ZooError):
    """A loss that became NaN or infinite. Exit code 4."""

    exit_code = 4


class StorageError(ZooError):
    """A file or folder that can no longer be written. Exit code 5."""

    exit_code = 5


class LostProcess(ZooError):
    """Another process of the run that ended or does not answer. Exit code 1; the run can be resumed."""

    exit_code = 1


class Stopped(KeyboardInterrupt):
    """A clean stop on request of a signal. Exit code 75 (EX_TEMPFAIL): the run can be resumed.

    Like KeyboardInterrupt it is not an `Exception`, so handlers that skip a broken image or file do not catch it.
    """

    exit_code = 75

    def __init__(self, signal: str, when: str, todo: str) -> None:
        super().__init__(f"stopped by {signal} {when} ({todo})")


def unusable(error: OSError) -> ZooError:
    """Return the error for a path that the system refused: the user's to fix, so it needs no traceback."""
    where, what = str(error.filename), f"cannot be used: {error.strerror}"
    if error.errno in FULL:
        return StorageError(where, what, "free some space")
    return ZooError(where, what, "check the path and its permissions")


def first_line(error: BaseException) -> str:
    """Return the first line of another library's error, or the name of its class if it has no text."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the known words most similar to a misspelled word, best first."""
    import difflib

    return difflib.get_close_matches(word, list(known), n=count, cutoff=0.5)
