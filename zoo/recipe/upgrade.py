"""Give recipes of older runs the meaning they had when the runs began."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from zoo.recipe.load import load_recipe
from zoo.recipe.recipe import Recipe

# Version of the options, kept in a run's environment.json; runs without one are of version 1.
# 1: `optim.momentum: 0.9`, the default, stood for the optimizer's own momentum or first beta.
# 2: that is `optim.momentum: null`, and 0.9 is 0.9.
VERSION = 2
# The file of a run folder that holds its recipe, and the one that is beside it in every run.
RECIPE = "recipe.yaml"
ENVIRONMENT = "environment.json"


def run_of(path: Path) -> Path | None:
    """Return the run folder that a path names, itself or by its recipe; None for any other path."""
    if (path / RECIPE).is_file():
        return path
    return path.parent if path.name == RECIPE and (path.parent / ENVIRONMENT).is_file() else None


def run_recipe(run: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe that a run folder keeps.

    Raises:
        ZooError: it is missing or damaged.
    """
    return upgraded(load_recipe(run / RECIPE, overrides), run)


def upgraded(recipe: Recipe, run: Path) -> Recipe:
    """Return a recipe with its options as the version of a run meant them.

    Args:
        recipe: the run's own, or one to resume the run with.
        run: the run folder.
    """
    version = _version(run)
    if version >= VERSION or recipe.optim.momentum != 0.9:
        return recipe
    return recipe.model_copy(update={"optim": recipe.optim.model_copy(update={"momentum": None})})


def _version(run: Path) -> int:
    """Return the version of a run's options; that of a damaged file is 1."""
    try:
        environment = json.loads((run / ENVIRONMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 1
    version = environment.get("recipe_version") if isinstance(environment, dict) else None
    return version if isinstance(version, int) else 1
