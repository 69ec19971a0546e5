"""`zoo recipe`: show a recipe with every option."""

from __future__ import annotations

import argparse
from pathlib import Path

from zoo.errors import ZooError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo recipe`."""
    parser.add_argument("recipe", metavar="RECIPE", type=Path, nargs="?", help="a recipe file, or the name of a shipped one")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="options to change")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of recipes")
    parser.add_argument("--list", action="store_true", help="list the shipped recipes")


def run(options: argparse.Namespace) -> int:
    """Print a recipe, the schema, or the names of the shipped recipes.

    Raises:
        ZooError: no recipe was given, or it has mistakes.
    """
    from zoo.recipe.dump import dump_recipe
    from zoo.recipe.load import load_recipe, shipped_recipes
    from zoo.recipe.schema import recipe_schema

    if options.schema:
        print(recipe_schema(), end="")
    elif options.list:
        listed = shipped_recipes()
        width = max((len(name) for name, _ in listed), default=0)
        for name, about in listed:
            print(f"{name:<{width}}  {about}")
    elif options.recipe is None:
        raise ZooError("zoo recipe", "which recipe?", "give a recipe, --list or --schema")
    else:
        print(dump_recipe(load_recipe(options.recipe, options.overrides)), end="")
    return 0
