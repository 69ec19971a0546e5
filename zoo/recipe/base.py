"""Fill a recipe with what its `base` has: another recipe, of which it changes some options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic.fields import FieldInfo

from zoo.recipe.recipe import Recipe
from zoo.recipe.yaml import Key, Source
from zoo.section import Section, Shorthand, sections_of

# What `base` means, for the schema and the docs.
DESCRIPTION = (
    "Another recipe that has the options which this one leaves out: the name of a shipped recipe, or a path from the folder of "
    "this file."
)
# The options that a recipe does not take from its base: two recipes would write runs of one name.
OWN = ("name",)


def fill(source: Source, base: Source) -> None:
    """Fill a recipe's values with those of its base, and note where each was written.

    Mappings are filled key by key. A word, a number or a list takes the place of what the base has; so does a section of
    another `kind`, as the base's keys belong to the other kind.

    Args:
        source: the recipe, which is changed.
        base: its base, filled itself.
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
        own: what the recipe has at the key; is changed.
        values: what the base has there.
        above: the key.
        sections: the sections that it may be.
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
    """Return the mapping that a short form such as `schedule: linear` or `image_size: 224` stands for."""
    for mark in field.metadata if field else ():
        if isinstance(mark, Shorthand):
            value = mark.expand(value)
    return value


def _take_places(source: Source, base: Source, key: Key) -> None:
    """Note the places of a key that comes from the base, and of all below it."""
    # The keys of a short form have none of their own.
    nearest = base.place(key)
    taken = {other: place for other, place in base.places.items() if other[: len(key)] == key}
    taken = ({key: nearest} if nearest else {}) | taken
    source.places |= {other: replace(place, depth=place.depth + 1) for other, place in taken.items()}
