"""Write a recipe of one's own: a short file to edit, that stands alone."""

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
    """Check that a file can be made: an existing one is never replaced.

    Raises:
        ZooError: there is something at the path, or no folder to put it in.
    """
    if os.path.lexists(path):
        raise ZooError(WHERE, f"{path} exists", "choose another name, or remove it")
    if not os.path.isdir(path.parent):
        raise ZooError(WHERE, f"no such folder: {path.parent}", "make it first")


def save_recipe(path: Path, values: Mapping[str, Any], origin: Sequence[str]) -> None:
    """Write a recipe file that loads to the same recipe, but for a `name` that the options do not set: the file gives its own.

    Args:
        path: the file.
        values: the plain values that were written for it, or all of them.
        origin: the recipe that it was made of, and the options that were changed.

    Raises:
        ZooError: there is something at the path, or it cannot be written.
    """
    check_new(path)
    try:
        write_file(path, recipe_text(path, values, origin))
    except OSError as error:
        raise ZooError(WHERE, f"{path} cannot be written: {error.strerror}", "choose another place") from None


def recipe_text(path: Path, values: Mapping[str, Any], origin: Sequence[str]) -> str:
    """Return the text of the file that `save_recipe` writes.

    Runs are put in a folder by the name of their recipe: those of the new one must not pass for those of the old one.
    """
    source, *changed = map(_comment, origin)
    made_of = source + (f" with {' '.join(changed)}" if changed else "")
    lines = [
        # As an address: editors look for a plain path beside the recipe.
        f"# yaml-language-server: $schema={(shipped_root() / 'schema.json').resolve().as_uri()}",
        f"# Made of {made_of}.",
        f"# `zoo recipe {_comment(shlex.quote(str(path)))}` shows every option; those not set here have their defaults.",
    ]
    named = any(word.partition("=")[0].strip() == "name" for word in origin[1:])
    lines += [_section(key, values[key]) for key in Recipe.model_fields if key in values and (named or key != "name")]
    return "\n".join(lines) + "\n"


def _section(name: str, value: Any) -> str:
    """Return a section as the shipped recipes have it: in one line, if that is not too long."""
    line = write_value({name: value})[1:-1]
    return line if len(line) <= LINE_WIDTH else write({name: value}).rstrip("\n")


def _comment(text: str) -> str:
    """Return a text that cannot end the comment it is put in."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
