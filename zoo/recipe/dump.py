"""Write a recipe as YAML that reads back to the same values, or as one level of dotted names."""

from __future__ import annotations

from typing import Any

from zoo.recipe.yaml import write
from zoo.section import Section


def dump_recipe(section: Section) -> str:
    """Return a section as YAML that reads back to the same values."""
    return write(_kind_first(section.model_dump(mode="json")))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested options as one level of dotted names: some trackers take no other."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return found


def _kind_first(value: Any) -> Any:
    """Put `kind` first in every mapping: pydantic has inherited fields before it, a reader wants it first."""
    if not isinstance(value, dict):
        return value
    return {key: _kind_first(value[key]) for key in sorted(value, key=lambda key: key != "kind")}
