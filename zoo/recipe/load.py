"""Read a recipe from a file, together with its bases, and find the shipped recipes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import Mistakes, ZooError, nearest
from zoo.recipe import messages, yaml
from zoo.recipe.base import fill
from zoo.recipe.distill import distill_mapping
from zoo.recipe.recipe import BASE, Recipe, rules
from zoo.recipe.sections import image_size_mapping
from zoo.recipe.yaml import Source
from zoo.system.files import printable

# Sections whose short form is not a kind, each with the function that expands it, so that an override can set one option of it.
SHORT_FORMS = {"image_size": image_size_mapping, "distill": distill_mapping}


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check all of it.

    Raises:
        ZooError: the file, or one of its bases, cannot be read.
        Mistakes: one line for every mistake.
    """
    return check_recipe(read_recipe(path, overrides), path)


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Source:
    """Read a recipe's plain values, fill in those of its base, and apply the overrides.

    Raises:
        ZooError: the file or one of its bases cannot be read, or an override is malformed.
        Mistakes: a base cannot be found, or the bases form a circle.
    """
    file = find_recipe(path)
    close = [] if os.path.lexists(file) else nearest(str(path).removesuffix(".yaml"), shipped_names(), 1)
    if close:
        todo = f"did you mean '{close[0]}'? 'zoo recipe --list' shows the shipped ones"
        raise ZooError(str(path), "no such recipe", todo)
    written = _read_with_base(file, ())
    yaml.apply_overrides(written, overrides, SHORT_FORMS)
    return written


def check_recipe(written: Source, path: Path) -> Recipe:
    """Check a recipe's plain values; a recipe without a name gets the name of its file.

    Raises:
        Mistakes: one line for every mistake.
        ZooError: the name of the file is needed, but is not text.
    """
    recipe = messages.validate(Recipe, written)
    mistakes = messages.in_order(written, [(key, messages.mistake_at(written, key, text)) for key, text in rules(recipe)])
    if mistakes:
        raise Mistakes(mistakes)
    if recipe.name:
        return recipe
    if printable(path.stem) != path.stem:
        raise ZooError(printable(str(path)), "its name is not UTF-8 text", "rename it, or add name=NAME")
    return recipe.model_copy(update={"name": path.stem})


def _read_with_base(path: Path, above: tuple[Path, ...]) -> Source:
    """Read a recipe file, and fill in the values of its base.

    Args:
        path: the file.
        above: the files that have it as their base, directly or through other bases.
    """
    source = yaml.read(path)
    if BASE in source.tree:
        base = _find_base(source, path)
        chain = (*above, path)
        if any(base.resolve() == other.resolve() for other in chain):
            circle = " -> ".join(str(file) for file in (*chain, base))
            raise Mistakes([messages.mistake_at(source, (BASE,), f"the bases form a cycle: {circle} (remove one)")])
        del source.tree[BASE]
        fill(source, _read_with_base(base, chain))
    return source


def _find_base(source: Source, path: Path) -> Path:
    """Return the file that a recipe names as its base: a shipped recipe, or a path relative to the folder of the recipe.

    Raises:
        Mistakes: there is no such recipe; the line suggests similar names.
    """
    name = source.tree[BASE]
    if not isinstance(name, str) or not name or "\0" in name:
        text = f"expected the name or path of a recipe, found {yaml.describe(name)} (e.g. cifar10/resnet18)"
        raise Mistakes([messages.mistake_at(source, (BASE,), text)])
    shipped = name.removesuffix(".yaml")
    if shipped in shipped_names():
        return shipped_root() / f"{shipped}.yaml"
    file = Path(os.path.normpath(path.parent / os.path.expanduser(name)))
    if os.path.isfile(file):
        return file
    files = sorted(file.parent.glob("*.yaml")) if os.path.isdir(file.parent) else []
    beside = [os.path.relpath(other, path.parent) for other in files if other != path]
    close = nearest(name, [*beside, *shipped_names()])
    hint = f"did you mean {' or '.join(repr(other) for other in close)}? " if close else ""
    text = f"no recipe {yaml.describe(name)} ({hint}give a name from 'zoo recipe --list', or a path relative to this file)"
    raise Mistakes([messages.mistake_at(source, (BASE,), text)])


def find_recipe(path: Path) -> Path:
    """Return the path itself if it exists, else the shipped recipe of that name, else the path unchanged."""
    if os.path.exists(path) or path.is_absolute():
        return path
    for candidate in (shipped_root() / path, shipped_root() / f"{path}.yaml"):
        if os.path.isfile(candidate):  # Path.is_file raises for a name that is too long
            return candidate
    return path


def shipped_root() -> Path:
    """Return the folder of the shipped recipes: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "shipped"
    return inside if inside.is_dir() else Path(__file__).parent.parent.parent / "recipes"


def shipped_names() -> list[str]:
    """Return the names of the shipped recipes, sorted."""
    return [path.relative_to(shipped_root()).with_suffix("").as_posix() for path in sorted(shipped_root().rglob("*.yaml"))]


def shipped_recipes() -> list[tuple[str, str]]:
    """Return the name and the first comment line of each shipped recipe; the comment says what the recipe is for."""
    found = []
    for name in shipped_names():
        text = (shipped_root() / f"{name}.yaml").read_text(encoding="utf-8")
        comments = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
        about = next((line for line in comments if line and not line.startswith("yaml-language-server")), "")
        found.append((name, about))
    return found
