"""Lines for the user, printed by the main process only."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Console:
    """Lines on standard output, from the main process only."""

    quiet: bool = False

    def fact(self, name: str, text: str) -> None:
        """One of the first lines: what the run is made of."""
        self.line(f"{name:<10} {text}")

    def line(self, text: str = "") -> None:
        """A line."""
        if not self.quiet:
            print(text, flush=True)  # noqa: T201

    def warn(self, text: str) -> None:
        """A line on standard error."""
        if not self.quiet:
            print(f"warning: {text}", file=sys.stderr, flush=True)  # noqa: T201
