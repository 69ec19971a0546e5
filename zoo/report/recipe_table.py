"""The options of a recipe by section, and which of them differ from their defaults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticUndefined

from zoo.recipe.recipe import Recipe
from zoo.section import Section


@dataclass(frozen=True)
class Option:
    """An option of a recipe.

    Attributes:
        key: dotted key relative to its section; empty for a top-level option, such as `name`.
        value: value as written in a recipe.
        default: default as written in a recipe; None if there is none or the value equals it.
        changed: whether the value differs from the default.
    """

    key: str
    value: str
    default: str | None
    changed: bool


def options_of(recipe: Recipe) -> dict[str, list[Option]]:
    """Return the options of each section, in the order of a recipe."""
    found: dict[str, list[Option]] = {}
    for name, field in type(recipe).model_fields.items():
        found[name] = list(_options(getattr(recipe, name), "", _default(field)))
    return found


def _default(field: Any) -> Any:
    """Return the default of a field, or pydantic's Undefined if it has none."""
    return field.get_default(call_default_factory=True)


def _options(value: Any, key: str, default: Any) -> Iterator[Option]:
    """Yield the options of a value; a section of a non-default kind is compared with the defaults of its own kind."""
    if not isinstance(value, Section):
        changed = value != default
        known = changed and default is not PydanticUndefined
        yield Option(key, text(value), text(default) if known else None, changed)
        return
    same = type(default) is type(value)
    short = value.model_dump(mode="json")
    if not isinstance(short, dict):
        # A section that is written as a single value, such as `image_size: 96`.
        changed = value != default
        other = text(default.model_dump(mode="json")) if changed and isinstance(default, Section) else None
        yield Option(key, text(short), other, changed)
        return
    fields = type(value).model_fields
    for name in sorted(fields, key=lambda name: name != "kind"):
        inner = f"{key}.{name}" if key else name
        if name == "kind":
            other = getattr(default, "kind", None)
            yield Option(inner, text(value.kind), None if same or other is None else text(other), not same)  # type: ignore[attr-defined]
            continue
        yield from _options(getattr(value, name), inner, getattr(default, name) if same else _default(fields[name]))


def text(value: Any) -> str:
    """Return a value as written in a recipe."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {text(inner)}' for key, inner in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)
