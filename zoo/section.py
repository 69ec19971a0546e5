"""The base of every option: strict, frozen, no unknown keys. An option is one field, in the class that acts on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

S = TypeVar("S", bound="Section")
T = TypeVar("T")

# What an option says that is chosen at the start of a run.
AUTO = "auto"


class Section(BaseModel):
    """One mapping of a recipe: strict types, no unknown keys, never changed after it was read."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
    # Keys that a file may have here and that are no options: they are used up when it is read.
    file_keys: ClassVar[tuple[str, ...]] = ()


def decided(value: T | Literal["auto"]) -> T:
    """Return the value of an option that may be `auto`, in a recipe where it was chosen."""
    assert value != AUTO
    return value  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class Shorthand:
    """Annotation of a union of sections: what may be written instead of the whole mapping.

    Args:
        expand: turns the short form into the mapping, and returns any other value as it is.
        schema: JSON schema of the short form, None where only a key may be left out.
        expected: how an error describes what may be written.
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
    """Let a bare word of `short` stand for `{kind: word}`, and a mapping without a kind be of the kind `default`."""

    def expand(value: Any) -> Any:
        # Any word, not only those of `short`: for a misspelt one the error then lists the known kinds, and for a
        # kind that needs more keys it names the missing key.
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
