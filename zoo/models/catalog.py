"""Read the shipped table of all timm backbones and their costs, select entries, and find the nearest names.

`catalog.csv` is written by `scripts/build_catalog.py`. Reading it takes 30 ms, importing timm over a second.
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
# Licenses that forbid commercial use.
NON_COMMERCIAL = re.compile(r"cc-by-nc|noncommercial|apple-amlr|seer-license")
# Kinds of weight sources in a recipe that give timm's own weights.
TIMM_WEIGHTS = ("auto", "pretrained", "package")
# Values of `license` that do not name a particular license.
UNNAMED = ("", "other", "unknown")
# Factors of the units in filters. GMACs are in billions already, so a G after them changes nothing.
UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1.0, "px": 1.0}
# Keys of `--sort`.
SORTS = ("name", "params", "gmacs", "top1")


class Entry(NamedTuple):
    """A pretrained tag of an architecture, or an architecture without tags. The fields are the table's columns, in order."""

    name: str
    architecture: str
    tag: str
    # The timm module that defines it.
    family: str
    params: int | None
    # Multiply-adds in billions and activations in millions, for one image of `input_size`.
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


def _whole(text: str) -> int | None:
    """Return the integer in a cell, or None if the cell is empty."""
    return int(text) if text else None


def _number(text: str) -> float | None:
    """Return the number in a cell, or None if the cell is empty."""
    return float(text) if text else None


def _numbers(text: str) -> tuple[float, ...]:
    """Return the numbers in a cell, which are separated by spaces."""
    return tuple(map(float, text.split()))


# The parser of each column that is not text.
PARSERS: dict[str, Callable[[str], Any]] = {
    "params": _whole,
    "gmacs": _number,
    "macts": _number,
    "image_size": _whole,
    "input_size": lambda text: tuple(map(int, text.split())),
    "fixed_size": lambda text: text == "1",
    "classes": _whole,
    "mean": _numbers,
    "std": _numbers,
    "crop_pct": _number,
    "pretraining_data": lambda text: tuple(text.split()),
    "top1": _number,
    "top1_size": _whole,
}


def has(architecture: str, tag: str) -> bool:
    """Return whether the table has an architecture with this tag; with the tag '', whether it has the architecture.

    Searches the text of the table, which takes a tenth of the time of parsing it.
    """
    pattern = rf"^[^,]*,{re.escape(architecture)},{re.escape(tag)}," if tag else rf"^[^,]*,{re.escape(architecture)},"
    return re.search(pattern, PATH.read_text(encoding="utf-8"), re.MULTILINE) is not None


@cache
def entries() -> tuple[Entry, ...]:
    """Return all entries in order of architecture; the first tag of each architecture is timm's default."""
    parsers = [PARSERS.get(column, str) for column in Entry._fields]
    with open(PATH, newline="", encoding="utf-8") as handle:
        rows = csv.reader(handle)
        if next(rows) != list(Entry._fields):
            raise RuntimeError(f"{PATH} is from another version (run: python scripts/build_catalog.py)")
        return tuple(Entry(*(parse(text) for parse, text in zip(parsers, row, strict=True))) for row in rows)


@cache
def architectures() -> dict[str, list[Entry]]:
    """Return the entries of each architecture."""
    found: dict[str, list[Entry]] = {}
    for entry in entries():
        found.setdefault(entry.architecture, []).append(entry)
    return found


def named(name: str) -> Entry | None:
    """Return the entry of a name, or None for an unknown name. A bare architecture stands for its default tag."""
    tagged = architectures().get(name.partition(".")[0], [])
    return next((entry for entry in tagged if name in (entry.name, entry.architecture)), None)


def version() -> str:
    """Return the version of timm that the catalog was made from."""
    return entries()[0].timm


def other_timm() -> str:
    """Return the version of the installed timm if it differs from the catalog's, else ''."""
    from importlib import metadata

    try:
        installed = metadata.version("timm")
    except metadata.PackageNotFoundError:
        return ""
    return "" if installed == version() else installed


def local(entry: Entry, machine: LocalWeights) -> str:
    """Return where an entry's weights are on this machine: 'cache', a package with its version, or ''."""
    if machine.cached(entry.hub, entry.hub_file):
        return "cache"
    return machine.package(entry.architecture, entry.tag)


# ----------------------------------------------------------------------------------- choosing


@dataclass(frozen=True)
class Query:
    """A query of the catalog, with its filters as written on the command line."""

    patterns: Sequence[str] = ()
    max_params: str | None = None
    max_gmacs: str | None = None
    image_size: str | None = None
    license: str | None = None
    pretrained: bool = False
    cached: bool = False
    sort: str = "name"


