"""Every timm backbone and what it costs, from a shipped table: reading it, choosing from it, the nearest names.

`catalog.csv` is made by `scripts/build_catalog.py`. Reading it takes 30 ms, where importing timm takes over a second.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from zoo.errors import Mistakes, ZooError, nearest
from zoo.models.availability import LocalWeights

PATH = Path(__file__).parent / "catalog.csv"
# Licenses that forbid commercial use; "other" and "unknown" are no license that one could read.
NON_COMMERCIAL = re.compile(r"cc-by-nc|noncommercial|apple-amlr|seer-license")
UNNAMED = ("", "other", "unknown")
UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1.0, "px": 1.0}
SORTS = ("name", "params", "gmacs", "top1")


class Entry(NamedTuple):
    """A pretrained tag of an architecture, or an architecture that has none. Columns of the table, in their order."""

    name: str
    architecture: str
    tag: str
    # The timm module that defines it.
    family: str
    params: int | None
    # Multiply-adds in billions and activations in millions, of one image of `input_size`.
    gmacs: float | None
    macts: float | None
    # The longer side in pixels, and [channels, height, width].
    image_size: int | None
    input_size: tuple[int, ...]
    fixed_size: bool
    classes: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float | None
    license: str
    # Data sets that the tag names, in the order of training.
    pretraining_data: tuple[str, ...]
    # ImageNet-1k accuracy in percent as timm publishes it (results/results-imagenet.csv), and the image size it is for.
    top1: float | None
    top1_size: int | None
    # Repository and file of the weights on the Hugging Face hub.
    hub: str
    hub_file: str
    timm: str
    # Why costs are missing.
    error: str


PARSERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "bool": lambda text: text == "1",
    "int | None": lambda text: int(text) if text else None,
    "float | None": lambda text: float(text) if text else None,
    "tuple[int, ...]": lambda text: tuple(map(int, text.split())),
    "tuple[float, ...]": lambda text: tuple(map(float, text.split())),
    "tuple[str, ...]": lambda text: tuple(text.split()),
}


def has(architecture: str, tag: str) -> bool:
    """Whether the table has a backbone ('' for no tag): a search of its text, a tenth of the time that reading it takes."""
    pattern = rf"^[^,]*,{re.escape(architecture)},{re.escape(tag)}," if tag else rf"^[^,]*,{re.escape(architecture)},"
    return re.search(pattern, PATH.read_text(encoding="utf-8"), re.MULTILINE) is not None


@cache
def entries() -> tuple[Entry, ...]:
    """The whole table, by architecture; the first tag of an architecture is the one timm takes if none is named."""
    parsers = [PARSERS[kind.__forward_arg__] for kind in Entry.__annotations__.values()]
    with open(PATH, newline="", encoding="utf-8") as handle:
        rows = csv.reader(handle)
        if next(rows) != list(Entry._fields):
            raise RuntimeError(f"{PATH} is of another version (run: python scripts/build_catalog.py)")
        return tuple(Entry(*(parse(text) for parse, text in zip(parsers, row, strict=True))) for row in rows)


@cache
def architectures() -> dict[str, list[Entry]]:
    """The entries of each architecture."""
    found: dict[str, list[Entry]] = {}
    for entry in entries():
        found.setdefault(entry.architecture, []).append(entry)
    return found


def named(name: str) -> Entry | None:
    """The entry of a name; of an architecture the tag that timm takes; None where there is none."""
    tagged = architectures().get(name.partition(".")[0], [])
    return next((entry for entry in tagged if name in (entry.name, entry.architecture)), None)


def version() -> str:
    """The timm that the catalog is of."""
    return entries()[0].timm


def other_timm() -> str:
    """The version of the installed timm where it is not the catalog's, else ''."""
    from importlib import metadata

    try:
        installed = metadata.version("timm")
    except metadata.PackageNotFoundError:
        return ""
    return "" if installed == version() else installed


def local(entry: Entry, machine: LocalWeights) -> str:
    """Where on this machine an entry's weights are: 'cache', a package with its version, or ''."""
    if machine.cached(entry.hub, entry.hub_file):
        return "cache"
    return machine.package(entry.architecture, entry.tag)


# ----------------------------------------------------------------------------------- choosing


@dataclass(frozen=True)
class Query:
    """What is asked for, as it was written on the command line."""

    patterns: Sequence[str] = ()
    max_params: str | None = None
    max_gmacs: str | None = None
    image_size: str | None = None
    license: str | None = None
    pretrained: bool = False
    cached: bool = False
    sort: str = "name"


