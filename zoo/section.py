"""The base class of recipe sections: strict types, frozen, no unknown keys. An option is one field, in the class that uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

S = TypeVar("S", bound="Section")
T = TypeVar("T")

# Value of an option that is chosen at the start of a run.
AUTO = "auto"


class Section(BaseModel):
    """One mapping of a recipe: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
    # Keys that a recipe file may have here, but that are not options: they are consumed when the file is read.
    file_keys: ClassVar[tuple[str, ...]] = ()


def decided(value: T | Literal["auto"]) -> T:
    """Return the value of an option whose type allows `auto`, in a recipe where it has been decided."""
    assert value != AUTO
    return value  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class Shorthand:
    """Annotation that lets a field accept a short form instead of the whole mapping of a section.

    Args:
        expand: expands the short form to the mapping, and returns any other value unchanged.
        schema: JSON schema of the short form; None if the only short form is a mapping without some keys.
        expected: description of the allowed values, for errors.
    """

    expand: Callable[[Any], Any]
    schema: dict[str, Any] | None = None
    expected: str = "a mapping"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        mapping = handler(schema)
        return mapping if self.schema is None else {"anyOf": [self.schema, mapping]}


def kind_or_mapping(*short: str, default: str | None = None) -> Shorthand:
    """Allow a bare word of `short` for `{kind: word}`, and give a mapping without a kind the kind `default`."""

    def expand(value: Any) -> Any:
        # Expand any word, not only those of `short`: the error for a misspelled word then lists the known kinds, and
        # the error for a kind that needs more keys names the missing key.
        if isinstance(value, str):
            return {"kind": value}
        if default is not None and isinstance(value, dict) and "kind" not in value:
            return {"kind": default, **value}
        return value

    return Shorthand(expand, {"enum": list(short)} if short else None)


def lists_sections(annotation: Any) -> bool:
    """Return whether a field of this type may hold a list of sections, whose options have no dotted names."""
    if get_origin(annotation) is tuple:
        return bool(sections_of(annotation))
    return any(lists_sections(part) for part in get_args(annotation))


def sections_of(annotation: Any) -> list[type[Section]]:
    """Return the sections that a field of this type may hold, in the order of the union."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [option for part in get_args(annotation) for option in sections_of(part)]
