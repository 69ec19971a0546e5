"""Find the recipe, the images and the backbones that the command line of `zoo scout` names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.errors import Mistakes, ZooError
from zoo.models import catalog
from zoo.models.catalog import Query
from zoo.recipe.load import find_recipe, load_recipe
from zoo.recipe.recipe import Recipe
from zoo.system.files import expanded
from zoo.training.auto import decide

# The shipped recipe for a folder of images, used for the predicted fine-tune and for the proposed sweep.
DEFAULT_RECIPE = "folder/example"
# The shipped recipe for each named data set, by `data.kind`.
RECIPES = {
    "cifar10": "cifar10/efficientnet_lite0",
    "cifar100": "cifar10/efficientnet_lite0",
    "fashion_mnist": "cifar10/efficientnet_lite0",
    "digits": "quickstart",
    "synthetic": "quickstart",
}
# Named data sets that their recipe in RECIPES already uses, so that `data` need not be set.
OWN_RECIPE = ("cifar10", "digits")


@dataclass(frozen=True)
class Subject:
    """The recipe and the images with which backbones are compared.

    Attributes:
        recipe: recipe of the fine-tune; its backbone is replaced.
        data: displayed name of the images.
        words: arguments of `zoo sweep` for the same fine-tune: the recipe, followed by the options that are changed.
    """

    recipe: Recipe
    data: str
    words: tuple[str, ...]


def find_subject(word: str, overrides: Sequence[str]) -> Subject:
    """Return the subject for a folder of images, a run folder, the name of a data set, or a recipe.

    Args:
        word: the argument DATA or RECIPE.
        overrides: options of the recipe to change.

    Raises:
        ZooError: the word names none of these, or the images cannot be at the place that the options give.
        Mistakes: one line for every mistake in the recipe.
    """
    path = expanded(word)
    if path.is_dir() and (path / "recipe.yaml").is_file():  # a run
        return _subject(str(path / "recipe.yaml"), overrides, None)
    if path.is_dir():
        return _subject(DEFAULT_RECIPE, [f"data.root={_yaml(word)}", *overrides], word)
    if word in RECIPES:
        own = [] if word in OWN_RECIPE else [f"data={word}"]
        return _subject(RECIPES[word], [*own, *overrides], word)
    if not find_recipe(Path(word)).exists():
        todo = f"give a folder of images, a recipe ('zoo recipe --list' shows the shipped ones), or {', '.join(RECIPES)}"
        raise ZooError("DATA", f"no folder, recipe or data set: {word}", todo)
    return _subject(word, overrides, None)


def _subject(recipe: str, overrides: Sequence[str], data: str | None) -> Subject:
    found = load_recipe(Path(recipe), overrides)
    found.data.check()
    name = data or str(getattr(found.data, "root", found.data.kind) if found.data.kind == "folder" else found.data.kind)
    # Decide `auto` options now, so that all backbones are compared with the same image size.
    return Subject(decide(found).recipe, name, (recipe, *overrides))


def _yaml(text: str) -> str:
    """Return a path as a YAML value, quoted if YAML could read it as something else."""
    plain = (all(letter.isalnum() or letter in "/._-" for letter in text) and text[0] in "/._") or text.isalpha()
    return text if plain else "'" + text.replace("'", "''") + "'"


def find_backbones(words: Sequence[str], query: Query) -> tuple[list[str], list[str]]:
    """Return the backbones to measure, and the names that timm does not have.

    Args:
        words: names and patterns, in which * and ? are wildcards. A bare architecture means its default tag.
        query: filters that known backbones must pass; its patterns are replaced.

    Raises:
        ZooError: there are neither words nor filters, a filter has a wrong value, or no backbone passes.
        Mistakes: a pattern matches nothing, or no name is known.
    """
    if not words and not (query.cached or query.pretrained or query.max_params or query.max_gmacs or query.license):
        raise ZooError("MODEL", "which backbones?", "give names, a pattern such as 'resnet*', or a filter such as --cached")
    asked: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for word in words:
        entry = catalog.named(word)
        if entry is not None:
            asked[entry.name] = None
        elif any(mark in word for mark in "*?["):
            asked |= dict.fromkeys(entry.name for entry in catalog.matching([word], "MODEL"))
        else:
            unknown[word] = None
    if unknown and not asked:
        raise Mistakes([catalog.unmatched(word, "MODEL") for word in unknown])
    fitting = [entry.name for entry in catalog.choose(replace(query, patterns=tuple(asked)))]
    if not fitting:
        raise ZooError("MODEL", "no backbone passes the filters", "run 'zoo list' with the same filters")
    order = {name: place for place, name in enumerate(asked or fitting)}
    return sorted(fitting, key=lambda name: order[name]), list(unknown)


def smallest(names: Sequence[str]) -> str:
    """Return the first backbone with the fewest parameters; if no number is known, the first name."""
    costs = {name: entry.params for name in names if (entry := catalog.named(name)) is not None and entry.params}
    return min(costs, key=lambda name: costs[name]) if costs else names[0]