def choose(query: Query) -> list[Entry]:
    """The entries that a query asks for, in its order.

    Raises:
        ZooError: a filter that cannot be read, or a pattern that fits nothing.
    """
    params = quantity("--max-params", query.max_params, "12M, 1.2e7 or 12000000", ("", "K", "M", "B"))
    gmacs = quantity("--max-gmacs", query.max_gmacs, "5 or 0.5, in billions of multiply-adds of an image", ("", "G"))
    size = quantity("--image-size", query.image_size, "224, in pixels", ("", "px"))
    found = licensed(ordered(matching(query.patterns), query.sort), query.license)
    found = cheaper(cheaper(found, "params", params), "gmacs", gmacs)
    if size is not None:
        found = [entry for entry in found if entry.image_size == size]
    if query.pretrained:
        found = [entry for entry in found if entry.tag]
    if query.cached:
        machine = LocalWeights()
        found = [entry for entry in found if local(entry, machine)]
    return found


def matching(patterns: Sequence[str]) -> list[Entry]:
    """The entries whose name, or name without its tag, fits one of the patterns; all of them where there are none.

    Raises:
        ZooError: a pattern that fits nothing; a line for each, with the nearest names.
    """
    if not patterns:
        return list(entries())
    fits = [re.compile(translate(pattern)).match for pattern in patterns]
    found = {fit: [entry for entry in entries() if fit(entry.name) or fit(entry.architecture)] for fit in fits}
    mistakes = [_unmatched(pattern) for pattern, fit in zip(patterns, fits, strict=True) if not found[fit]]
    if mistakes:
        raise Mistakes(mistakes)
    chosen = {entry.name for some in found.values() for entry in some}
    return [entry for entry in entries() if entry.name in chosen]


def _unmatched(pattern: str) -> str:
    """What is said of a pattern that fits nothing."""
    close = closest(pattern)
    hint = f"closest: {', '.join(close)}" if close else "'zoo list' shows all"
    return f"zoo list: no backbone fits '{pattern}' ({hint})"


def closest(text: str) -> list[str]:
    """The names nearest to a misspelt name or pattern: tags of its architecture where that is known, else architectures."""
    plain = re.sub(r"\[.*?\]|[*?]", "", text.lower())
    architecture, _, tag = plain.partition(".")
    tags = [entry.tag for entry in architectures().get(architecture, ()) if entry.tag]
    if tags:
        return [f"{architecture}.{known}" for known in nearest(tag, tags) or tags[:3]]
    starting = [name for name in architectures() if architecture and name.startswith(architecture)]
    return nearest(architecture, architectures()) or starting[:3]


def cheaper(found: Iterable[Entry], column: str, limit: float | None) -> list[Entry]:
    """The entries that cost at most so much; what they cost must be known."""
    if limit is None:
        return list(found)
    costs = ((entry, getattr(entry, column)) for entry in found)
    return [entry for entry, cost in costs if cost is not None and cost <= limit]


def permissive(license: str) -> bool:
    """Whether a license is named and does not forbid commercial use."""
    return license not in UNNAMED and not NON_COMMERCIAL.search(license)


def licensed(found: Iterable[Entry], wanted: str | None) -> list[Entry]:
    """The entries with a license of a name, or with a permissive one.

    Raises:
        ZooError: no entry has such a license.
    """
    if wanted is None:
        return list(found)
    if wanted == "permissive":
        return [entry for entry in found if permissive(entry.license)]
    known = sorted({entry.license for entry in entries() if entry.license})
    if wanted not in known:
        raise ZooError("--license", f"unknown '{wanted}'", f"permissive, or one of {', '.join(known)}")
    return [entry for entry in found if entry.license == wanted]


def ordered(found: Iterable[Entry], by: str) -> list[Entry]:
    """By name as timm sorts them, from the cheapest, or from the best top-1; the unknown last.

    Raises:
        ZooError: no such order.
    """
    if by not in SORTS:
        close = nearest(by, SORTS, 1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise ZooError("--sort", f"unknown '{by}'", f"{hint}one of {', '.join(SORTS)}")
    if by == "name":
        return list(found)
    sign = -1 if by == "top1" else 1

    def rank(entry: Entry) -> tuple[bool, float]:
        value = getattr(entry, by)
        return value is None, sign * (value or 0)

    return sorted(found, key=rank)


def quantity(flag: str, text: str | None, example: str, units: Sequence[str]) -> float | None:
    """A positive number, with one of the units after it or none.

    Raises:
        ZooError: it is none.
    """
    if text is None:
        return None
    found = re.fullmatch(r"((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?) *([a-z]*)", text.strip(), re.IGNORECASE)
    unit = next((unit for unit in units if found and found[2].lower() == unit.lower()), None)
    if not found or unit is None:
        known = f", alone or with {' or '.join(filter(None, units))} after it"
        raise ZooError(flag, f"expected a number{known}, found '{text}'", f"e.g. {example}")
    value = float(found[1]) * UNITS[unit]
    if not 0 < value < math.inf:
        raise ZooError(flag, f"must be above 0, found '{text}'", f"e.g. {example}")
    return value
