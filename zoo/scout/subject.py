"""Find out what the words of `zoo scout` mean: the recipe, the images, the backbones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.errors import Mistakes, ZooError
from zoo.models import catalog
from zoo.models.catalog import Query
from zoo.recipe.load import find_recipe, load_recipe
from zoo.recipe.recipe import Recipe
from zoo.training.auto import decide

# The shipped recipe whose fine-tune is predicted, and which the sweep starts from, where only images are given.
DEFAULT_RECIPE = "folder/example"
# That of data sets which have a name, by `data.kind`.
RECIPES = {
    "cifar10": "cifar10/efficientnet_lite0",
    "cifar100": "cifar10/efficientnet_lite0",
    "fashion_mnist": "cifar10/efficientnet_lite0",
    "digits": "quickstart",
    "synthetic": "quickstart",
}
# Those that their recipe names itself.
OWN_RECIPE = ("cifar10", "digits")


@dataclass(frozen=True)
class Subject:
    """The ground on which backbones are compared.

    Attributes:
        recipe: of the fine-tune; its backbone is replaced.
        data: a name of the images, for people.
        words: what stands after `zoo sweep` to fine-tune the same: the recipe, then the options that are changed.
    """

    recipe: Recipe
    data: str
    words: tuple[str, ...]


def find_subject(word: str, overrides: Sequence[str]) -> Subject:
    """Return what a folder of images, a data set's name or a recipe stands for.

    Args:
        word: DATA or RECIPE.
        overrides: options of the recipe to change.

    Raises:
        ZooError: there is no such thing.
        Mistakes: with a line for every mistake in the recipe.
    """
    path = Path(word).expanduser()
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
    # One size for all backbones, so that they are compared on the same images.
    return Subject(decide(found).recipe, name, (recipe, *overrides))


def _yaml(text: str) -> str:
    """Return a path as a YAML value: one that could mean something else is quoted."""
    plain = (all(letter.isalnum() or letter in "/._-" for letter in text) and text[0] in "/._") or text.isalpha()
    return text if plain else "'" + text.replace("'", "''") + "'"


def find_backbones(words: Sequence[str], query: Query) -> tuple[list[str], list[str]]:
    """Return the backbones to measure, and the names that timm does not have.

    Args:
        words: names and patterns, in which * and ? are wildcards. A bare architecture stands for its default tag.
        query: filters that known backbones must pass; its patterns are replaced.

    Raises:
        ZooError: a filter has a wrong value, or nothing is left.
        Mistakes: a pattern fits nothing, or no name is known.
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
        raise ZooError("MODEL", "no backbone passes the filters", "ask 'zoo list' with the same ones")
    order = {name: place for place, name in enumerate(asked or fitting)}
    return sorted(fitting, key=lambda name: order[name]), list(unknown)


def smallest(names: Sequence[str]) -> str:
    """Return the backbone with the fewest parameters, of those whose number is known the first."""
    costs = {name: entry.params for name in names if (entry := catalog.named(name)) is not None and entry.params}
    return min(costs, key=lambda name: costs[name]) if costs else names[0]
