"""`zoo recipe`: show a recipe with every option, compare it, or save a copy to edit."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.recipe.differences import Difference
    from zoo.recipe.recipe import Recipe

# The word for `--diff` that compares with the defaults and not with another recipe.
DEFAULTS = "defaults"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo recipe`."""
    about = "a recipe file, the name of a shipped one, or a run folder"
    parser.add_argument("recipe", metavar="RECIPE", type=Path, nargs="?", help=about)
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="options to change")
    chosen = parser.add_mutually_exclusive_group()
    about = f"show what differs from another recipe or run, or from the defaults ({DEFAULTS})"
    chosen.add_argument("--diff", metavar="OTHER", type=Path, help=about)
    chosen.add_argument("--save", metavar="FILE", type=Path, help="write a short recipe file of your own to edit")
    chosen.add_argument("--schema", action="store_true", help="print the JSON schema of recipes")
    chosen.add_argument("--list", action="store_true", help="list the shipped recipes")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print a recipe, its differences, the schema or the names of the shipped recipes; or write a recipe file.

    Raises:
        ZooError: no recipe was given, it has mistakes, or the file to write exists.
    """
    if options.schema:
        from zoo.recipe.schema import recipe_schema

        print(recipe_schema(), end="")
    elif options.list:
        _list(as_json=options.json)
    elif options.recipe is None:
        raise ZooError("zoo recipe", "which recipe?", "give a recipe, --list or --schema")
    elif options.diff is not None:
        _compare(options)
    elif options.save is not None:
        _save(options)
    else:
        from zoo.recipe.dump import dump_recipe, plain_values

        recipe, _ = read(options.recipe, options.overrides)
        print(_json(plain_values(recipe)) if options.json else dump_recipe(recipe).rstrip("\n"))
    return 0


def read(path: Path, overrides: list[str]) -> tuple[Recipe, dict[str, Any]]:
    """Read a recipe file, a shipped recipe, or the recipe of a run folder.

    Returns:
        The recipe, and its plain values: those written in the file, or all values for a run folder.

    Raises:
        ZooError: the recipe cannot be read, or has mistakes.
    """
    from zoo.recipe.dump import plain_values
    from zoo.recipe.load import check_recipe, read_recipe
    from zoo.recipe.upgrade import run_of, run_recipe

    run = run_of(path)
    if run is not None:
        recipe = run_recipe(run, overrides)
        return recipe, plain_values(recipe)
    written = read_recipe(path, overrides)
    recipe = check_recipe(written, path)
    return recipe, {**written.tree, "name": recipe.name}


def _list(*, as_json: bool) -> None:
    """Print the shipped recipes, each with a short description."""
    from zoo.recipe.load import shipped_recipes

    listed = shipped_recipes()
    if as_json:
        print(_json([{"name": name, "about": about} for name, about in listed]))
        return
    width = max((len(name) for name, _ in listed), default=0)
    for name, about in listed:
        print(f"{name:<{width}}  {about}")


def _compare(options: argparse.Namespace) -> None:
    """Print the options that two recipes set differently."""
    from zoo.recipe.differences import differences, from_defaults

    recipe, _ = read(options.recipe, options.overrides)
    if str(options.diff) == DEFAULTS:
        found = [difference._replace(a=difference.b, b=difference.a) for difference in from_defaults(recipe)]
    else:
        found = differences(recipe, read(options.diff, [])[0])
    if options.json:
        print(_json([difference.record for difference in found]))
        return
    for line in table(found, " ".join([str(options.recipe), *options.overrides]), str(options.diff)):
        print(line)


def table(found: list[Difference], a: str, b: str) -> list[str]:
    """Return the lines that show differences, under the names of both recipes."""
    from zoo.system.table import Column, align

    columns = [
        Column("option", lambda difference: difference.key, left=True),
        Column(a, lambda difference: difference.texts[0], left=True),
        Column(b, lambda difference: difference.texts[1], left=True),
    ]
    return align(found, columns, gap="  ") if found else ["no difference"]


def _save(options: argparse.Namespace) -> None:
    """Write a short recipe file for the user to edit."""
    from zoo.recipe.save import check_new, save_recipe

    check_new(options.save)
    _, values = read(options.recipe, options.overrides)
    save_recipe(options.save, values, [str(options.recipe), *options.overrides])
    print(f"saved {options.save}; train it with: {shlex.join(['zoo', 'train', str(options.save)])}")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