def choose(query: Query) -> list[Entry]:
    """Return the entries that match a query, in its sort order.

    Raises:
        ZooError: a filter cannot be parsed, a pattern matches nothing, or a number of parameters lacks its unit.
    """
    params = quantity("--max-params", query.max_params, "12M, 1.2e7 or 12000000", ("", "K", "M", "B"))
    gmacs = quantity("--max-gmacs", query.max_gmacs, "5 or 0.5, in billions of multiply-adds per image", ("", "G"))
    size = quantity("--image-size", query.image_size, "224, in pixels", ("", "px"))
    found = licensed(ordered(matching(query.patterns, "zoo list"), query.sort), query.license)
    found = cheaper(found, "gmacs", gmacs)
    if size is not None:
        found = [entry for entry in found if entry.image_size == size]
    if query.pretrained:
        found = [entry for entry in found if entry.tag]
    if query.cached:
        machine = LocalWeights()
        found = [entry for entry in found if local(entry, machine)]
    fitting = cheaper(found, "params", params)
    if query.max_params and params and not fitting:
        _check_unit(query.max_params.strip(), params, found)
    return fitting


def _check_unit(text: str, params: float, found: Sequence[Entry]) -> None:
    """Check that a maximum number of parameters was not meant in millions.

    Raises:
        ZooError: the number has no unit, and some entries would match if it were in millions.
    """
    if not text[-1].isalpha() and cheaper(found, "params", params * UNITS["M"]):
        raise ZooError("--max-params", f"no backbone has at most {params:g} parameters", f"did you mean {text}M?")


def matching(patterns: Sequence[str], where: str) -> list[Entry]:
    """Return the entries whose name, with or without its tag, matches one of the patterns; all if there are no patterns.

    Args:
        patterns: names, in which * and ? are wildcards.
        where: the command or flag that an error names.

    Raises:
        Mistakes: some patterns match nothing; the error has a line for each, with the nearest names.
    """
    if not patterns:
        return list(entries())
    fits = [re.compile(translate(pattern)).match for pattern in patterns]
    found = {fit: [entry for entry in entries() if fit(entry.name) or fit(entry.architecture)] for fit in fits}
    mistakes = [unmatched(pattern, where) for pattern, fit in zip(patterns, fits, strict=True) if not found[fit]]
    if mistakes:
        raise Mistakes(mistakes)
    chosen = {entry.name for some in found.values() for entry in some}
    return [entry for entry in entries() if entry.name in chosen]


def unmatched(pattern: str, where: str) -> str:
    """Return the error line for a name or pattern that matches nothing, with the nearest names."""
    close = closest(pattern)
    hint = f"closest: {', '.join(close)}" if close else "'zoo list' shows all"
    return f"{where}: no backbone matches '{pattern}' ({hint})"


def closest(text: str) -> list[str]:
    """Return the names nearest to a misspelled name or pattern: tags of a known architecture, else architectures."""
    plain = re.sub(r"\[.*?\]|[*?]", "", text.lower())
    architecture, _, tag = plain.partition(".")
    tags = [entry.tag for entry in architectures().get(architecture, ()) if entry.tag]
    if tags:
        return [f"{architecture}.{known}" for known in nearest(tag, tags) or tags[:3]]
    starting = [name for name in architectures() if architecture and name.startswith(architecture)]
    return nearest(architecture, architectures()) or starting[:3]


def cheaper(found: Iterable[Entry], column: str, limit: float | None) -> list[Entry]:
    """Return the entries whose cost is known and at most the limit; all of them if the limit is None."""
    if limit is None:
        return list(found)
    costs = ((entry, getattr(entry, column)) for entry in found)
    return [entry for entry, cost in costs if cost is not None and cost <= limit]


def permissive(license: str) -> bool:
    """Return whether a license is named and does not forbid commercial use."""
    return license not in UNNAMED and not NON_COMMERCIAL.search(license)


def license_of(name: str, weights: str) -> str:
    """Return the license of a backbone's weights; '' if these are not timm's own weights, or timm gives no license.

    Args:
        name: name of the backbone.
        weights: kind of the weight source, as in a recipe.
    """
    entry = named(name) if weights in TIMM_WEIGHTS else None
    return entry.license if entry and entry.tag else ""


def license_terms(license: str) -> str:
    """Return a readable text about a license, which says if it forbids commercial use."""
    if license in UNNAMED:
        return f"{license or 'none named'} (ask its authors)"
    return license if permissive(license) else f"{license} (no commercial use)"


def licensed(found: Iterable[Entry], wanted: str | None) -> list[Entry]:
    """Return the entries with this license, or with any permissive license if `wanted` is `permissive`; all of them for None.

    Raises:
        ZooError: no entry has this license.
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
    """Return entries sorted by name as in timm, by a cost from the lowest, or by top-1 from the best; unknown values come last.

    Raises:
        ZooError: the key is unknown.
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
    """Parse a positive number, alone or followed by one of the units; return None for None.

    Raises:
        ZooError: the text is not a positive number, alone or with one of the units.
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
