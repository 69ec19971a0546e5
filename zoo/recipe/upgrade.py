"""Load recipes of older runs with the meaning that their options had when the runs began."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from zoo.recipe.load import load_recipe
from zoo.recipe.recipe import Recipe

# Version of the options, stored in a run's environment.json; a run without one has version 1.
# 1: `optim.momentum: 0.9`, the default, meant the optimizer's own momentum or first beta.
# 2: the default is `optim.momentum: null`, and 0.9 means 0.9.
VERSION = 2
# The file of a run folder that holds its recipe, and a file that every run folder has beside it.
RECIPE = "recipe.yaml"
ENVIRONMENT = "environment.json"


def run_of(path: Path) -> Path | None:
    """Return the run folder if the path is one or is the recipe inside one; None for any other path."""
    if (path / RECIPE).is_file():
        return path
    return path.parent if path.name == RECIPE and (path.parent / ENVIRONMENT).is_file() else None


def run_recipe(run: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe stored in a run folder.

    Raises:
        ZooError: the recipe is missing or damaged.
    """
    return upgraded(load_recipe(run / RECIPE, overrides), run)


def upgraded(recipe: Recipe, run: Path) -> Recipe:
    """Return a recipe whose options mean what they meant in the version that began the run.

    Args:
        recipe: the run's own recipe, or a recipe to resume the run with.
        run: the run folder.
    """
    version = _version(run)
    if version >= VERSION or recipe.optim.momentum != 0.9:
        return recipe
    return recipe.model_copy(update={"optim": recipe.optim.model_copy(update={"momentum": None})})


def _version(run: Path) -> int:
    """Return the version of a run's options; 1 if the file is missing or damaged."""
    try:
        environment = json.loads((run / ENVIRONMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 1
    version = environment.get("recipe_version") if isinstance(environment, dict) else None
    return version if isinstance(version, int) else 1
