"""Make the JSON schema of recipe files, by which editors complete and check them."""

from __future__ import annotations

import json
from typing import Any

from zoo.recipe.base import DESCRIPTION
from zoo.recipe.recipe import BASE, Recipe

# Ends the names of the sections of a recipe that has a base.
PARTIAL = "OnBase"


def recipe_schema() -> str:
    """Return the JSON schema of recipe files.

    A file with a `base` may leave out what its base has. The properties are therefore those of such a file, and one without a
    base must also fit the stricter ones.
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
    """Return a schema whose required properties may be missing, also the `kind` that selects one of several sections."""
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
