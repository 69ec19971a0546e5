"""Make the JSON schema of recipe files, which editors use for completion and checks."""

from __future__ import annotations

import json
from typing import Any

from zoo.recipe.base import DESCRIPTION
from zoo.recipe.recipe import BASE, Recipe

# Suffix of the names of section schemas for a recipe that has a base.
PARTIAL = "OnBase"


def recipe_schema() -> str:
    """Return the JSON schema of recipe files.

    A file with a `base` may leave out any option that its base has. The main properties therefore have nothing required, and
    a file without a base must also match the strict ones.
    """
    whole = Recipe.model_json_schema()
    sections, properties, required = whole.pop("$defs"), whole.pop("properties"), whole.pop("required")
    base = {"type": "string", "examples": ["cifar10/resnet18"], "description": DESCRIPTION}
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **whole,
        "properties": {BASE: base, **_partial(properties)},
        "if": {"not": {"required": [BASE]}},
        "then": {"properties": properties, "required": required},
        "$defs": sections | {f"{name}{PARTIAL}": _partial(section) for name, section in sections.items()},
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def _partial(schema: Any) -> Any:
    """Return a schema in which nothing is required, not even the `kind` that selects one of several sections."""
    if isinstance(schema, list):
        return [_partial(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _partial(part) for key, part in schema.items() if key not in ("discriminator", "required")}
    if "oneOf" in changed:
        changed["anyOf"] = changed.pop("oneOf")
    if "$ref" in changed:
        changed["$ref"] += PARTIAL
    return changed
