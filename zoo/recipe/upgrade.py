"""Give recipes of older runs the meaning they had when the runs began."""

from __future__ import annotations

import json
from pathlib import Path

from zoo.recipe.recipe import Recipe

# Version of the options, kept in a run's environment.json; runs without one are of version 1.
# 1: `optim.momentum: 0.9`, the default, stood for the optimizer's own momentum or first beta.
# 2: that is `optim.momentum: null`, and 0.9 is 0.9.
VERSION = 2


def upgraded(recipe: Recipe, run: Path) -> Recipe:
    """Return a recipe with its options as the version of a run meant them.

    Args:
        recipe: the run's own, or one to resume the run with.
        run: the run folder.
    """
    try:
        version = json.loads((run / "environment.json").read_text(encoding="utf-8")).get("recipe_version", 1)
    except (OSError, ValueError):
        version = 1
    if version >= VERSION or recipe.optim.momentum != 0.9:
        return recipe
    return recipe.model_copy(update={"optim": recipe.optim.model_copy(update={"momentum": None})})
