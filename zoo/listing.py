"""What `zoo list` and `zoo show` print: an aligned table, a backbone's card, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import shlex
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.models import catalog
from zoo.models.availability import LocalWeights, offline
from zoo.models.catalog import Entry, Query
from zoo.models.names import check_backbone

# The columns after the name. Where the terminal is narrow, the first go before a name is cut, the others after that.
NUMBERS = ("M params", "GMACs", "MActs", "px", "top-1")
TEXTS = ("trained on", "licence", "local")
DROPPED = ("MActs", "licence", "trained on")
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
        rows.append(values | {"cached": bool(place), "local": place or None})
    return rows


def as_json(found: Sequence[Entry]) -> str:
    """A list of objects."""
    return json.dumps(records(found), indent=1, ensure_ascii=False)


def as_csv(found: Sequence[Entry]) -> str:
    """The same values as in JSON, under a line of their names; lists are separated by spaces, what is unknown is empty."""
    text = io.StringIO()
    keys = [key for key in (*Entry._fields, "cached", "local") if key != "timm"]
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
    return "\n".join([*_aligned(_cells(found), width), "", textwrap.fill(about, width)])


def other_timm() -> str:
    """One line where the catalogue is of another timm than the installed one, else ''."""
    installed = catalog.other_timm()
    if not installed:
        return ""
    return f"note: the catalogue is of timm {catalog.version()}, installed is {installed}: names and figures may differ"


def plot(found: Sequence[Entry], path: Path) -> str:
    """Draw parameters and GMACs against top-1; returns what was drawn, in a line.

    Raises:
        ZooError: no entry has a top-1, or the file cannot be written.
    """
    from zoo.results.pareto import Axis, Dot, check, draw_pareto

    check(path)
    known = [entry for entry in found if entry.top1 and entry.params and entry.gmacs]
    if not known:
        raise ZooError("--plot", f"timm publishes no top-1 of these {len(found):,} backbones", "ask for others")
    axes = [
        Axis("parameters, millions", [Dot(entry.name, (entry.params or 0) / 1e6, entry.top1 or 0) for entry in known]),
        Axis("GMACs of an image at native size", [Dot(entry.name, entry.gmacs or 0, entry.top1 or 0) for entry in known]),
    ]
    title = f"{len(known):,} of {len(found):,} backbones with a published ImageNet top-1, and the Pareto front"
    draw_pareto(axes, "top-1, percent", path, title)
    return f"{path}: {len(known):,} of {len(found):,} backbones, those whose top-1 timm publishes"


# -------------------------------------------------------------------------------------- table


def _cells(found: Sequence[Entry], *, tags: bool = False) -> list[dict[str, str]]:
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
                "GMACs": _short(entry.gmacs),
                "MActs": _short(entry.macts),
                "px": f"{entry.image_size or '?'}{' fixed' if entry.fixed_size else ''}",
                "top-1": f"{entry.top1:.2f}" if entry.top1 else "",
                "trained on": ", ".join(entry.pretraining_data),
                "licence": entry.licence,
                "local": place if place in ("", "cache") else "package",
            }
        )
    return rows


def _short(value: float | None) -> str:
    return "?" if value is None else f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def _aligned(rows: list[dict[str, str]], width: int) -> list[str]:
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


# --------------------------------------------------------------------------------------- card


def find(name: str) -> Entry:
    """The entry of a name; of an architecture the tag that timm takes.

    Raises:
        ZooError: no such backbone, with the nearest ones or the successor.
    """
    try:
        check_backbone(name)
    except ValueError as error:
        raise ZooError("zoo show", str(error)) from None
    if entry := catalog.named(name):
        return entry
    what = f"'{name}' is not in the catalogue, which is of timm {catalog.version()}"
    raise ZooError("zoo show", what, f"install timm {catalog.version()}, or a zoo for the timm that is installed")


def weights(entry: Entry) -> str:
    """Where `backbone.weights: auto` would find an entry's weights now; nobody is asked."""
    machine = LocalWeights()
    if not entry.tag:
        return "none: timm has no pretrained weights"
    if machine.cached(entry.hub, entry.hub_file):
        return f"hub cache {entry.hub}"
    package = machine.package(entry.architecture, entry.tag)
    if package:
        return f"package {package}"
    if not entry.hub:
        return "none that is fetched: timm has a plain address only (set backbone.weights to a file)"
    if offline():
        return f"out of reach: {entry.hub} is not in the cache, and HF_HUB_OFFLINE is set"
    return f"hub {entry.hub} (not on this machine yet)"


