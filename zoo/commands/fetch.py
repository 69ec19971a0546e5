"""`zoo fetch`: download weights and data into the caches before a run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import Mistakes, ZooError, nearest

if TYPE_CHECKING:
    from zoo.models.options import Backbone
    from zoo.system.table import Column
    from zoo.training.fetch import Fetched

# Width in letters of a size such as `14,197.1 MB`.
SIZE_WIDTH = 11


@dataclass(frozen=True)
class Wanted:
    """An item to fetch.

    Attributes:
        kind: weights or data.
        name: name of the backbone or of the images.
        fetch: fetches the item.
    """

    kind: str
    name: str
    fetch: Callable[[], Fetched]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `zoo fetch`."""
    about = (
        "a backbone, for its weights; a recipe file or the name of a shipped recipe, for its weights and data; "
        "key=value, to change an option of the recipes"
    )
    parser.add_argument("names", metavar="NAME|RECIPE|key=value", nargs="+", help=about)
    parser.set_defaults(overrides=[])


def run(options: argparse.Namespace) -> int:
    """Fetch all items and print a row for each; return 1 if an item could not be fetched, else 0.

    Raises:
        Mistakes: a word is neither a recipe nor a backbone, or a recipe has a mistake; nothing was fetched.
    """
    from zoo.system.table import line

    items = wanted([*options.names, *options.overrides])
    shown = columns(items)
    failed = 0
    for item in items:
        try:
            found = item.fetch()
        except ZooError as error:
            failed += 1
            found = error
        print(line((item, found), shown, gap="  "), flush=True)
    return 1 if failed else 0


def columns(items: Sequence[Wanted]) -> list[Column]:
    """Return the columns of the table, whose rows are pairs of an item and its result or error."""
    from zoo.system.table import Column

    return [
        Column("", lambda row: row[0].kind, width=len("weights"), left=True),
        Column("", lambda row: row[0].name, width=max(len(item.name) for item in items), left=True),
        Column("", _size, width=SIZE_WIDTH),
        Column("", _text, left=True),
    ]


def _size(row: tuple[Wanted, Fetched | ZooError]) -> str:
    found = row[1]
    if isinstance(found, ZooError):
        return "failed"
    return f"{found.size / 1e6:,.1f} MB" if found.size else "-"


def _text(row: tuple[Wanted, Fetched | ZooError]) -> str:
    found = row[1]
    return "; ".join(found.lines) if isinstance(found, ZooError) else found.text


def wanted(words: Sequence[str]) -> list[Wanted]:
    """Return the items for some words, in order and without duplicates: backbones, recipes and overrides of the recipes.

    Raises:
        Mistakes: a word is wrong or a recipe has a mistake; there is a line for each.
    """
    overrides = [word for word in words if "=" in word and not os.path.exists(word)]
    names = [word for word in words if word not in overrides]
    found: dict[object, Wanted] = {}
    mistakes: list[str] = []
    recipes = 0
    for name in names:
        try:
            if _is_recipe(name):
                recipes += 1
                found |= _of_recipe(name, overrides)
            else:
                found |= _of_backbone(name)
        except ZooError as error:
            mistakes += error.lines
    if overrides and not recipes:
        todo = "e.g. zoo fetch folder/example data.root=photos"
        mistakes += ZooError("zoo fetch", f"{overrides[0]} changes a recipe, but no recipe is given", todo).lines
    if mistakes:
        raise Mistakes(list(dict.fromkeys(mistakes)))
    return list(found.values())


def _is_recipe(name: str) -> bool:
    """Return whether a word names a recipe; a path that does not exist counts as a missing recipe."""
    from zoo.recipe.load import find_recipe

    return os.path.exists(find_recipe(Path(name))) or name.endswith((".yaml", ".yml")) or os.sep in name


def _of_recipe(name: str, overrides: Sequence[str]) -> dict[object, Wanted]:
    """Return the weights and the data of a recipe.

    Raises:
        ZooError: the recipe has a mistake, or its images are not where it says.
    """
    from zoo.recipe.load import load_recipe

    recipe = load_recipe(Path(name), overrides)
    recipe.data.check()

    def fetch() -> Fetched:
        from zoo.training.fetch import fetch_data

        return fetch_data(recipe)

    root = getattr(recipe.data, "root", "") if recipe.data.kind == "folder" else ""
    data = Wanted("data", f"{recipe.data.kind} {root}".strip(), fetch)
    return _weights(recipe.backbone) | {(recipe.data, str(recipe.image_size), recipe.train.seed): data}


def _of_backbone(name: str) -> dict[object, Wanted]:
    """Return the weights of a backbone.

    Raises:
        ZooError: there is no such backbone.
    """
    from zoo.models.names import check_backbone
    from zoo.models.options import Backbone
    from zoo.recipe.load import shipped_names

    try:
        check_backbone(name)
    except ValueError as error:
        close = nearest(name, shipped_names(), 1)
        raise ZooError("zoo fetch", f"{error}" + (f", or is it the recipe {close[0]}?" if close else "")) from None
    return _weights(Backbone(name=name))


def _weights(backbone: Backbone) -> dict[object, Wanted]:
    def fetch() -> Fetched:
        from zoo.training.fetch import fetch_weights

        return fetch_weights(backbone)

    return {(backbone.name, backbone.weights): Wanted("weights", backbone.name, fetch)}
