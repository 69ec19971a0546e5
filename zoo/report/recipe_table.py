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
        key: dotted below its section; empty for an option that is a section by itself, such as `name`.
        value: as it is written in a recipe.
        default: the same of its default; None where it has none, or the value is the default.
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
    """Return the default of a field; pydantic's Undefined where it has none."""
    return field.get_default(call_default_factory=True)


def _options(value: Any, key: str, default: Any) -> Iterator[Option]:
    """Yield a value's options; those of a section of another kind than the default's differ from that kind's own."""
    if not isinstance(value, Section):
        changed = value != default
        known = changed and default is not PydanticUndefined
        yield Option(key, text(value), text(default) if known else None, changed)
        return
    same = type(default) is type(value)
    short = value.model_dump(mode="json")
    if not isinstance(short, dict):
        # A section that is written as one value, as `image_size: 96` is.
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
    """Return a value as it is written in a recipe."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {text(inner)}' for key, inner in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)
