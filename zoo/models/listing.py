"""Entries of the catalog as an aligned table, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from zoo.models import catalog
from zoo.models.availability import LocalWeights
from zoo.models.catalog import Entry, Query

# The columns after the name. Where the terminal is narrow, the first go before a name is cut, the others after that.
NUMBERS = ("M params", "GMACs", "MActs", "px", "top-1")
TEXTS = ("trained on", "license", "local")
DROPPED = ("MActs", "license", "trained on")
DROPPED_LAST = ("px", "GMACs", "local", "top-1", "M params")
# Columns of text where nothing says how wide the terminal is: output into a file or a pipe.
WIDE = 160
# Names are not cut to less.
NARROW = 16


def records(found: Sequence[Entry]) -> list[dict[str, Any]]:
    """The entries as JSON's values: what is unknown is null."""
    machine = LocalWeights()
    rows = []
    for entry in found:
        place = catalog.local(entry, machine)
        values = {key: None if value == "" else value for key, value in entry._asdict().items() if key != "timm"}
        # `licence` is what scripts of earlier versions read.
        rows.append(values | {"licence": values["license"], "cached": bool(place), "local": place or None})
    return rows


def as_json(found: Sequence[Entry]) -> str:
    """A list of objects."""
    return json.dumps(records(found), indent=1, ensure_ascii=False)


def as_csv(found: Sequence[Entry]) -> str:
    """The same values as in JSON, under a line of their names; lists are separated by spaces, what is unknown is empty."""
    text = io.StringIO()
    keys = [key for key in (*Entry._fields, "licence", "cached", "local") if key != "timm"]
    writer = csv.DictWriter(text, keys, lineterminator="\n")
    writer.writeheader()
    for row in records(found):
        writer.writerow({key: " ".join(map(str, value)) if isinstance(value, tuple) else value for key, value in row.items()})
    return text.getvalue().rstrip("\n")


def as_table(found: Sequence[Entry], query: Query) -> str:
    """A line each, as wide as the terminal at most, and how many of how many they are."""
    width = shutil.get_terminal_size((WIDE, 24)).columns
    total = len(catalog.entries())
    if not found:
        fitting = f"; {len(catalog.matching(query.patterns)):,} have such a name" if query.patterns else ""
        return textwrap.fill(f"0 of {total:,}{fitting} (timm {catalog.version()})", width)
    # The source of the one fact that is not in timm's code.
    source = "; top-1: percent on ImageNet-1k, from its results-imagenet.csv" if any(entry.top1 for entry in found) else ""
    about = f"{len(found):,} of {total:,} (timm {catalog.version()}{source})"
    return "\n".join([*aligned(cells(found), width), "", textwrap.fill(about, width)])


def other_timm() -> str:
    """One line where the catalog is of another timm than the installed one, else ''."""
    installed = catalog.other_timm()
    if not installed:
        return ""
    return f"note: the catalog is of timm {catalog.version()}, installed is {installed}: names and figures may differ"


# -------------------------------------------------------------------------------------- table


def cells(found: Sequence[Entry], *, tags: bool = False) -> list[dict[str, str]]:
    """The texts of each row, the heading first; by tag where all are of one architecture."""
    machine = LocalWeights()
    name = "tag" if tags else "name"
    rows = [{column: column for column in (name, *NUMBERS, *TEXTS)}]
    for entry in found:
        place = catalog.local(entry, machine)
        rows.append(
            {
                name: (entry.tag or "(none)") if tags else entry.name,
                "M params": f"{entry.params / 1e6:,.2f}" if entry.params else "?",
                "GMACs": short(entry.gmacs),
                "MActs": short(entry.macts),
                "px": f"{entry.image_size or '?'}{' fixed' if entry.fixed_size else ''}",
                "top-1": f"{entry.top1:.2f}" if entry.top1 else "",
                "trained on": ", ".join(entry.pretraining_data),
                "license": entry.license,
                "local": place if place in ("", "cache") else "package",
            }
        )
    return rows


def short(value: float | None) -> str:
    """Return a number with two digits after the point, or `?`."""
    return "?" if value is None else f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def aligned(rows: list[dict[str, str]], width: int) -> list[str]:
    """Rows as lines: numbers to the right, texts to the left, columns left out and names cut until they fit."""
    first, *others = rows[0]
    # A column in which nothing stands says nothing.
    kept = [column for column in others if any(row[column] for row in rows[1:])]
    widths = {column: max(len(row[column]) for row in rows) for column in (first, *kept)}
    for column in (*DROPPED, *DROPPED_LAST):
        room = width - sum(widths[other] + 2 for other in kept)
        wanted = widths[first] if column in DROPPED else min(widths[first], max(NARROW, width // 2))
        if room < wanted and column in kept:
            kept.remove(column)
    widths[first] = max(NARROW, min(widths[first], width - sum(widths[column] + 2 for column in kept)))
    lines = []
    for row in rows:
        parts = [_cut(row[first], widths[first]).ljust(widths[first])]
        for column in kept:
            text = row[column]
            parts.append(text.rjust(widths[column]) if column in NUMBERS else text.ljust(widths[column]))
        lines.append("  ".join(parts).rstrip())
    return lines


def _cut(text: str, limit: int) -> str:
    """A text of at most so many letters: names differ at both ends, so the middle goes."""
    return text if len(text) <= limit else f"{text[: limit - limit // 2 - 1]}…{text[len(text) - limit // 2 :]}"
