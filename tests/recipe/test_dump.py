"""A recipe that is written to text and read again is the same."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from helpers.recipes import GOOD, load

from zoo.recipe import yaml
from zoo.recipe.dump import dump_recipe
from zoo.recipe.load import load_recipe, shipped_recipes
from zoo.recipe.recipe import Recipe
from zoo.recipe.schema import recipe_schema


@pytest.mark.parametrize("name", ["no", "1:30", "0o10", "3e-4", "true", "~x", "2026-01-02", "a b: c #d", "'q'", "ünï"])
def test_words_survive_being_written_out(tmp_path: Path, name: str) -> None:
    found = load(tmp_path, GOOD).model_copy(update={"name": name})
    assert load(tmp_path, dump_recipe(found)) == found


@pytest.mark.parametrize("value", [1e-5, 3e22, 0.1, 1 / 3, 1e-300])
def test_numbers_survive_being_written_out(tmp_path: Path, value: float) -> None:
    assert load(tmp_path, dump_recipe(load(tmp_path, GOOD, f"optim.lr={value!r}"))).optim.lr == value


@pytest.mark.parametrize("name", [name for name, _ in shipped_recipes()])
def test_a_resolved_recipe_reads_back_the_same_and_fits_the_schema(tmp_path: Path, name: str) -> None:
    found = load_recipe(Path(name))
    text = dump_recipe(found)
    assert load(tmp_path, text) == found
    jsonschema.validate(yaml.parse(text, "x"), json.loads(recipe_schema()))


def test_the_kind_of_a_section_comes_first_and_every_option_is_there(tmp_path: Path) -> None:
    lines = dump_recipe(load(tmp_path, GOOD, "schedule=linear")).splitlines()
    values = yaml.parse("\n".join(lines), "x")
    assert [next(iter(values[key])) for key in ("data", "schedule")] == ["kind", "kind"]
    assert set(values) == set(Recipe.model_fields)
