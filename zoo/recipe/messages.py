"""Check a recipe against its sections, and report each mistake in one line, with its place, in our own words.

pydantic reports a mistake as an error type (`float_type`), a path (`loc`) and the value that it found. Everything else in
our lines (the known words, an example, the nearest key) comes from the fields of the sections, never from pydantic's text.

The path is not always a key of the file: in a union, pydantic adds the name of the member that it tried. For the file

    augment: {crop: {kind: pad_shift, pat: 1}}
    train: {accumulate: x}

it reports `("augment", "crop", "pad_shift", "pat")`, where "pad_shift" is not a key of the file, and two errors for one
value, `("train", "accumulate", "int")` and `("train", "accumulate", "literal['auto']")`. `_key_of` finds the keys, here
`augment.crop.pat` and `train.accumulate`. `_field_at` finds the section and the field that a path leads to.

Nothing here imports torch, so that a mistake in a recipe is reported at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from zoo.errors import Mistakes, nearest
from zoo.recipe.yaml import Key, Place, Source, describe, dotted
from zoo.section import S, Section, Shorthand, sections_of

# The first word of a pydantic error type such as `int_type` or `finite_number`, and our name for the expected value.
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "a word",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping",
}
# pydantic error types for bounds, with our signs. The error's context holds only the bound; its key differs by type.
BOUNDS = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}


def validate(section: type[S], source: Source) -> S:
    """Check a recipe's values against its sections.

    Raises:
        Mistakes: one line for every mistake.
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
    """Return the texts of mistakes in the order of the file's lines, followed by the mistakes in its base."""
    nowhere = Place(0, 0, "")
    return [text for _, text in sorted(mistakes, key=lambda mistake: source.place(mistake[0]) or nowhere)]


def mistake_at(source: Source, key: Key, text: str) -> str:
    """Return the line for one mistake; it starts with the place where the key was written."""
    where = source.where(key)
    return f"{where}: {dotted(key)}: {text}" if where else f"{dotted(key)}: {text}"


