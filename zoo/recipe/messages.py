"""Strict sections: types, bounds and unknown keys checked, one line per mistake, at its place.

Nothing here imports torch, so that a mistake in a recipe is answered at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from zoo.errors import Mistakes, nearest
from zoo.recipe.yaml import Key, Source, describe, dotted
from zoo.section import S, Section, Shorthand, sections_of


def validate(section: type[S], source: Source) -> S:
    """Check a recipe's values against its sections.

    Raises:
        Mistakes: with a line for every mistake.
    """
    try:
        # JSON, because strict validation of Python values refuses a list for a tuple and a string for a path.
        return section.model_validate_json(json.dumps(source.tree))
    except ValidationError as error:
        details = error.errors(include_url=False)
    found: dict[Key, list[ErrorDetails]] = {}
    for detail in details:
        found.setdefault(_key_of(source.tree, detail), []).append(detail)
    raise Mistakes(in_order(source, [(key, _mistake(section, source, key, several)) for key, several in found.items()]))


def in_order(source: Source, mistakes: Sequence[tuple[Key, str]]) -> list[str]:
    """The texts of mistakes in the order of the file's lines."""

    def line(mistake: tuple[Key, str]) -> int:
        key = mistake[0]
        return next((source.line_of[key[:n]] for n in range(len(key), -1, -1) if key[:n] in source.line_of), 0)

    return [text for _, text in sorted(mistakes, key=line)]


def mistake_at(source: Source, key: Key, text: str) -> str:
    """One mistake's line, at the place where the key was written."""
    where = source.where(key)
    return f"{where}: {dotted(key)}: {text}" if where else f"{dotted(key)}: {text}"


def _mistake(section: type[Section], source: Source, key: Key, details: list[ErrorDetails]) -> str:
    """The line of one key: a value that is none of several types, or a short form of several keys, is wrong once."""
    detail = details[0]
    if detail["type"] == "extra_forbidden":
        owner = _owner(section, detail["loc"])
        close = nearest(str(key[-1]), owner.model_fields)
        if close:
            hint = f"did you mean '{dotted((*key[:-1], close[0]))}'?"
        elif key == ("backbone", "num_classes"):
            hint = "the number of classes comes from the data"
        else:
            hint = "known: " + ", ".join(owner.model_fields)
        where = source.where(key)
        return f"{where}: unknown key '{dotted(key)}' ({hint})" if where else f"{dotted(key)}: unknown key ({hint})"
    words = next((other for other in details[1:] if other["type"] == "literal_error"), None)
    if words is None:
        return mistake_at(source, key, _text(section, detail))
    known, kind = _quoted(words, "expected"), _KINDS.get(detail["type"].split("_")[0], "another value")
    if isinstance(detail["input"], str):
        return mistake_at(source, key, unknown_value(detail["input"], known, kind))
    return mistake_at(source, key, f"expected {kind}, found {describe(detail['input'])} (or write {' or '.join(known)})")


def _quoted(detail: ErrorDetails, name: str) -> list[str]:
    """The words that pydantic lists in quotes."""
    return re.findall(r"'([^']*)'", detail.get("ctx", {})[name])


def _key_of(tree: Any, detail: ErrorDetails) -> Key:
    """The place of a pydantic error in the file: its path without the tags of unions."""
    key: list[str | int] = []
    node: Any = tree
    code = detail["type"]
    last = len(detail["loc"]) - 1
    for index, part in enumerate(detail["loc"]):
        place: Any = part
        if place in node if isinstance(node, dict) else isinstance(node, list) and place in range(len(node)):
            node = node[place]
            key.append(part)
        elif index == last and code == "missing" and isinstance(part, str):
            key.append(part)
    if code == "union_tag_invalid" and isinstance(node, dict):
        key.append("kind")
    return tuple(key)


