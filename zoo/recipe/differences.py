"""Compare two recipes option by option, or one recipe with the defaults."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from zoo.recipe import yaml
from zoo.recipe.dump import plain_values
from zoo.recipe.recipe import Recipe
from zoo.recipe.sections import ImageSize
from zoo.section import Section


class _Absent:
    """Placeholder for the value of an option that a recipe does not have, since each kind of a section has its own options."""

    def __repr__(self) -> str:
        return "-"


ABSENT = _Absent()


class Difference(NamedTuple):
    """An option that two recipes set differently.

    Attributes:
        key: dotted key, such as `optim.lr`.
        a: plain value in the first recipe, or ABSENT if it has no such option.
        b: plain value in the second recipe, or ABSENT.
    """

    key: str
    a: Any
    b: Any

    @property
    def texts(self) -> tuple[str, str]:
        """Both values as a recipe would write them; `-` for an absent one."""
        return _text(self.a), _text(self.b)

    @property
    def record(self) -> dict[str, Any]:
        """The difference as a JSON object, without absent values."""
        return {name: value for name, value in self._asdict().items() if value is not ABSENT}


def differences(a: Recipe, b: Recipe) -> list[Difference]:
    """Return the options that two recipes set differently, in the order of a recipe's sections."""
    plain = [plain_values(recipe) for recipe in (a, b)]
    if not all(isinstance(values["image_size"], int) for values in plain):
        # At least one recipe grows its images, so a single size is compared as equal `start` and `end`.
        for recipe, values in zip((a, b), plain, strict=True):
            values["image_size"] = {name: getattr(recipe.image_size, name) for name in ImageSize.model_fields}
    order = list(Recipe.model_fields)
    return sorted(between(*map(flatten, plain)), key=lambda pair: order.index(pair.key.partition(".")[0]))


def between(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Return the options with different values, given the plain values of two recipes as `flatten` returns them."""
    pairs = [Difference(key, first.get(key, ABSENT), second.get(key, ABSENT)) for key in dict.fromkeys([*first, *second])]
    return [pair for pair in pairs if pair.a != pair.b]


def from_defaults(recipe: Recipe) -> list[Difference]:
    """Return the options whose values differ from the defaults: `a` is the default, `b` the recipe's value.

    A section whose kind is not the default kind is compared with the defaults of its own kind. Options without a default are
    left out: the name, the backbone's name, the kind of the data and its required options.
    """
    kind = type(recipe.data)
    needed = {name: getattr(recipe.data, name) for name, field in kind.model_fields.items() if field.is_required()}
    backbone = type(recipe.backbone)(name=recipe.backbone.name)
    found: list[Difference] = []
    others: list[str] = []
    for difference in differences(Recipe(name=recipe.name, backbone=backbone, data=kind(**needed)), recipe):
        section, _, name = difference.key.rpartition(".")
        if name == "kind":
            others.append(f"{section}.")
            found += [difference, *_of_another_kind(recipe, section)]
        elif not difference.key.startswith(tuple(others)):
            found.append(difference)
    return found


def _of_another_kind(recipe: Recipe, key: str) -> list[Difference]:
    """Return the options of a section of a non-default kind that differ from the defaults of that kind."""
    section = functools.reduce(getattr, key.split("."), recipe)
    assert isinstance(section, Section)
    values = flatten(plain_values(section))
    fields = type(section).model_fields
    least = type(section).model_construct(**{name: field.default for name, field in fields.items() if not field.is_required()})
    own = flatten(plain_values(least))
    pairs = [Difference(f"{key}.{name}", own.get(name, ABSENT), value) for name, value in values.items() if name != "kind"]
    return [pair for pair in pairs if pair.a != pair.b]


def flatten(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Flatten nested options into one level of dotted keys; an empty mapping stays a value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flatten(value, f"{above}{key}.") if isinstance(value, dict) and value else {f"{above}{key}": value}
    return found


def _text(value: Any) -> str:
    return repr(value) if value is ABSENT else yaml.write_value(value)
