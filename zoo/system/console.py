"""Lines for the user, printed by the main process only."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

# Letters of the first column of the lines that describe a run.
NAME_WIDTH = 10


@dataclass(frozen=True)
class Console:
    """Lines on standard output, and warnings on standard error.

    Attributes:
        quiet: print nothing; all processes of a run but the main one are quiet.
    """

    quiet: bool = False

    def fact(self, name: str, text: str) -> None:
        """Print one of the first lines of a run, which describe what it is made of."""
        self.line(f"{name:<{NAME_WIDTH}} {text}")

    def facts(self, name: str, texts: Iterable[str]) -> None:
        """Print texts under one name, a line each."""
        for number, text in enumerate(texts):
            self.fact("" if number else name, text)

    def line(self, text: str = "") -> None:
        """Print a line on standard output."""
        if not self.quiet:
            print(text, flush=True)  # noqa: T201

    def warn(self, text: str) -> None:
        """Print a warning on standard error."""
        if not self.quiet:
            print(f"warning: {text}", file=sys.stderr, flush=True)  # noqa: T201

    def note(self, text: str) -> None:
        """Print a remark on standard error, where standard output is a table."""
        if not self.quiet:
            print(f"note: {text}", file=sys.stderr, flush=True)  # noqa: T201


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return a count with its noun: `1 epoch`, `2,000 images`; `nouns` is the plural where it is not the noun and an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def one_line(text: str) -> str:
    """Return a text whose control characters are escapes, so that it can neither break a line nor command a terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: found[0].encode("unicode_escape").decode(), text)
