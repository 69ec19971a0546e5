"""Save a recipe as a short, self-contained file to edit."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.recipe.load import shipped_root
from zoo.recipe.recipe import Recipe
from zoo.recipe.yaml import LINE_WIDTH, write, write_value
from zoo.system.files import write_file

# The flag that errors name.
WHERE = "--save"


def check_new(path: Path) -> None:
    """Check that a file can be created; an existing file is never replaced.

    Raises:
        ZooError: the path exists, or its folder does not.
    """
    if os.path.lexists(path):
        raise ZooError(WHERE, f"{path} exists", "choose another name, or remove it")
    if not os.path.isdir(path.parent):
        raise ZooError(WHERE, f"no such folder: {path.parent}", "make it first")


def save_recipe(path: Path, values: Mapping[str, Any], origin: Sequence[str]) -> None:
    """Write a recipe file that loads to the same recipe, except that `name` comes from the new file unless an option sets it.

    Args:
        path: the file.
        values: plain values of the recipe: only those that were set, or all of them.
        origin: the recipe that it was made from, followed by the options that were changed.

    Raises:
        ZooError: the path exists, its folder does not, or the file cannot be written.
    """
    check_new(path)
    try:
        write_file(path, recipe_text(path, values, origin))
    except OSError as error:
        raise ZooError(WHERE, f"{path} cannot be written: {error.strerror}", "choose another place") from None


def recipe_text(path: Path, values: Mapping[str, Any], origin: Sequence[str]) -> str:
    """Return the text of the file that `save_recipe` writes.

    The old name is left out: run folders are named after their recipe, and new runs must not be mistaken for old ones.
    """
    source, *changed = map(_comment, origin)
    made_of = source + (f" with {' '.join(changed)}" if changed else "")
    lines = [
        # As a URI, because editors take a plain path as relative to the recipe.
        f"# yaml-language-server: $schema={(shipped_root() / 'schema.json').resolve().as_uri()}",
        f"# Made of {made_of}.",
        f"# `zoo recipe {_comment(shlex.quote(str(path)))}` shows every option; those not set here have their defaults.",
    ]
    named = any(word.partition("=")[0].strip() == "name" for word in origin[1:])
    lines += [_section(key, values[key]) for key in Recipe.model_fields if key in values and (named or key != "name")]
    return "\n".join(lines) + "\n"


def _section(name: str, value: Any) -> str:
    """Return a section as YAML in the style of the shipped recipes: on one line if it fits."""
    line = write_value({name: value})[1:-1]
    return line if len(line) <= LINE_WIDTH else write({name: value}).rstrip("\n")


def _comment(text: str) -> str:
    """Replace unprintable characters, so that the text cannot end the comment that contains it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