def unknown_value(value: Any, known: Sequence[str], other: str = "") -> str:
    """Return the text for a value that is not one of the known words.

    Args:
        value: the value that was found.
        known: the allowed words.
        other: another allowed type of value, such as "a whole number".
    """
    close = nearest(str(value), known, 1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"unknown {describe(value)} ({hint}known: {', '.join([*known, *([other] if other else [])])})"


# ------------------------------------------------------------------ from pydantic's path to a key and a field


def _key_of(tree: Any, detail: ErrorDetails) -> Key:
    """Return the key in the file that an error is about: pydantic's path without the members of unions.

    The path is followed through the file's values, and parts that do not exist there are left out:
    `("augment", "crop", "pad_shift", "pat")` becomes `("augment", "crop", "pat")`. There are two special cases. The name of a
    missing key ends the path and is kept. An unknown `kind` is reported by pydantic at its section, so `kind` is added.
    """
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


def _field_at(section: type[Section], loc: Sequence[str | int]) -> tuple[type[Section], FieldInfo | None]:
    """Return the section that holds the last field on pydantic's path, and that field (None if no field is named).

    For `("augment", "crop", "pad_shift", "pat")`: "augment" is a field of Recipe whose section is Augment; "crop" is a field
    of Augment that may hold one of several sections; "pad_shift" is the kind of one of them, PadShift; "pat" is not a field
    of PadShift. The result is (PadShift, None): the section was found, but no field in it.
    A part such as "int" or "literal['auto']" is neither a kind nor a field, and is skipped.
    """
    owner: type[Section] = section
    found: FieldInfo | None = None
    for part in loc:
        for option in _sections_in(found):
            if part in _kinds(option):
                owner, found = option, None
                break
            if part in option.model_fields:
                owner = option
        if isinstance(part, str) and part in owner.model_fields:
            found = owner.model_fields[part]
    return owner, found


def _owner(section: type[Section], loc: Sequence[str | int]) -> type[Section]:
    """Return the section in which the last key of a path was looked up.

    For `("train", "epoch")` it is Train, the section of the field before the key; for `("trian",)` it is Recipe.
    """
    owner, found = _field_at(section, loc[:-1])
    return next(iter(_sections_in(found)), owner)


def _sections_in(field: FieldInfo | None) -> list[type[Section]]:
    """Return the sections that a field may hold."""
    return [] if field is None else sections_of(field.annotation)


def _kinds(section: type[Section]) -> tuple[str, ...]:
    """Return the words that select a section in a union; empty for a section without a `kind`."""
    return get_args(section.model_fields["kind"].annotation) if "kind" in section.model_fields else ()


def _words(annotation: Any) -> list[str]:
    """Return the words that a field's type allows: `["auto"]` for `int | Literal["auto"]`."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for part in get_args(annotation) for word in _words(part)]


# --------------------------------------------------------------------------------- the words of a mistake


def _mistake(section: type[Section], source: Source, key: Key, details: list[ErrorDetails]) -> str:
    """Return one line for all errors about a key.

    A value that fits no member of a union has one error per member. `train.accumulate: x` has an `int_type` and a
    `literal_error` error; the line says "unknown 'x' (known: auto, a whole number)".
    """
    detail = details[0]
    if detail["type"] == "extra_forbidden":
        return _unknown_key(_owner(section, detail["loc"]), source, key)
    literal = next((other for other in details[1:] if other["type"] == "literal_error"), None)
    if literal is None:
        return mistake_at(source, key, _text(section, detail))
    _, found = _field_at(section, literal["loc"])
    known, kind = _words(found.annotation) if found else [], _kind_of(detail)
    if detail["type"] in BOUNDS:
        return mistake_at(source, key, f"{_bound(detail)} (or write {' or '.join(known)})")
    if isinstance(detail["input"], str):
        return mistake_at(source, key, unknown_value(detail["input"], known, kind))
    return mistake_at(source, key, f"expected {kind}, found {describe(detail['input'])} (or write {' or '.join(known)})")


def _unknown_key(owner: type[Section], source: Source, key: Key) -> str:
    """Return the line for a key that a section does not have, with the nearest known key as a hint."""
    close = nearest(str(key[-1]), [*owner.model_fields, *owner.file_keys])
    if key[-1] in owner.file_keys:
        hint = "it is allowed only in a recipe file"
    elif close:
        hint = f"did you mean '{dotted((*key[:-1], close[0]))}'?"
    elif key == ("backbone", "num_classes"):
        hint = "the number of classes comes from the data"
    else:
        hint = "known: " + ", ".join(owner.model_fields)
    where = source.where(key)
    return f"{where}: unknown key '{dotted(key)}' ({hint})" if where else f"{dotted(key)}: unknown key ({hint})"


def _text(section: type[Section], detail: ErrorDetails) -> str:
    """Return our text for a single pydantic error.

    `optim: {lr: fast}` gives a `float_type` error at `("optim", "lr")` with the input 'fast'. The field is Optim.lr, and its
    default serves as the example: "expected a number, found 'fast' (e.g. 0.0003)".
    """
    code, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    _, found = _field_at(section, detail["loc"])
    if code == "value_error":  # raised by a validator of ours, in our words
        return str(context["error"])
    if code == "literal_error" and found is not None:
        return unknown_value(value, _words(found.annotation))
    if code == "union_tag_invalid":
        return unknown_value(context["tag"], _known_kinds(found))
    if code in BOUNDS:
        return f"{_bound(detail)}{_example(found)}"
    if code == "union_tag_not_found":
        return f"kind is missing (one of: {', '.join(_known_kinds(found))})"
    if code == "too_long" or (code == "missing" and isinstance(detail["loc"][-1], int)):
        wanted = len(get_args(found.annotation)) if found is not None else 0
        return f"expected {wanted} values, found {len(value)}{_example(found)}"
    if code == "missing":
        return f"missing{_example(found)}"
    return f"expected {_expected(detail, found)}, found {describe(value)}{_example(found)}"


def _bound(detail: ErrorDetails) -> str:
    """Return the text for a number outside its bound: "must be > 0, found -1"."""
    bound = next(iter(detail.get("ctx", {}).values()))
    return f"must be {BOUNDS[detail['type']]} {bound:g}, found {describe(detail['input'])}"


def _known_kinds(field: FieldInfo | None) -> list[str]:
    """Return the kinds of the sections that a field may hold."""
    return [kind for option in _sections_in(field) for kind in _kinds(option)]


def _kind_of(detail: ErrorDetails) -> str:
    """Return the kind of value that pydantic expected: "a whole number" for `int_type`."""
    return KINDS.get(detail["type"].split("_")[0], "another value")


def _expected(detail: ErrorDetails, field: FieldInfo | None) -> str:
    """Return the description of the expected value, for a value of the wrong type."""
    kind = _kind_of(detail)
    if field is None:
        return kind
    if field.annotation is Path:
        return "a path"
    if kind == "a mapping":
        return next((mark.expected for mark in field.metadata if isinstance(mark, Shorthand)), kind)
    return kind


def _example(field: FieldInfo | None) -> str:
    """Return a field's example, or its default, as ` (e.g. 0.0003)`; '' if it has neither."""
    if field is None:
        return ""
    if not field.examples and (sections := _sections_in(field)):
        return f" (e.g. {_sample(sections[0])})"
    for example in [*(field.examples or []), field.default]:
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
    """Return a one-key mapping that shows how a section is written: its kind, its first required key, or its first key."""
    fields = section.model_fields
    required = (name for name, field in fields.items() if field.is_required())
    key = "kind" if "kind" in fields else next(required, next(iter(fields)))
    example = (fields[key].examples or [fields[key].default])[0]
    return f"{{{key}: {example}}}"
