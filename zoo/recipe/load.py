"""Read a recipe from a file, find the shipped ones, make the schema."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import Mistakes
from zoo.recipe import messages, yaml
from zoo.recipe.recipe import Recipe, rules
from zoo.recipe.sections import image_size_mapping


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check all of it.

    Raises:
        ZooError: if the file cannot be read.
        Mistakes: with a line for every mistake in it.
    """
    written = yaml.read(find_recipe(path))
    if any(override.startswith("image_size.") for override in overrides) and "image_size" in written.tree:
        written.tree["image_size"] = image_size_mapping(written.tree["image_size"])
    yaml.apply_overrides(written, overrides)
    recipe = messages.validate(Recipe, written)
    mistakes = messages.in_order(written, [(key, messages.mistake_at(written, key, text)) for key, text in rules(recipe)])
    if mistakes:
        raise Mistakes(mistakes)
    return recipe if recipe.name else recipe.model_copy(update={"name": path.stem})


def find_recipe(path: Path) -> Path:
    """Return the file itself, or the shipped recipe of that name."""
    if os.path.exists(path) or path.is_absolute():
        return path
    for candidate in (shipped_root() / path, shipped_root() / f"{path}.yaml"):
        if candidate.is_file():
            return candidate
    return path


def shipped_root() -> Path:
    """Return the folder of the shipped recipes: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "shipped"
    return inside if inside.is_dir() else Path(__file__).parent.parent.parent / "recipes"


def shipped_recipes() -> list[tuple[str, str]]:
    """Return the shipped recipes, each with its name and its first comment line, which says what it is for."""
    root = shipped_root()
    found = []
    for path in sorted(root.rglob("*.yaml")):
        comments = [line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        about = next((line for line in comments if line and not line.startswith("yaml-language-server")), "")
        found.append((path.relative_to(root).with_suffix("").as_posix(), about))
    return found


def recipe_schema() -> str:
    """Return the JSON schema of recipes, for editors."""
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"
