"""Write entries of the catalog as an aligned table, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import shutil
import textwrap
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from zoo.models import catalog
from zoo.models.availability import LocalWeights
from zoo.models.catalog import Entry, Query
from zoo.system.table import Column, align

# Columns after the name that are aligned to the right.
NUMBERS = ("M params", "GMACs", "MActs", "px", "top-1")
# Columns after those, aligned to the left.
TEXTS = ("trained on", "license", "local")
# Columns left out in a narrow terminal before names are shortened, in this order.
DROPPED = ("MActs", "license", "trained on")
# Columns left out after that.
DROPPED_LAST = ("px", "GMACs", "local", "top-1", "M params")
# Width, in characters, of a table that is written to a file or a pipe.
WIDE = 160
# Least width of a shortened name, in characters.
NARROW = 16


def records(found: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the entries as dicts for JSON; unknown values are None."""
    machine = LocalWeights()
    rows = []
    for entry in found:
        place = catalog.local(entry, machine)
        values = {key: None if value == "" else value for key, value in entry._asdict().items() if key != "timm"}
        # Scripts of earlier versions read `licence`.
        rows.append(values | {"licence": values["license"], "cached": bool(place), "local": place or None})
    return rows


def as_json(found: Sequence[Entry]) -> str:
    """Return the entries as a JSON list of objects."""
    return json.dumps(records(found), indent=1, ensure_ascii=False)


def as_csv(found: Sequence[Entry]) -> str:
    """Return the values of `as_json` as CSV with a header; a list is separated by spaces, an unknown value is empty."""
    text = io.StringIO()
    keys = [key for key in (*Entry._fields, "licence", "cached", "local") if key != "timm"]
    writer = csv.DictWriter(text, keys, lineterminator="\n")
    writer.writeheader()
    for row in records(found):
        writer.writerow({key: " ".join(map(str, value)) if isinstance(value, tuple) else value for key, value in row.items()})
    return text.getvalue().rstrip("\n")


def as_table(found: Sequence[Entry], query: Query) -> str:
    """Return a line for each entry, no wider than the terminal, and a line that counts them."""
    width = shutil.get_terminal_size((WIDE, 24)).columns
    total = len(catalog.entries())
    if not found:
        names = len(catalog.matching(query.patterns, "zoo list"))
        fitting = f"; {names:,} match by name" if query.patterns else ""
        return textwrap.fill(f"0 of {total:,}{fitting} (timm {catalog.version()})", width)
    # Top-1 is the only value that is not from timm's code: its source is given.
    source = "; top-1: percent on ImageNet-1k, from its results-imagenet.csv" if any(entry.top1 for entry in found) else ""
    about = f"{len(found):,} of {total:,} (timm {catalog.version()}{source})"
    return "\n".join([*aligned(cells(found), width), "", textwrap.fill(about, width)])


def other_timm() -> str:
    """Return a note if the installed timm is not the version that the catalog was made from, else ''."""
    installed = catalog.other_timm()
    if not installed:
        return ""
    return f"note: the catalog is for timm {catalog.version()}, but {installed} is installed: names and figures may differ"


# -------------------------------------------------------------------------------------- table


def cells(found: Sequence[Entry], *, tags: bool = False) -> list[dict[str, str]]:
    """Return each row as a dict from column to text; the first row has the headings.

    Args:
        found: the entries.
        tags: show tags instead of names, for entries of one architecture.
    """
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
    """Return a number with two decimals, from 1,000 on with none; `?` for None."""
    return "?" if value is None else f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def aligned(rows: list[dict[str, str]], width: int) -> list[str]:
    """Return rows as lines, with numbers aligned right and texts left; columns are dropped and names cut until they fit."""
    first, *others = rows[0]
    # An empty column is left out.
    kept = [column for column in others if any(row[column] for row in rows[1:])]
    widths = {column: max(len(row[column]) for row in rows) for column in (first, *kept)}
    for column in (*DROPPED, *DROPPED_LAST):
        room = width - sum(widths[other] + 2 for other in kept)
        wanted = widths[first] if column in DROPPED else min(widths[first], max(NARROW, width // 2))
        if room < wanted and column in kept:
            kept.remove(column)
    widths[first] = max(NARROW, min(widths[first], width - sum(widths[column] + 2 for column in kept)))
    columns = [Column(first, lambda row: _cut(row[first], widths[first]), left=True)]
    columns += [Column(name, itemgetter(name), left=name not in NUMBERS) for name in kept]
    return align(rows[1:], columns, gap="  ")


def _cut(text: str, limit: int) -> str:
    """Cut a text to at most `limit` characters, in the middle, because names differ at both ends."""
    return text if len(text) <= limit else f"{text[: limit - limit // 2 - 1]}…{text[len(text) - limit // 2 :]}"