def recipes(architecture: str) -> list[tuple[str, str]]:
    """The shipped recipes of an architecture, each with the name its backbone has there."""
    from zoo.recipe.load import load_recipe, shipped_recipes, shipped_root

    names = [name for name, _ in shipped_recipes()]
    used = [(name, load_recipe(shipped_root() / f"{name}.yaml").backbone.name) for name in names]
    return [(name, backbone) for name, backbone in used if backbone.partition(".")[0] == architecture]


def command(entry: Entry) -> str:
    """A command that trains an entry on a folder of images."""
    overrides = [f"backbone.name={entry.name}", f"image_size={entry.image_size or 224}"]
    if not entry.hub and not LocalWeights().package(entry.architecture, entry.tag):
        # The example keeps pretrained statistics and starts from a head of zeros; here there are none to keep.
        overrides += ["backbone.weights=random", "backbone.head_init=default", "finetune.batch_norm=train"]
    return shlex.join(["zoo", "train", "folder/example", "data.root=photos", *overrides])


def card_json(entry: Entry) -> str:
    """One object: the entry's values, where its weights are, recipes, a command, and all tags of its architecture."""
    more = {
        "weights": weights(entry),
        "recipes": [name for name, _ in recipes(entry.architecture)],
        "command": command(entry),
        "tags": [row for row in records(catalog.architectures()[entry.architecture]) if row["tag"]],
    }
    return json.dumps(records([entry])[0] | more, indent=1, ensure_ascii=False)


def card(entry: Entry) -> str:
    """Everything known of an entry, its architecture's tags side by side, and how to train it."""
    width = shutil.get_terminal_size((WIDE, 24)).columns
    used = [name if backbone == entry.name else f"{name} ({backbone})" for name, backbone in recipes(entry.architecture)]
    facts = {
        "backbone": entry.name,
        "family": entry.family,
        "parameters": f"{entry.params / 1e6:,.2f} M" if entry.params else f"unknown: {entry.error}",
        "cost": _cost(entry),
        "input": _input(entry),
        "head": f"{entry.classes:,} classes" if entry.classes else "none: it gives features",
        "top-1": f"{entry.top1:.2f} % at {entry.top1_size} px (ImageNet-1k, timm's results-imagenet.csv)" if entry.top1 else "",
        "trained on": ", ".join(entry.pretraining_data),
        "licence": _licence(entry),
        "weights": weights(entry),
        "recipes": ", ".join(used) or "none of its own",
        "train it": command(entry),
    }
    lines = [_fact(key, value, width) for key, value in facts.items() if value]
    entries = catalog.architectures()[entry.architecture]
    if entry.tag:
        about = f"Tags of {entry.architecture}; the first is the one timm takes where none is named:"
        # The default stands first whatever is shown.
        lines += ["", textwrap.fill(about, width), *_aligned(_cells(entries, tags=True), width)]
    return "\n".join(lines)


def _fact(key: str, value: str, width: int) -> str:
    # A command is to be copied whole.
    if key == "train it":
        return f"{key:<10} {value}"
    return textwrap.fill(value, max(width, 40), initial_indent=f"{key:<10} ", subsequent_indent=" " * 11, break_on_hyphens=False)


def _cost(entry: Entry) -> str:
    if entry.gmacs is None or entry.macts is None:
        return f"unknown: {entry.error}"
    size = "x".join(map(str, entry.input_size[1:])) if len(set(entry.input_size[1:])) > 1 else str(entry.image_size)
    return f"{_short(entry.gmacs)} GMACs and {_short(entry.macts)} million activations for an image of {size} px"


def _input(entry: Entry) -> str:
    if not entry.image_size:
        return ""
    size = f"{entry.image_size} px, {'fixed' if entry.fixed_size else 'other sizes too'}"
    values = f"mean {' '.join(map(str, entry.mean))}, std {' '.join(map(str, entry.std))}"
    return f"{size}; {entry.interpolation}, crop {entry.crop_pct:g}, {values}"


def _licence(entry: Entry) -> str:
    if not entry.tag:
        return ""
    if entry.licence in catalog.UNNAMED:
        return f"{entry.licence or 'none named'} (ask its authors)"
    return entry.licence if catalog.permissive(entry.licence) else f"{entry.licence} (no commercial use)"
