"""Lines for the user, printed by the main process only."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

# Width in letters of the first column of the lines that describe a run.
NAME_WIDTH = 10


@dataclass(frozen=True)
class Console:
    """Lines on standard output, and warnings on standard error.

    Attributes:
        quiet: whether to print nothing, as in all processes of a run but the main one.
    """

    quiet: bool = False

    def fact(self, name: str, text: str) -> None:
        """Print a name and a text, such as the lines that describe a run at its start."""
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
        """Print a remark on standard error, for commands whose standard output is a table."""
        if not self.quiet:
            print(f"note: {text}", file=sys.stderr, flush=True)  # noqa: T201


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return a count with its noun: `1 epoch`, `2,000 images`; `nouns` is an irregular plural."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def one_line(text: str) -> str:
    """Return a text with escaped control characters, so that it can neither break a line nor control a terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: found[0].encode("unicode_escape").decode(), text)