def _fields_at(section: type[Section], loc: Sequence[str | int]) -> tuple[type[Section], Any]:
    """The section that holds the last field on a path, and that field (None where it has none)."""
    owner, found = section, None
    for part in loc:
        options = sections_of(found.annotation) if found is not None else []
        for option in options:
            kinds = get_args(option.model_fields["kind"].annotation) if "kind" in option.model_fields else ()
            if part in kinds:
                owner, found = option, None
                break
            if part in option.model_fields:
                owner = option
        if isinstance(part, str) and part in owner.model_fields:
            found = owner.model_fields[part]
    return owner, found


def _owner(section: type[Section], loc: Sequence[str | int]) -> type[Section]:
    owner, found = _fields_at(section, loc[:-1])
    options = sections_of(found.annotation) if found is not None else []
    return options[0] if options else owner


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "a word",
    "path": "a path",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping",
}
_BOUNDS = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}


def _text(section: type[Section], detail: ErrorDetails) -> str:
    """Our words for a pydantic error."""
    code, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    _, found = _fields_at(section, detail["loc"])
    example = _example(found)
    if code in _BOUNDS:
        bound = next(iter(context.values()))
        return f"must be {_BOUNDS[code]} {bound:g}, found {describe(value)}{example}"
    if code == "literal_error":
        return unknown_value(value, _quoted(detail, "expected"))
    if code == "union_tag_invalid":
        return unknown_value(context["tag"], _quoted(detail, "expected_tags"))
    if code == "value_error":
        return str(context["error"])
    return _missing_text(detail, found) or f"expected {_expected(detail, found)}, found {describe(value)}{example}"


def _missing_text(detail: ErrorDetails, found: Any) -> str:
    """What is said of a key, a kind or a list's values that are missing, '' where none are."""
    code = detail["type"]
    if code == "union_tag_not_found":
        kinds = [kind for option in sections_of(found.annotation) for kind in get_args(option.model_fields["kind"].annotation)]
        return f"kind is missing (one of: {', '.join(kinds)})"
    if code == "too_long" or (code == "missing" and isinstance(detail["loc"][-1], int)):
        return f"expected {len(get_args(found.annotation))} values, found {len(detail['input'])}{_example(found)}"
    return f"missing{_example(found)}" if code == "missing" else ""


def _expected(detail: ErrorDetails, found: Any) -> str:
    """What should stand where something of another type stands."""
    if found is not None and found.annotation is Path:
        return "a path"
    kind = _KINDS.get(detail["type"].split("_")[0], "another value")
    if kind == "a mapping" and found is not None:
        return next((mark.expected for mark in found.metadata if isinstance(mark, Shorthand)), kind)
    return kind


def unknown_value(value: Any, known: Sequence[str], other: str = "") -> str:
    """The text of a word that is none of the known ones; `other` is what may stand there besides."""
    close = nearest(str(value), known, 1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"unknown {describe(value)} ({hint}known: {', '.join([*known, *([other] if other else [])])})"


def _example(found: Any) -> str:
    if found is None:
        return ""
    if not found.examples and (sections := sections_of(found.annotation)):
        return f" (e.g. {_sample(sections[0])})"
    for example in [*(found.examples or []), found.default]:
        if isinstance(example, bool):
            return f" (e.g. {str(example).lower()})"
        if isinstance(example, float):
            return f" (e.g. {example:g})"
        if isinstance(example, tuple) and example:
            return f" (e.g. [{', '.join(f'{part:g}' for part in example)}])"
        if isinstance(example, int | str) and example != "":
            return f" (e.g. {example})"
    return ""


def _sample(section: type[Section]) -> str:
    """The shortest mapping that shows how a section is written: its kind, or what it needs, or its first key."""
    fields = section.model_fields
    key = (
        "kind"
        if "kind" in fields
        else next((name for name, option in fields.items() if option.is_required()), next(iter(fields)))
    )
    example = (fields[key].examples or [fields[key].default])[0]
    return f"{{{key}: {example}}}"
