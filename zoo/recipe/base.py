"""Fill in the options that a recipe takes from its `base`, another recipe of which it changes some options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic.fields import FieldInfo

from zoo.recipe.recipe import Recipe
from zoo.recipe.yaml import Key, Source
from zoo.section import Section, Shorthand, sections_of

# Description of `base`, for the schema and the docs.
DESCRIPTION = "A recipe that provides the options left out here: the name of a shipped recipe, or a path relative to this file."
# Options that are not taken from the base: with the base's name, two recipes would write runs of the same name.
OWN = ("name",)


def fill(source: Source, base: Source) -> None:
    """Fill a recipe's missing values from its base, and record where each value was written.

    Mappings are filled key by key. A word, number or list replaces the base's value. A section of another `kind` replaces
    the base's section, because the base's keys belong to the other kind.

    Args:
        source: the recipe, changed in place.
        base: its base, already filled from its own base.
    """
    values = {key: value for key, value in base.tree.items() if key not in OWN}
    _fill(source, base, source.tree, values, (), [Recipe])


def _fill(
    source: Source, base: Source, own: dict[str, Any], values: Mapping[str, Any], above: Key, sections: list[type[Section]]
) -> None:
    """Fill the mapping at a key.

    Args:
        source: the recipe.
        base: its base.
        own: the recipe's mapping at the key, changed in place.
        values: the base's mapping at the key.
        above: the key.
        sections: the section classes that this mapping may belong to.
    """
    for name, value in values.items():
        key = (*above, name)
        if name not in own:
            own[name] = value
            _take_places(source, base, key)
            continue
        field = next((section.model_fields[name] for section in sections if name in section.model_fields), None)
        mine, theirs = own[name], _expanded(value, field)
        if isinstance(mine, dict) and isinstance(theirs, dict) and mine.get("kind", theirs.get("kind")) == theirs.get("kind"):
            _fill(source, base, mine, theirs, key, sections_of(field.annotation) if field else [])


def _expanded(value: Any, field: FieldInfo | None) -> Any:
    """Expand a short form such as `schedule: linear` or `image_size: 224` into its mapping; return other values as they are."""
    for mark in field.metadata if field else ():
        if isinstance(mark, Shorthand):
            value = mark.expand(value)
    return value


def _take_places(source: Source, base: Source, key: Key) -> None:
    """Record the places of a key that comes from the base, and of all keys below it."""
    # Keys expanded from a short form have no place of their own, so the place of the nearest parent is used.
    nearest = base.place(key)
    taken = {other: place for other, place in base.places.items() if other[: len(key)] == key}
    taken = ({key: nearest} if nearest else {}) | taken
    source.places |= {other: replace(place, depth=place.depth + 1) for other, place in taken.items()}
