"""Aligned tables of text, and percentages: every table that zoo prints is made here."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

# Shown if a row has no value.
MISSING = "-"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: its heading.
        show: returns the text of a row; if it raises KeyError or TypeError (no such value, or None), a dash is shown.
        width: minimum width in letters; tables that are printed row by row need it, `align` computes it from the rows.
        left: whether to align to the left, for texts; numbers are aligned to the right.
    """

    title: str
    show: Callable[[Any], Any]
    width: int = 0
    left: bool = False

    def cell(self, row: Any) -> str:
        """Return the text of a row without padding."""
        try:
            return str(self.show(row))
        except (KeyError, TypeError):
            return MISSING

    def pad(self, text: str) -> str:
        """Return a text as wide as the column; a longer one is kept whole."""
        return text.ljust(self.width) if self.left else text.rjust(self.width)


def heading(columns: Sequence[Column], gap: str = " ") -> str:
    """Return the line of headings."""
    return gap.join(column.pad(column.title) for column in columns).rstrip()


def line(row: Any, columns: Sequence[Column], gap: str = " ") -> str:
    """Return the line of one row, for tables that are printed row by row."""
    return gap.join(column.pad(column.cell(row)) for column in columns).rstrip()


def align(rows: Sequence[Any], columns: Sequence[Column], gap: str = " ") -> list[str]:
    """Return a whole table, the headings first, each column as wide as its widest text."""
    fitted = [
        replace(column, width=max([column.width, len(column.title), *(len(column.cell(row)) for row in rows)]))
        for column in columns
    ]
    return [heading(fitted, gap), *(line(row, fitted, gap) for row in rows)]


def csv_writer(file: IO[str]) -> Callable[[Sequence[Any]], None]:
    """Return a function that writes a row of CSV, with a line feed at its end; None becomes an empty cell."""
    plain = csv.writer(file, lineterminator="\n")
    # Before Python 3.13, csv quotes a carriage return only if lines end in one.
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Sequence[Any]) -> None:
        (quoted if any("\r" in cell for cell in row if isinstance(cell, str)) else plain).writerow(row)

    return write


def percent(share: float, digits: int = 0) -> str:
    """Return a share in percent: `percent(0.979, 2)` is `97.90 %`."""
    return f"{share:.{digits}%}".replace("%", " %")
