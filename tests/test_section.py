"""The base of options: strict, frozen, no unknown keys; short forms of unions."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from zoo.section import Section, Shorthand, kind_or_mapping, lists_sections, sections_of


class Flat(Section):
    kind: Literal["flat"] = "flat"
    share: float = Field(default=0.5, ge=0)


class Steep(Section):
    kind: Literal["steep"] = "steep"
    steps: int


Slope = Annotated[Flat | Steep, Field(discriminator="kind"), kind_or_mapping("flat", default="flat")]


class Hill(Section):
    slope: Slope = Flat()
    other: Flat | None = None


@pytest.mark.parametrize("values", [{"shar": 1.0}, {"share": "1"}, {"share": float("inf")}, {"share": True}])
def test_sections_are_strict_and_know_their_keys(values: dict[str, object]):
    with pytest.raises(ValidationError):
        Flat(**values)


def test_sections_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Flat().share = 1.0  # pyright: ignore[reportAttributeAccessIssue]


def test_defaults_are_checked_too():
    class Wrong(Section):
        share: float = Field(default=-1.0, ge=0)

    with pytest.raises(ValidationError):
        Wrong()


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("flat", Flat()),
        ({"share": 0.25}, Flat(share=0.25)),
        ({"kind": "steep", "steps": 3}, Steep(steps=3)),
        ({}, Flat()),
    ],
)
def test_a_word_or_a_mapping_without_a_kind_is_enough(written: object, found: Section):
    assert Hill.model_validate({"slope": written}).slope == found


@pytest.mark.parametrize(("written", "code"), [("stee", "union_tag_invalid"), ("steep", "missing"), (3, "model_attributes_type")])
def test_a_wrong_short_form_is_refused_for_its_own_reason(written: object, code: str):
    with pytest.raises(ValidationError) as error:
        Hill.model_validate({"slope": written})
    assert error.value.errors()[0]["type"] == code


def test_the_schema_offers_the_short_form():
    schema = Hill.model_json_schema()["properties"]["slope"]["anyOf"]
    assert schema[0] == {"enum": ["flat"]}
    # Without a short form only the mapping is offered.
    bare = TypeAdapter(Annotated[Flat, Shorthand(lambda value: value)]).json_schema()
    assert "anyOf" not in bare


def test_the_sections_of_a_field_are_found_in_its_type():
    assert sections_of(Hill.model_fields["slope"].annotation) == [Flat, Steep]
    assert sections_of(Hill.model_fields["other"].annotation) == [Flat]
    assert sections_of(Flat) == [Flat]
    assert sections_of(int | None) == []


def test_a_list_of_sections_is_told_from_one():
    assert lists_sections(tuple[Flat, ...] | Literal["none"])
    assert not lists_sections(Slope)
    assert not lists_sections(tuple[float, ...])
