"""Convert a recipe to plain values, or to YAML that reads back to the same values."""

from __future__ import annotations

from typing import Any

from zoo.recipe.yaml import write
from zoo.section import Section


def dump_recipe(section: Section) -> str:
    """Return a section as YAML that reads back to the same values."""
    return write(plain_values(section))


def plain_values(section: Section) -> dict[str, Any]:
    """Return a section as plain values, as in a recipe file, with every option filled in."""
    return _kind_first(section.model_dump(mode="json"))


def _kind_first(value: Any) -> Any:
    """Put `kind` first in every mapping, for readability; pydantic puts inherited fields before it."""
    if not isinstance(value, dict):
        return value
    return {key: _kind_first(value[key]) for key in sorted(value, key=lambda key: key != "kind")}
