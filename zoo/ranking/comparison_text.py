"""Write a comparison of two runs as lines, as JSON, and as a CSV of the flipped images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from zoo.ranking.comparison import Comparison, Figure
from zoo.ranking.leaderboard import ALPHA
from zoo.results.predictions import table_text
from zoo.system.console import NAME_WIDTH, plural
from zoo.system.table import Column, align, percent

# Maximum number of flipped images on the console.
SHOWN_FLIPS = 20
# Columns of the file of flipped images.
FLIPS_HEADER = ("file", "label", "a", "b", "right")
# The names of the two runs in texts.
LETTERS = {"first": "A", "second": "B"}


def lines(found: Comparison) -> Iterator[str]:
    """Yield the lines for the console; the last one states the conclusion."""
    for letter, run in (("A", found.first), ("B", found.second)):
        accuracy = percent(run.result.test.accuracy, 2) if run.result.test else ""
        yield f"{letter:<{NAME_WIDTH}} {run.path}: {run.result.backbone}, seed {run.result.seed}, test accuracy {accuracy}"
    if found.first.machine != found.second.machine:
        yield f"{'note':<{NAME_WIDTH}} trained on {found.first.machine} and {found.second.machine}: times are not comparable"
    yield ""
    if found.recipe:
        yield from align(found.recipe, OPTIONS, gap="  ")
    else:
        yield "the recipes are the same"
    yield ""
    yield from align(found.figures, FIGURES, gap="  ")
    yield ""
    yield from _paired(found)
    yield ""
    yield from _flips(found)
    yield sentence(found)


def sentence(found: Comparison) -> str:
    """Return the conclusion of the comparison in one sentence."""
    table = found.table
    low, high = (100 * bound for bound in table.interval)
    if not table.first and not table.second:
        return f"A and B get the same {plural(table.both, 'image')} right (of {table.images:,}; p = 1)"
    p = "p < 0.001" if table.p < 0.001 else f"p = {table.p:.3f}"
    if table.p >= ALPHA:
        middle = f"{100 * table.difference:+.2f} points from A to B, 95 % interval {low:+.2f} to {high:+.2f}"
        return f"A and B cannot be told apart on {plural(table.images, 'image')} ({middle}; {p})"
    better, sign = ("B", 1) if table.difference > 0 else ("A", -1)
    low, high = sorted((sign * low, sign * high))
    return f"{better} is better by {abs(100 * table.difference):.2f} points (95 % interval {low:.2f} to {high:.2f}; {p})"


def as_json(found: Comparison) -> str:
    """Return all values as JSON, including every flipped image, with numbers in full precision."""
    table = found.table
    values: dict[str, Any] = {
        **{name: _run(found, side) for name, side in (("a", "first"), ("b", "second"))},
        "recipe": [one.record for one in found.recipe],
        "images": table.images,
        "both_right": table.both,
        "only_a_right": table.first,
        "only_b_right": table.second,
        "neither_right": table.neither,
        "difference": table.difference,
        "interval": table.interval,
        "p": table.p,
        "flips": [dict(zip(FLIPS_HEADER, row, strict=True)) for row in flip_rows(found)],
        "figures": {one.name: {"a": one.first, "b": one.second, "ratio": one.ratio} for one in found.figures},
        "means": sentence(found),
    }
    return json.dumps(values, indent=1, ensure_ascii=False)


def as_csv(found: Comparison) -> str:
    """Return the flipped images as CSV."""
    return table_text(FLIPS_HEADER, flip_rows(found))


def flip_rows(found: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield a row for each flipped image, with the columns of `FLIPS_HEADER`; the last cell names the correct run, A or B."""
    for flip in found.flips:
        *texts, right = asdict(flip).values()
        yield (*texts, LETTERS[right])


def _run(found: Comparison, side: str) -> dict[str, Any]:
    run = getattr(found, side)
    return {"run": str(run.path), "backbone": run.result.backbone, "seed": run.result.seed, "machine": run.machine}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def _figure(figure: Figure, value: float | None) -> str:
    return percent(value, 2) if figure.name == "test accuracy" and value is not None else _number(value)


OPTIONS = [
    Column("recipe", lambda one: one.key, left=True),
    Column("A", lambda one: one.texts[0], left=True),
    Column("B", lambda one: one.texts[1], left=True),
]
FIGURES = [
    Column("", lambda one: one.name, left=True),
    Column("A", lambda one: _figure(one, one.first)),
    Column("B", lambda one: _figure(one, one.second)),
    Column("B / A", lambda one: f"{one.ratio:.2f}"),
]


def _paired(found: Comparison) -> Iterator[str]:
    table = found.table
    rows = [("A right", table.both, table.first), ("A wrong", table.second, table.neither)]
    columns = [
        Column(plural(table.images, "image"), lambda row: row[0], left=True),
        Column("B right", lambda row: f"{row[1]:,}"),
        Column("B wrong", lambda row: f"{row[2]:,}"),
    ]
    yield from align(rows, columns, gap="  ")


def _flips(found: Comparison) -> Iterator[str]:
    if not found.flips:
        return
    columns = [
        Column(name, lambda row, place=place: row[place], left=True)  # type: ignore[misc]
        for place, name in enumerate(("flipped", "label", "A says", "B says", "right"))
    ]
    rows = [tuple(" ".join(cell.split()) for cell in row) for row in flip_rows(found)]
    yield from align(rows[:SHOWN_FLIPS], columns, gap="  ")
    if len(rows) > SHOWN_FLIPS:
        yield f"… {len(rows) - SHOWN_FLIPS:,} more (--out FILE.csv has all)"
    yield ""
